"""What docs/promises.md says is proved is proved by a test that names it, and nothing is claimed twice."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from socbot.checking import markdown

ROOT = Path(__file__).parent.parent


def marked() -> dict[str, set[str]]:
    """The files whose tests are marked with each promise."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for number in re.findall(r'promise\("(P\d\d)"\)', path.read_text("utf-8")):
            found[number].add(path.relative_to(ROOT / "tests").as_posix())
    return found


def on_the_page() -> list[tuple[str, set[str]]]:
    """The rows of the page: each promise with the files that prove it."""
    page = (ROOT / "docs" / "promises.md").read_text("utf-8")
    rows = re.findall(r"^\| (P\d\d) \|.*\| ([^|]*) \|$", page, re.MULTILINE)
    return [(number, set(re.findall(r"`([\w/]+\.py)`", files))) for number, files in rows]


def test_every_promise_is_on_the_page_once_and_has_a_test() -> None:
    promises = [f"P{number:02}" for number in range(1, 56)]
    assert [number for number, _ in on_the_page()] == promises
    assert sorted(marked()) == promises


def test_every_promise_on_the_page_names_the_files_that_prove_it() -> None:
    assert dict(on_the_page()) == marked()


def test_the_page_of_commands_is_what_the_registry_prints() -> None:
    assert (ROOT / "docs" / "commands.md").read_text("utf-8") == markdown() + "\n"


def test_nothing_is_skipped_or_expected_to_fail() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        if path.name != Path(__file__).name:
            assert not re.search(r"pytest\.(mark\.)?(skip|xfail|importorskip)", path.read_text("utf-8")), path


def test_time_and_chance_come_from_one_place() -> None:
    allowed = {"dispatch/clock.py"}
    pattern = re.compile(
        r"\btime\.time\(|\btime\.monotonic\(|datetime\.now\(|^import random|from random import (?!Random|SystemRandom)",
        re.MULTILINE,
    )
    for folder in (ROOT / "socbot", ROOT / "middleware", ROOT / "handlers"):
        for path in folder.rglob("*.py"):
            if path.relative_to(folder).as_posix() not in allowed:
                assert not pattern.search(path.read_text("utf-8")), path


def test_importing_socbot_imports_next_to_nothing() -> None:
    program = "import sys; before = set(sys.modules); import socbot; print(len(set(sys.modules) - before))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 5


def test_the_engine_imports_anyio_and_msgspec_alone() -> None:
    program = (
        "import sys, anyio, msgspec; before = set(sys.modules); import socbot.dispatch.dispatcher;"
        "print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = ran.stdout.split()
    own = {name for name in imported if name.startswith("socbot")}
    assert own == {"socbot", "socbot.dispatch"} | {name for name in own if name.startswith("socbot.dispatch.")}
    others = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"socbot"}
    assert others <= {"anyio", "sniffio", "msgspec"}  # sniffio is anyio's


def test_a_start_on_an_existing_store_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; from socbot.cli import main; main(['exec', '!ping']);"
        "print(sorted(set(sys.modules) & {'sqlalchemy', 'alembic', 'rich', 'psutil', 'tenacity', 'cronsim', 'trio'}))"
    )
    for _ in range(2):
        ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
