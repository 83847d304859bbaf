"""The wheel installs one name, and nothing of an embedder's own collides with it."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves files beside what it builds
    source.mkdir()
    for name in ("socbot", "middleware", "handlers"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", folder, source], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_packages_listed_are_the_folders_that_there_are() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {folder.parent.relative_to(ROOT) for folder in (ROOT / "socbot").rglob("__init__.py")}
    found = {".".join(folder.parts) for folder in folders} | {"socbot.middleware", "socbot.handlers"}
    assert listed == found


def test_the_wheel_installs_one_top_level_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"socbot"}
    assert "socbot/middleware/blacklist.py" in names
    assert "socbot/handlers/blacklist.py" in names
    assert "socbot/py.typed" in names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "socbot").rglob("*.py")}
    assert modules <= set(names)


def test_an_embedders_own_folders_do_not_collide(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    for name in ("middleware", "handlers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("mine = True\n")
    program = (
        "import handlers, middleware, socbot.handlers.blacklist, socbot.middleware.blacklist, socbot\n"
        "assert handlers.mine and middleware.mine\n"
        f"assert socbot.__file__.startswith({str(tmp_path / 'site')!r}), socbot.__file__\n"
        "assert not hasattr(socbot.middleware, 'mine')\n"
    )
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = ['.', {str(tmp_path / 'site')!r}]\n{program}"],
        cwd=tmp_path,
        check=True,
    )


def test_the_pinned_requirements_name_no_registry() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text, path
        assert "--hash=sha256:" in text, path
