"""Probes over HTTP: in every state in which the bot may find itself, whatever is asked and however."""

import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import anyio
import httpx
import pytest

from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.systems.health import Check, Measured
from socbot.testing import FakeClock, said
from socbot.watchdog import Watchdog
from socbot.web import probes as probes_module
from tests.systems.health.test_probes import STATES, Fault, replace
from tests.web.conftest import MakeSite, Site

PATHS = ("/livez", "/readyz", "/startupz", "/healthz")
FIGURES = {"healthy": 200, "degraded": 200, "unknown": 200, "unhealthy": 503}

FACTS = {
    "the store takes no writes": ("database", "StatementError"),
    "the store is gone": ("database", "StoreError"),
    "a gateway that was never there": ("chat", "not connected yet"),
    "a gateway lost for 61 s": ("chat", "no connection for 1m1s"),
    "the loop stands still for 5 s": ("event loop", "has not turned for 5.0 s"),
    "full of commands": ("canary", "does not work"),
    "draining": ("bot", "The bot is shutting down."),
    "asked to stop": ("bot", "is shutting down"),
    "a restore is under way": ("bot", "A backup is being restored."),
}
"""What is told of it, where something is not as it should be."""


@pytest.fixture
def anyio_backend() -> str:
    """The server's own loop is always the same; that a bot on trio is served is seen where both are asked for."""
    return "asyncio"


def calm(site: Site) -> None:
    """What the machine that runs the tests is doing does not count."""
    for name in ("cpu", "machine_cpu", "memory"):
        replace(site.bot, name, Measured(1.0))


async def get(site: Site, path: str) -> tuple[int, Any]:
    answer = await site.visitor.get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].startswith("application/json")
    return answer.status_code, answer.json()


@asynccontextmanager
async def faulty(make_site: MakeSite, clock: FakeClock, fault: Fault) -> AsyncIterator[Site]:
    """A bot that was well, and then the fault."""
    async with make_site(clock=clock) as site, AsyncExitStack() as stack:
        calm(site)
        await site.bot.health.readiness.look()
        assert await get(site, "/readyz") == (200, {"status": "ok"})
        made = fault(site.bot, clock, stack)
        if made is not None:
            await made
        yield site
        site.bot.dispatcher.closed = None


@pytest.mark.promise("P52")
@pytest.mark.parametrize("state", STATES)
async def test_whoever_asks_hears_the_truth(state: str, make_site: MakeSite, clock: FakeClock) -> None:
    fault, expected = STATES[state]
    async with faulty(make_site, clock, fault) as site:
        await site.bot.health.readiness.look()
        await site.bot.health.ask()
        live, ready = (await get(site, "/livez"))[0], (await get(site, "/readyz"))[0]
        assert (live, ready) == (200 if expected.live else 503, 200 if expected.ready else 503)
        assert await get(site, "/healthz") == (FIGURES[expected.status], {"status": expected.status})
        assert await get(site, "/startupz") == (200, {"status": "ok"})
        told = (await get(site, "/livez?verbose"))[1]["facts"] + (await get(site, "/readyz?verbose"))[1]["facts"]
        wrong = [(fact["name"], fact["text"]) for fact in told if not fact["ok"]]
        assert FACTS.get(state) in wrong if state in FACTS else wrong == []


@pytest.mark.promise("P52")
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_does_not_matter_on_what_the_bot_runs(make_site: MakeSite, anyio_backend: str) -> None:
    async with make_site() as site:
        await site.bot.health.readiness.look()
        assert await get(site, "/readyz") == (200, {"status": "ok"})
        await site.bot.drain(0.0)
        assert await get(site, "/readyz") == (503, {"status": "failing", "failing": ["bot"]})


@pytest.mark.promise("P52")
async def test_what_has_not_begun_or_was_not_looked_at_is_not_believed(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        health = site.bot.health
        assert await get(site, "/readyz") == (503, {"status": "failing", "failing": ["checks"]})
        assert await get(site, "/healthz") == (200, {"status": "unknown", "text": "not looked at yet"})
        calm(site)
        await health.ask()
        assert await get(site, "/healthz") == (200, {"status": "healthy"})
        clock.forward(2 * health.config.interval)
        assert (await get(site, "/healthz"))[0] == 200
        clock.forward(2 * health.config.interval)
        assert await get(site, "/healthz") == (503, {"status": "unknown", "text": "not looked at for 20m"})
        health.readiness.started = False
        assert await get(site, "/startupz") == (503, {"status": "failing", "failing": ["bot"]})


@pytest.mark.promise("P52")
async def test_a_check_that_hangs_is_itself_reported(make_site: MakeSite, clock: FakeClock) -> None:
    async def hang() -> Measured:
        await anyio.sleep_forever()
        raise AssertionError

    async with make_site(clock=clock) as site:
        calm(site)
        site.bot.health.add(Check("mine", hang))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.bot.health.ask)
            await anyio.wait_all_tasks_blocked()
            clock.forward(site.bot.health.config.timeout)
        status, told = await get(site, "/healthz?verbose")
        assert (status, told["status"]) == (503, "unhealthy")
        assert {"name": "mine", "status": "unhealthy"} in told["checks"]


async def test_nothing_is_told_that_only_the_owner_should_know(make_site: MakeSite, clock: FakeClock) -> None:
    async def leak() -> Measured:
        raise ConnectionError("no route to postgresql://bot:hunter2@10.1.2.3/bot")

    async with make_site(clock=clock) as site:
        calm(site)
        for name in ("database", "disk"):
            check = site.bot.health._checks[name]
            site.bot.health._checks[name] = Check(name, leak, check.unit, check.threshold, check.public)
        await site.bot.health.ask()
        told = "".join([(await site.visitor.get(f"{path}?verbose")).text for path in PATHS])
        assert '{"name":"database","ok":false,"text":"ConnectionError"}' in told
        for word in ("hunter2", "10.1.2.3", "route", str(site.bot.config.storage.url), "free"):
            assert word not in told


@command("spin", permission="public")
async def spin(ctx: Context, seconds: float) -> str:
    """Hold up the event loop."""
    time.sleep(seconds)  # noqa: ASYNC251 (that is what it is for)
    return "done"


@pytest.mark.alone
@pytest.mark.promise("P52")
async def test_liveness_fails_while_the_loop_stands_still(make_site: MakeSite) -> None:
    """Asked by a thread, since the test's own loop is the one that stands still."""
    answers: list[tuple[float, int]] = []
    async with make_site(commands=[spin]) as site, Watchdog() as watchdog:
        site.bot.health.liveness.overdue = lambda: watchdog.stalled
        site.bot.health.liveness.limit = 0.5

        def ask() -> None:
            with httpx.Client(base_url=site.web.address, trust_env=False) as client:
                began = time.monotonic()
                while (at := time.monotonic() - began) < 2.0:
                    answers.append((at, client.get("/livez").status_code))
                    time.sleep(0.02)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, ask)
            await anyio.sleep(0.1)
            await site.bot.dispatch(said("!spin 1.2"))
    dead = [at for at, status in answers if status == 503]
    assert 0.5 <= dead[0] <= 1.2, "it is said while it lasts"
    assert dead[-1] < 1.8, "it lives as soon as the loop turns again"
    assert answers[-1][1] == 200


RATE = 500


def asked_steadily(site: Site) -> list[float]:
    """Ask for a second, ``RATE`` times; how long each answer took, from when it was to be asked."""
    took: list[float] = []
    with connected(site) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        for number in range(RATE):
            due = began + number / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            path = PATHS[number % len(PATHS)]
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 ")
            took.append(time.perf_counter() - due)
    return took


@pytest.mark.alone
@pytest.mark.promise("P52")
async def test_five_hundred_questions_a_second_are_each_answered_at_once(make_site: MakeSite) -> None:
    async with make_site() as site:
        calm(site)
        await site.bot.health.ask()
        seconds = []
        for _ in range(3):  # what else the machine does, it seldom does three times
            took = sorted(await anyio.to_thread.run_sync(asked_steadily, site))
            seconds.append(took[int(RATE * 0.99)])
        assert min(seconds) <= 0.05, seconds


# -- how it is asked ----------------------------------------------------------------------------------


@contextmanager
def connected(site: Site) -> Iterator[socket.socket]:
    port = int(site.web.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        yield connection


def exchange(site: Site, *pieces: bytes) -> bytes:
    """All that is answered until the connection is closed, or nothing comes for a while."""
    with connected(site) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.05)
        connection.settimeout(0.3)
        found = b""
        try:
            while more := connection.recv(65536):
                found += more
        except TimeoutError:
            found += b"(open)"
        return found


@pytest.mark.parametrize(
    ("pieces", "answers", "stays_open"),
    [
        ([b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"], 1, True),
        ([b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"] * 3, 3, True),
        ([b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 3], 3, True),
        ([b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"], 1, True),
        ([b"GET /livez HTTP/1.1\r\nHost: x\r\nconnection: close\r\n\r\n"], 1, False),
        ([b"GET /livez HTTP/1.0\r\n\r\n"], 1, False),
        ([b"GET /li", b"vez HTTP/1.1\r\nHo", b"st: x\r\n\r\n"], 1, True),
        ([b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"], 1, False),
        ([b"GET /livez?verbose=1&x HTTP/1.1\r\nHost: x\r\n\r\n"], 1, True),
        ([b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /login HTTP/1.1\r\nHost: localhost\r\n\r\n"], 2, True),
    ],
)
async def test_it_answers_however_it_is_asked(
    pieces: list[bytes], answers: int, stays_open: bool, make_site: MakeSite
) -> None:
    async with make_site() as site:
        found = await anyio.to_thread.run_sync(exchange, site, *pieces)
        assert found.count(b"HTTP/1.1 200 OK") + found.count(b"HTTP/1.0 200 OK") == answers
        assert found.count(b'{"status":"ok"') >= 1
        assert found.endswith(b"(open)") is stays_open


@pytest.mark.parametrize("path", PATHS)
async def test_a_head_has_no_body_and_the_same_length(path: str, make_site: MakeSite) -> None:
    async with make_site() as site:
        for query in ("", "?verbose", "?verbose=1"):
            whole, head = await site.visitor.get(path + query), await site.visitor.head(path + query)
            assert head.status_code == whole.status_code
            assert head.headers["Content-Length"] == str(len(whole.content))
            assert head.content == b""


async def test_any_host_may_ask_and_nothing_else_may_be_done(make_site: MakeSite) -> None:
    async with make_site() as site:
        assert (await site.visitor.get("/livez", headers={"Host": "10.244.0.7:8787"})).status_code == 200
        assert (await site.visitor.get("/livez?verbose=1", headers={"Host": "10.244.0.7:8787"})).status_code == 200
        assert (await site.visitor.post("/livez")).status_code in (401, 403, 405)


async def test_what_is_no_probe_is_the_applications(make_site: MakeSite) -> None:
    async with make_site() as site:
        for target in (b"/livezz", b"//livez", b"/livez/", b"/%6civez"):
            found = await anyio.to_thread.run_sync(
                exchange, site, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            assert found.startswith(b"HTTP/1.1 "), target


async def test_who_asks_no_more_is_not_kept(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes_module, "IDLE", 0.2)

    def wait(site: Site) -> float:
        with connected(site) as connection:
            began = time.monotonic()
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            while connection.recv(1000):
                pass
            return time.monotonic() - began

    async with make_site() as site:
        assert await anyio.to_thread.run_sync(wait, site) < 2.0


async def test_a_connection_that_is_kept_does_not_hold_up_the_end(make_site: MakeSite) -> None:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(make_site())
        with connected(site) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await anyio.to_thread.run_sync(connection.recv, 1000)
            began = time.monotonic()
            await stack.aclose()
            assert time.monotonic() - began < 5
            assert await anyio.to_thread.run_sync(connection.recv, 1) == b""
