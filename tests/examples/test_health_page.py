"""What docs/health.md shows works as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest

from socbot.config import HealthConfig
from socbot.systems.health import Check
from tests.conftest import MakeBot

PAGE = (Path(__file__).parents[2] / "docs" / "health.md").read_text()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_check_of_ones_own_is_made(
    make_bot: MakeBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mail_checks.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    async with make_bot(health=HealthConfig(checks=("mail_checks",))) as bot:
        results = {result.name: result for result in (await bot.health.ask()).results}
    assert (results["mail"].status, results["mail"].figure, results["mail"].unit) == ("healthy", 0, "messages")


async def test_the_page_names_every_check_with_its_bounds(make_bot: MakeBot) -> None:
    rows = dict(re.findall(r"^\| (\w+) \|.*\| (?:`(\w+)`)? ?\|$", PAGE, re.MULTILINE))
    async with make_bot() as bot:
        checks: dict[str, Check] = {check.name: check for check in bot.health.checks}
        assert {name: rows.get(name) for name in checks} == {name: key_of(check) for name, check in checks.items()}
        config: Any = bot.config.health
    for key in filter(None, rows.values()):
        (row,) = [line for line in PAGE.splitlines() if f"| `{key}` |" in line]
        degraded, unhealthy = row.split(" | ")[2:4]
        bounds = getattr(config, key)
        assert (number(degraded), number(unhealthy)) == (bounds.degraded, bounds.unhealthy), key


def key_of(check: Check) -> str:
    return check.threshold if isinstance(check.threshold, str) else ""


def number(text: str) -> float:
    """The figure, in milliseconds where it is a time."""
    value, _, unit = text.partition(" ")
    return float(value) * (1000 if unit == "s" else 1)
