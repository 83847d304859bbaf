"""The server: there while it is entered, on a thread of its own, whoever else wants its connections."""

import re
import socket
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest

from socbot.bot import Bot
from socbot.config import WebConfig
from socbot.documents import ConfigError
from socbot.systems.access import Access
from socbot.testing import owner_said
from socbot.web import Web
from socbot.web.connections import MOST
from tests.conftest import MakeBot
from tests.tour import logged
from tests.web.conftest import MakeSite, Site

SOCBOT = (sys.executable, "-m", "socbot")


def port_of(site: Site) -> int:
    return httpx.URL(site.web.address).port or 0


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def is_closed(connection: socket.socket, within: float) -> bool:
    """Whether the other side has ended it."""
    connection.settimeout(within)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_it_shows_the_same_facts_as_a_page_and_as_json(make_site: MakeSite) -> None:
    async with make_site() as site:
        await site.bot.health.ask()
        facts = await site.facts("/overview")
        assert facts["live"]["ok"] is True
        assert facts["health"] in await site.page("/")


# -- connections --------------------------------------------------------------------------------------


def probe(port: int) -> float:
    """Seconds until a probe is answered over a connection of its own."""
    began = time.perf_counter()
    with connect(port) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return time.perf_counter() - began


@pytest.mark.promise("P38")
@pytest.mark.alone
async def test_500_idle_connections_and_slow_headers_hold_up_nobody(make_site: MakeSite) -> None:
    async with make_site() as site:
        port, token = port_of(site), site.owner.headers["Authorization"]

        def crowd() -> list[float]:
            with ExitStack() as stack:
                for number in range(500):
                    connection = stack.enter_context(connect(port))
                    if number % 2:
                        connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")  # and never the rest
                probe(port)  # behind them: they are all there now, and idle
                return [probe(port) for _ in range(50)]

        assert (await site.owner.get("/api/v1/overview")).status_code == 200
        taken = await anyio.to_thread.run_sync(crowd)
        assert max(taken) < 0.1, max(taken)
        assert statistics.median(taken) < 0.05
        answer = await site.owner.get("/api/v1/overview", headers={"Authorization": token})
        assert answer.status_code == 200


@pytest.mark.promise("P38")
async def test_connections_are_bounded_and_those_of_who_is_signed_in_stay(make_site: MakeSite) -> None:
    async with make_site() as site:
        port, token = port_of(site), site.owner.headers["Authorization"]
        head = f"GET /api/v1/overview HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode()

        def crowd() -> tuple[int, bytes]:
            with ExitStack() as stack:
                mine = stack.enter_context(connect(port))
                mine.sendall(head)
                assert mine.recv(65_536).startswith(b"HTTP/1.1 200")
                others = [stack.enter_context(connect(port)) for _ in range(MOST + 50)]
                time.sleep(0)
                probe(port)
                open_ = sum(not is_closed(each, 0.002) for each in others)
                mine.sendall(head)
                return open_, mine.recv(65_536)

        open_, answer = await anyio.to_thread.run_sync(crowd)
        assert MOST - 10 <= open_ < MOST
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.promise("P38")
async def test_a_connection_without_a_whole_request_is_closed(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socbot.web.connections.HEAD", 0.3)
    async with make_site() as site:
        port, token = port_of(site), site.owner.headers["Authorization"]

        def silent() -> bool:
            with connect(port) as connection:
                return is_closed(connection, 3)

        def slow() -> bool:
            with connect(port) as connection:
                try:
                    for byte in b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 100:
                        connection.sendall(bytes([byte]))
                        if is_closed(connection, 0.05):
                            return True
                except ConnectionError:
                    return True
            return False

        def idle() -> bool:
            head = f"GET /api/v1/overview HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n"
            with connect(port) as connection:
                connection.sendall(head.encode())
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
                return is_closed(connection, 3)

        for kind in (silent, slow, idle):
            assert await anyio.to_thread.run_sync(kind), kind.__name__


@pytest.mark.promise("P38")
async def test_a_form_that_drips_is_not_waited_for(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socbot.web.gate.BODY", 0.2)
    async with make_site() as site:
        head = (
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntok"
        )

        def drip() -> bytes:
            with connect(port_of(site)) as connection:
                connection.sendall(head)
                return connection.recv(65_536)

        assert (await anyio.to_thread.run_sync(drip)).startswith(b"HTTP/1.1 408")


# -- starting and ending ------------------------------------------------------------------------------


async def test_it_ends_at_once_whoever_watches(make_bot: MakeBot, tmp_path: Path) -> None:
    async with make_bot(web=WebConfig(port=0)) as bot, AsyncExitStack() as stack:
        stack.enter_context(logged(bot, tmp_path / "logs" / "bot.log"))
        headers = {"Authorization": f"Bearer {await bot.access.first_token()}"}
        client = await stack.enter_async_context(httpx.AsyncClient(headers=headers, trust_env=False))
        async with Web(bot) as web:
            address = web.address
            stream = await stack.enter_async_context(client.stream("GET", f"{address}/logs/stream"))
            assert stream.status_code == 200
            port = httpx.URL(address).port or 0
            silent = stack.enter_context(await anyio.to_thread.run_sync(connect, port))
            began = time.perf_counter()
        assert time.perf_counter() - began < 1.0
        assert is_closed(silent, 1)
        assert bot.links.base == web.address == ""
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{address}/livez")


async def test_it_can_be_told_to_end_before_it_has_begun(make_bot: MakeBot) -> None:
    async with make_bot(web=WebConfig(port=0)) as bot:
        web = Web(bot)
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with web:
                pytest.fail("it was entered")
        assert scope.cancelled_caught
        assert web.address == ""
        assert (await bot.dispatch(owner_said("!ping"))).status == "ok"


async def test_a_port_in_use_is_said_and_tried_again(make_bot: MakeBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socbot.web.server.RETRY", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with make_bot(web=WebConfig(port=port)) as bot, Web(bot) as web:
            assert str(port) in web.failure
            assert (await bot.dispatch(owner_said("!ping"))).status == "ok"
            assert "in use" in str((await bot.dispatch(owner_said("!dashboard"))).reply)
            [check] = [each for each in (await bot.health.ask()).results if each.name == "dashboard"]
            assert check.status == "degraded"
            assert str(port) in check.text
            other.close()
            with anyio.fail_after(5):
                while not web.address:  # noqa: ASYNC110 (what is waited for is on another thread)
                    await anyio.sleep(0.01)
            assert web.failure == ""
            async with httpx.AsyncClient(base_url=web.address, trust_env=False) as client:
                assert (await client.get("/livez")).status_code == 200
            [check] = [each for each in (await bot.health.ask()).results if each.name == "dashboard"]
            assert check.status == "healthy"


async def test_a_bot_that_serves_nothing_has_no_such_check(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        assert "dashboard" not in [each.name for each in (await bot.health.ask()).results]


@pytest.mark.promise("P38")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "bot.example.org"])
async def test_it_is_not_open_to_others_without_a_token(make_bot: MakeBot, host: str) -> None:
    async with make_bot(web=WebConfig(host=host, port=0)) as bot:
        with pytest.raises(ConfigError, match=r"web\.host.*token_add"):
            async with Web(bot):
                pass
        await bot.access.add("ops", "owner", "local:owner")
        if host in ("0.0.0.0", "::"):
            async with Web(bot) as web:
                assert web.address.startswith("http://127.0.0.1:")


@pytest.mark.promise("P38")
def test_socbot_does_not_run_open_to_others_without_a_token(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("web: {host: 0.0.0.0, port: 0}\nbackup: {enabled: false}\n")

    def socbot(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SOCBOT, *arguments], cwd=tmp_path, capture_output=True, text=True, input="", timeout=60, check=False
        )

    refused = socbot("run")
    assert refused.returncode == 78
    assert "web.host" in refused.stderr
    assert "Traceback" not in refused.stderr
    added = socbot("exec", "!token_add ops owner")
    assert added.returncode == 0
    token = re.search(r"soc_[0-9a-f]{64}", added.stdout)
    assert token is not None
    with subprocess.Popen(
        [*SOCBOT, "run"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runs:
        assert runs.stdin is not None
        assert runs.stdout is not None
        assert runs.stdout.readline().startswith("The dashboard is at http://127.0.0.1:")
        runs.stdin.close()
        assert runs.wait(30) == 0
    for file in (tmp_path / "logs").iterdir():
        assert not re.search(r"soc_[0-9a-f]{8}", file.read_text())


def test_a_command_alone_waits_for_no_server(tmp_path: Path) -> None:
    script = (
        "import sys; from socbot.cli import main; code = main(['exec', '!ping']);"
        "print([name for name in sys.modules if name.startswith(('socbot.web', 'aiohttp', 'jinja2'))]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


async def test_what_was_used_is_noted_by_itself(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socbot.web.server.NOTING", 0.05)
    async with make_site() as site:
        await site.facts("/overview")

        async def noted(bot: Bot) -> float | None:
            rows = await bot.database.read(lambda connection: connection.execute("SELECT used_at FROM web_tokens"))
            return rows[0][0]  # type: ignore[no-any-return]

        with anyio.fail_after(5):
            while await noted(site.bot) is None:  # noqa: ASYNC110 (what is waited for is on another thread)
                await anyio.sleep(0.02)


def test_what_is_asked_on_the_servers_thread_is_replaced_and_never_changed() -> None:
    """Whoever reads it there may be in the middle of it."""
    source = Path(sys.modules[Access.__module__].__file__ or "").read_text()
    assert not re.search(r"self\._(tokens|sessions|tickets|configured)\[.*\] = |self\._\w+\.pop\(|del self\._", source)
