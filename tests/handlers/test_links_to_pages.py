"""Answers in chat lead their owner to the page that shows more, where it is served."""

import pytest

from socbot.testing import owner_said, said
from tests.conftest import MakeBot


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("tasks", "/jobs"),
        ("task_info monitor", "/jobs/monitor"),
        ("task_stats", "/jobs"),
        ("webhook_stats", "/webhooks"),
        ("list_backups", "/backups"),
        ("backup_status", "/backups"),
        ("rate_limit_config", "/settings"),
    ],
)
async def test_answers_lead_their_owner_to_the_page(make_bot: MakeBot, command: str, path: str) -> None:
    async with make_bot() as bot:
        before = await bot.dispatch(owner_said(f"!{command}"))
        assert "http" not in str(before.reply)
        bot.links.base = "https://bot.example.org"
        after = await bot.dispatch(owner_said(f"!{command}"))
        assert f"https://bot.example.org{path}" in str(after.reply).split()
        if command == "tasks":
            assert "example.org" not in str((await bot.dispatch(said(f"!{command}", "5"))).reply)
