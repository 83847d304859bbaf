"""No secret leaves where things go wrong: every setting holds one, every answer of a receiver is tried, and then all
that came out is looked through: answers, exports, pages, metrics, logs, the store, what was sent, the process.
"""

import traceback
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest

from socbot.bot import Bot
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.systems.backup.archive import read_manifest
from socbot.systems.backup.keys import Keyring
from socbot.testing import owner_said, said
from tests.canary import CANARIES, leaks
from tests.receiver import (
    Behaviour,
    Receiver,
    answer,
    close_early,
    close_silently,
    garbage,
    hang,
    huge_header,
    in_a_thread,
    redirect,
    reset,
    storm,
)
from tests.test_secrets import read_all, shown
from tests.tour import logged
from tests.web.conftest import MakeSite
from tests.web.test_secrets_seen import everything

PATH: Final = "/in/cAnAry20-" + "pathOfTheHook"
QUERY: Final = "key=cAnAry21-" + "queryOfTheHook"
OWN: Final = {
    "path": PATH.removeprefix("/in/"),
    "query": QUERY.removeprefix("key="),
    "basic": "cAnAry22-" + "passwordInAnAddress",
    "viewer token": "cAnAry23-" + "viewerTokenOfTheDashboard",
    "key of webhooks": b64encode(b"cAnAry24-the key that seals hook").decode(),
    "key of backups": b64encode(b"cAnAry25-the key that signs them").decode(),
    "switch": "cAnAry26-" + "deadMansSwitch",
    "signing secret": "whsec_" + "Y0FuQXJ5MjctQWJDZEVmR2hJaktsTW5PcA==",
    "notices": "https://discord.com/api/webhooks/" + "198622483471925249/" + "cAnAry28-" + "d" * 59,
}
SECRETS = {**CANARIES, **OWN}
BY_SHAPE = [secret for name, secret in CANARIES.items() if name not in ("database password", "ops token")]

STATUSES: tuple[int, ...] = (
    300,
    301,
    302,
    303,
    304,
    307,
    308,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    410,
    413,
    418,
    422,
    429,
    451,
)
STATUSES += (500, 501, 502, 503, 504, 507, 520, 599)


def faults(receiver: Receiver) -> Iterator[Behaviour]:
    """Every way in which it does not work; what has a body tells the address that was asked for."""
    for status in STATUSES:
        yield answer(status, {"X-Echo": receiver.url(PATH)}, f"no such hook: {receiver.url(PATH)}?{QUERY}")
    yield redirect(f"{receiver.url(PATH)}?{QUERY}")
    yield from (storm(0.1), reset, close_early, close_silently, garbage, huge_header(), hang)


BAD_ADDRESSES = (
    "ftp://hooks.example.org{}",
    "https://127.0.0.1{}",
    "https://10.0.0.1{}",
    "http://example.org{}",
    "https://me:" + OWN["basic"] + "@example.org{}",
    "https://example.org:22{}",
    "https://[::1]{}",
    "https://exa mple.org{}",
    "nonsense{}",
)


@command("fail", permission="public")
async def fail(ctx: Context) -> str:
    """Fails, with all secrets in its local variables and in its words."""
    held = dict(CANARIES)
    try:
        raise LookupError(str([held[name] for name in ("bot token", "slack webhook", "JWT", "private key")]))
    except LookupError as error:
        raise ValueError("\n".join(BY_SHAPE)) from error


class Tried:
    """A bot that is asked one thing after the other, and all that it said."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.seen: list[str] = []
        self.outcomes: list[Outcome] = []

    async def ask(self, text: str) -> Outcome:
        outcome = await self.bot.dispatch(owner_said(text))
        self.outcomes.append(outcome)
        self.seen.append(shown(outcome))
        self.seen += [f"{progress}{progress!r}" for progress in outcome.progress]
        if outcome.error is not None:
            self.seen += traceback.format_exception(outcome.error)
        return outcome


def configured(folder: Path, receiver: Receiver, closed: int) -> Path:
    """config.yaml with a secret in every place that takes one."""
    path = folder / "config.yaml"
    hooks = f"allow: ['{receiver.address}', '127.0.0.1:{closed}'], key: {OWN['key of webhooks']}"
    path.write_text(
        f"storage: {{url: 'sqlite:///{folder}/data/socbot.db'}}\n"
        "logs: {level: DEBUG}\n"
        "rate_limit: {cooldown: 0, burst: 10000, cooldowns: {}}\n"
        f"web: {{port: 0, token: '{CANARIES['ops token']}', viewer_token: '{OWN['viewer token']}'}}\n"
        f"webhooks: {{timeout: 1, tries: 2, {hooks}}}\n"
        f"backup: {{folder: '{folder}/backups', paths: [], enabled: false, key: {OWN['key of backups']}}}\n"
        f"health: {{dead_mans_switch: '{receiver.url('/' + OWN['switch'])}'}}\n"
        f"discord: {{notice_webhook: '{OWN['notices']}'}}\n"
    )
    return path


LOOKS = """
list_webhooks, webhook_stats, webhook_deliveries, webhook_retry, signals, config, config web, config webhooks,
config backup, config health, config discord, bot_stats, health, recent_errors, error_dashboard, error_stats,
error_search hook, top_errors, view_logs 200, search_logs /hook|canary/, export_logs, log_stats, export_analytics,
performance_export, user_stats, list_backups, backup_status, tokens, tasks, task_stats, pipeline, why
""".replace("\n", " ").split(",")


async def try_everything(tried: Tried, receiver: Receiver, closed: int) -> None:
    """Add webhooks in right ways and wrong ones, and have each of them fail in each way."""
    await tried.ask(f"!add_webhook discord discord {CANARIES['discord webhook']} drill")
    await tried.ask(f"!add_webhook slack slack {CANARIES['slack webhook']} drill")
    for address in BAD_ADDRESSES:
        url = address.format(f"{PATH}?{QUERY}")
        assert (await tried.ask(f"!add_webhook bad custom {url}")).status == "invalid", url
        await tried.ask(f"!add_webhook {url} custom bad")
    places = (receiver.url(PATH), f"https://127.0.0.1:{receiver.port}{PATH}", f"http://127.0.0.1:{closed}{PATH}")
    for number, place in enumerate(places):
        added = await tried.ask(f"!add_webhook hook{number} custom {place}?{QUERY} alert")
        assert added.status == "ok", added.reply
        assert (await tried.ask(f"!webhook_config hook{number} secret {OWN['signing secret']}")).status == "ok"
        assert (await tried.ask(f"!test_webhook hook{number}")).reply is not None
    for behaviour in faults(receiver):
        receiver.otherwise = behaviour
        await tried.ask("!test_webhook hook0")
    receiver.otherwise = answer(500, body=f"no such hook: {receiver.url(PATH)}?{QUERY}")
    await tried.bot.signals.raise_("alert", "Door", "\n".join(BY_SHAPE), severity="critical")
    await anyio.to_thread.run_sync(receiver.wait, len(receiver.requests) + 1)
    for number in range(len(places)):
        await tried.ask(f"!webhook_info hook{number}")
        await tried.ask(f"!webhook_deliveries hook{number}")
    for text in (*LOOKS, *BY_SHAPE, f"health_config set dead_mans_switch {OWN['switch']}"):
        await tried.ask(f"!{text.strip()}")
    assert len({outcome.command for outcome in tried.outcomes if outcome.status == "ok"}) >= 30


@pytest.mark.promise("P11")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_secret_leaves_where_things_go_wrong(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[Reply], free_tcp_port: int
) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", CANARIES["bot token"])
    with in_a_thread(Receiver()) as receiver:
        path = configured(tmp_path, receiver, free_tcp_port)
        async with make_site(config=path, commands=[fail], jobs=True) as site:
            tried = Tried(site.bot)
            with logged(site.bot, tmp_path / "logs" / "bot.log"):
                failed = await site.bot.dispatch(said("!fail", "900"))
                assert failed.error_id
                await tried.ask(f"!error_details {failed.error_id}")
                await try_everything(tried, receiver, free_tcp_port)
                made = await tried.ask("!backup_now")
                assert made.status == "ok", made.reply
                await tried.ask("!verify_backup newest")
                await site.bot.telemetry.flush()
                tried.seen += (await everything(site)).values()
            tried.seen += [
                repr(each) for each in (site.bot, site.bot.config, site.bot.redactor, site.bot.webhooks.all())
            ]
        sent = [request for request in receiver.requests if request.path.startswith(PATH)]
    assert len(sent) > len(STATUSES)
    keys = Keyring(b64decode(OWN["key of backups"]), (), bytes)
    manifests = [repr(read_manifest(file, keys)) for file in (tmp_path / "backups").glob("*.tar.zst")]
    assert len(manifests) == 1
    found = {
        "said": leaks("\n".join(tried.seen), SECRETS),
        "told": leaks("\n".join(map(repr, notices)), SECRETS),
        "sent": leaks(b"\n".join(request.body for request in sent), SECRETS),
        "sent in headers": leaks("\n".join(str(request.headers) for request in sent), SECRETS),
        "manifests": leaks("\n".join(manifests), SECRETS),
        "store": leaks(read_all(tmp_path / "data"), SECRETS),
        "log": leaks(read_all(tmp_path / "logs"), SECRETS),
    }
    assert {place: those for place, those in found.items() if those} == {}
    assert (tmp_path / "logs" / "bot.log").stat().st_size > 20_000
