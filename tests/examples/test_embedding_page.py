"""docs/embedding.md, docs/surfaces.md and docs/signals.md, each run from top to bottom as one program."""

import ast
import inspect
import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE, SURFACES, SIGNALS = DOCS / "embedding.md", DOCS / "surfaces.md", DOCS / "signals.md"


def blocks(page: Path) -> list[CodeType]:
    """The page's code, each block with the page's own line numbers."""
    text = page.read_text()
    made = []
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        before = text.count("\n", 0, found.start(1))
        code = compile("\n" * before + found[1], str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        made.append(code)
    return made


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_the_page_shows_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("bot: {name: Embedded}\n")
    names = await run(PAGE)
    assert names["nobody"].status == "unknown"
    assert "Up for" in capsys.readouterr().out


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_is_shown_of_surfaces_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = await run(SURFACES)
    assert names["kept"] == {"pager": "s3cret-of-mine"}
    assert names["done"] == ["timed out in #ops"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_is_shown_of_signals_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("bot: {name: Embedded}\n")
    names = await run(SIGNALS)
    assert (names["signal"].title, names["signal"].source) == ("Disk is nearly full", "disks")


async def run(page: Path) -> dict[str, Any]:
    """Run a page; what its names stand for at its end."""
    names: dict[str, Any] = {"__name__": page.stem}
    for code in blocks(page):
        running = eval(code, names)
        if inspect.isawaitable(running):
            await running
    return names


@pytest.mark.parametrize("page", [PAGE, SURFACES, SIGNALS])
def test_each_page_is_one_page(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 180
