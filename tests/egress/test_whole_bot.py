"""The bot's own client follows the configuration, and an embedder's command may ask for it."""

from pathlib import Path

import pytest

from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.egress import Blocked, Client
from socbot.testing import owner_said
from tests.conftest import MakeBot
from tests.receiver import Receiver


@command("call", permission="owner")
async def call(ctx: Context, egress: Client, url: str) -> str:
    """Call an address."""
    try:
        return f"answered {(await egress.get(url)).status}"
    except Blocked as error:
        return f"refused: {error}"


@pytest.mark.promise("P12")
async def test_what_may_be_reached_changes_with_the_configuration(
    make_bot: MakeBot, tmp_path: Path, receiver: Receiver
) -> None:
    path = tmp_path / "config.yaml"

    def write(allow: str) -> None:
        path.write_text(f"storage: {{url: 'sqlite:///{tmp_path}/socbot.db'}}\nwebhooks: {{allow: [{allow}]}}\n")

    write("")
    async with make_bot(path, commands=[call]) as bot:

        async def answer() -> str:
            return str((await bot.dispatch(owner_said(f"!call {receiver.url()}"))).reply)

        assert (await answer()).startswith("refused: 127.0.0.1:")
        write(f"'{receiver.address}'")
        assert any("webhooks.allow" in line for line in await bot.reload())
        assert await answer() == "answered 200"
        write("10.0.0.0/8")
        await bot.reload()
        assert (await answer()).startswith("refused")
    assert len(receiver.requests) == 1
