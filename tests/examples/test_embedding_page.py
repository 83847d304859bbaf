"""docs/embedding.md, run from top to bottom as one program."""

import ast
import inspect
import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"


def blocks() -> list[CodeType]:
    """The page's code, each block with the page's own line numbers."""
    text = PAGE.read_text()
    made = []
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        before = text.count("\n", 0, found.start(1))
        code = compile("\n" * before + found[1], str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        made.append(code)
    return made


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_the_page_shows_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("bot: {name: Embedded}\n")
    names: dict[str, Any] = {"__name__": "embedding"}
    for code in blocks():
        running = eval(code, names)
        if inspect.isawaitable(running):
            await running
    assert names["nobody"].status == "unknown"
    assert "Up for" in capsys.readouterr().out


def test_the_page_is_one_page() -> None:
    assert len(PAGE.read_text().splitlines()) <= 180
