"""``socbot top``: the overview in a terminal, from a bot that is served."""

import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
import time
from pathlib import Path
from random import SystemRandom

import anyio.to_thread
import pytest
from rich.console import Console

from socbot.announcement import path_of, read
from socbot.bot import Bot
from socbot.config import Config, StorageConfig
from socbot.dispatch.context import Context
from socbot.dispatch.replies import Reply
from socbot.testing import owner_said
from socbot.top import Screen, Source, target, top
from socbot.version import VERSION
from tests.web.conftest import MakeSite, make_site

__all__ = ["make_site"]  # a fixture of the server's tests


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """As ``make_site`` has its store."""
    return Config(storage=StorageConfig(url=f"sqlite:///{tmp_path}/data/socbot.db"))


async def happen(bot: Bot) -> None:
    """Let there be something to see."""

    async def broken(ctx: Context) -> Reply:
        raise ValueError("no such city")

    bot.dispatcher.command("forecast", permission="public")(broken)
    for text in (
        "!ping",
        "!ping",
        "!forecast",
        "!blacklist_add user 666 spam",
        "!incident open high raid \x1b[31min #general",
    ):
        await bot.dispatch(owner_said(text))
    await bot.rate_limiter.violate(("local", "7"), "ping", None)
    await bot.telemetry.flush()


async def seen(config: Config, capsys: pytest.CaptureFixture[str], **options: object) -> tuple[int, str, str]:
    """The exit code, and what was printed and complained of."""
    code = await anyio.to_thread.run_sync(lambda: top(config, **options))  # type: ignore[arg-type]
    printed = capsys.readouterr()
    return code, printed.out, printed.err


async def test_a_glance_tells_what_happened(
    make_site: MakeSite, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    async with make_site() as site:
        await happen(site.bot)
        await site.bot.health.ask()
        code, out, _ = await seen(config, capsys, once=True)
        assert code == 0
        for part in ("SOC Bot", "5 commands in 24 h", "ping", "ValueError", "forecast", "raid", "on the blacklist",
                     "warn  local:7", "no backup yet", "jobs not well"):  # fmt: skip
            assert part in out, part
        assert re.search(r"p99 [0-9.]+ .?s", out)
        assert "\x1b" not in out
        assert "\\x1b[31m" in out


async def test_a_program_gets_the_facts(
    make_site: MakeSite, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    async with make_site() as site:
        await happen(site.bot)
        code, out, _ = await seen(config, capsys, as_json=True)
        facts = json.loads(out)
        assert code == 0
        assert facts["overview"]["day"]["failed"] == 1
        assert {"errors", "jobs", "webhooks", "abuse"} <= set(facts)
        assert "traceback" not in out  # of a viewer's token
        token = site.owner.headers["Authorization"].removeprefix("Bearer ")
        code, out, _ = await seen(config, capsys, as_json=True, url=site.web.address, token=token)
        assert "logs" in json.loads(out)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (100, 30), (160, 50), (60, 12)])
async def test_a_frame_fits_its_terminal(make_site: MakeSite, config: Config, columns: int, rows: int) -> None:
    async with make_site() as site:
        await happen(site.bot)
        for n in range(8):
            await site.bot.incidents.open(f"incident {n} " + "long " * 40, "critical", "test", "")
        source = Source(target(config, "", ""))
        facts = await anyio.to_thread.run_sync(source.look)
        source.close()
    console = Console(width=columns, height=rows, legacy_windows=False)
    lines = console.render_lines(Screen(facts, columns, rows).draw(), pad=False)
    assert len(lines) <= rows
    assert all(sum(segment.cell_length for segment in line) <= columns for line in lines)


async def test_nobody_there_is_said(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = await seen(config, capsys, once=True)
    assert code == 1
    assert "no bot is served here" in err
    assert "socbot run" in err
    code, _, err = await seen(config, capsys, once=True, url="http://127.0.0.1:9", token="x")
    assert code == 1
    assert "no bot answers at http://127.0.0.1:9" in err
    code, _, err = await seen(config, capsys, once=True, url="http://127.0.0.1:9")
    assert code == 2
    assert "SOCBOT_TOKEN" in err


async def test_a_token_that_is_refused_is_said(
    make_site: MakeSite, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    async with make_site() as site:
        code, _, err = await seen(config, capsys, once=True, token="soc_" + "0" * 64)
        assert code == 3
        assert "refuses this token" in err
        sender = await site.bot.access.add("grafana", "sender", "test")
        code, _, err = await seen(config, capsys, once=True, token=sender)
        assert code == 3


async def test_a_bot_of_another_version_is_said(
    make_site: MakeSite, config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socbot.top.VERSION", "0.0.9")
    async with make_site():
        code, out, err = await seen(config, capsys, once=True)
        assert (code, out) == (1, "")
        assert f"the bot there is socbot {VERSION} and this is 0.0.9" in err
        code, out, _ = await seen(config, capsys, as_json=True)
        assert json.loads(out)["overview"]["version"] == VERSION


@pytest.mark.promise("P18")
async def test_what_opens_it_on_this_machine_is_private_and_ends_with_the_run(
    make_site: MakeSite, config: Config
) -> None:
    path = path_of(config.storage)
    async with make_site(random=SystemRandom()) as site:
        found = read(path)
        assert found is not None
        assert found.address == site.web.address
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        headers = {"Authorization": f"Bearer {found.token}"}
        assert (await site.visitor.get("/api/v1/overview", headers=headers)).status_code == 200
        acting = await site.visitor.post("/api/v1/actions/backup_now", headers=headers)
        assert acting.status_code == 403
        assert found.token not in repr(found)
        assert all(each.role != "viewer" for each in site.bot.access.tokens())
    assert not path.exists()
    async with make_site(random=SystemRandom()) as site:
        answer = await site.visitor.get("/api/v1/overview", headers=headers)
        assert answer.status_code == 401


# -- in a terminal --------------------------------------------------------------------------------------


class Terminal:
    """A program in a terminal of its own, 80 by 24."""

    def __init__(self, *command: str, **environment: str) -> None:
        self._own, theirs = pty.openpty()
        variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **environment}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
        os.close(theirs)
        self.raw = b""

    @property
    def text(self) -> str:
        """What was written, without how."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw.decode("utf-8", "replace"))

    def until(self, part: str, seconds: float = 20.0) -> bool:
        """Whether it shows ``part`` within so many seconds."""
        end = time.monotonic() + seconds
        while part not in self.text and time.monotonic() < end:
            if select.select([self._own], [], [], 0.1)[0]:
                try:
                    self.raw += os.read(self._own, 65_536)
                except OSError:
                    break
        return part in self.text

    def press(self, key: str) -> int:
        """The exit code of what the key ends."""
        os.write(self._own, key.encode())
        self.until("\0", 0.5)
        return self.process.wait(10)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._own)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_goes_on_until_q_through_a_restart_of_the_bot(make_site: MakeSite, config: Config) -> None:
    terminal = None
    try:
        async with make_site() as site:
            command = (sys.executable, "-m", "socbot", "top", "--interval", "0.2")
            terminal = Terminal(*command, SOCBOT_STORAGE__URL=config.storage.url)
            until = terminal.until
            assert await anyio.to_thread.run_sync(until, "0 commands in 24 h"), terminal.text
            await site.bot.dispatch(owner_said("!ping"))
            assert await anyio.to_thread.run_sync(until, "1 commands in 24 h"), terminal.text
        assert await anyio.to_thread.run_sync(until, "no connection since"), terminal.text
        async with make_site(random=SystemRandom()) as site:  # another port, and another token for this machine
            await site.bot.dispatch(owner_said("!ping"))
            assert await anyio.to_thread.run_sync(until, "2 commands in 24 h"), terminal.text
            assert terminal.press("q") == 0
            assert b"\x1b[?1049l" in terminal.raw  # the screen as it was before
    finally:
        if terminal is not None:
            terminal.close()
