"""The bot's own client follows the configuration, and an embedder's command may ask for it."""

from pathlib import Path

import httpx
import pytest

from socbot.config import RateLimitConfig, WebConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.egress import Blocked, Client
from socbot.testing import owner_said
from socbot.web import Web
from tests.conftest import MakeBot
from tests.receiver import Receiver

UNLIMITED = RateLimitConfig(cooldown=0.0, burst=10_000, cooldowns={})


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


@pytest.mark.promise("P12")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_its_own_dashboard_and_probes_are_not_reached(make_bot: MakeBot) -> None:
    async with make_bot(commands=[call], rate_limit=UNLIMITED, web=WebConfig(port=0)) as bot, Web(bot) as served:
        port = httpx.URL(served.address).port
        for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"):
            for scheme in ("http", "https"):
                url = f"{scheme}://{host}:{port}/readyz"
                assert str((await bot.dispatch(owner_said(f"!call {url}"))).reply).startswith("refused: "), url
                added = await bot.dispatch(owner_said(f"!add_webhook own custom {url}"))
                assert added.status == "invalid", url
        assert bot.webhooks.all() == ()
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{served.address}/readyz")).status_code in (200, 503), "it is there"
