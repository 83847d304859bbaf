"""The page of the log, and the log as it is written."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from socbot.config import LogsConfig
from socbot.logs.entries import Wanted, entry_of
from socbot.web import live
from socbot.web.live import Hub, Tail
from tests.recorded import recording
from tests.web.conftest import MakeSite, Site

log = logging.getLogger("test.page")
other = logging.getLogger("other")

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GhIjKl.abcdefghijklmnopqrstuvwxyz0123456789AB"


@asynccontextmanager
async def logged(make_site: MakeSite, tmp_path: Path, **options: Any) -> AsyncIterator[Site]:
    quiet = {"httpx": "WARNING", "httpcore": "WARNING"}  # which log what the tests ask
    config = LogsConfig(file=f"{tmp_path}/logs/bot.log", loggers=quiet | options.pop("loggers", {}), **options)
    async with make_site(logs=config) as site:
        with recording(config, site.bot.redactor) as writer:
            site.bot.logs.attach(writer)
            yield site


class Stream:
    """A stream that has begun."""

    def __init__(self, connection: anyio.abc.ByteReceiveStream) -> None:
        self._lines = BufferedByteReceiveStream(connection)

    async def next(self) -> tuple[str, Any] | None:
        """Kind and data of the next event; None for a sign of life."""
        kind = ""
        while True:
            line = (await self._lines.receive_until(b"\n", 1_000_000)).decode()
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                return kind, json.loads(value)
            elif line.startswith(":"):
                return None

    async def is_over(self) -> bool:
        """Whether nothing more comes."""
        while True:
            try:
                line = await self._lines.receive_until(b"\n", 1_000_000)
            except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                return True
            if line.strip():
                return False


@asynccontextmanager
async def streaming(site: Site, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    """What comes over a connection of its own."""
    shown = headers or {"Authorization": site.owner.headers["Authorization"]}
    host = site.web.address.removeprefix("http://")
    lines = [
        f"GET /logs/stream{query} HTTP/1.0",
        f"Host: {host}",
        *(f"{name}: {shown[name]}" for name in shown),
        "",
        "",
    ]
    name, _, port = host.rpartition(":")
    async with await anyio.connect_tcp(name, int(port)) as connection:
        await connection.send("\r\n".join(lines).encode())
        stream = Stream(connection)
        assert await stream.next() is None
        yield stream


async def test_without_a_log_it_says_where_to_look(make_site: MakeSite) -> None:
    async with make_site() as site:
        assert "There is no log file here" in await site.page("/logs")
        assert (await site.owner.get("/logs/stream")).status_code == 404


@pytest.mark.parametrize("format", ["text", "json"])
async def test_the_last_lines_are_shown_inert_and_without_secrets(
    make_site: MakeSite, tmp_path: Path, format: str
) -> None:
    async with logged(make_site, tmp_path, format=format) as site:
        log.warning("<script>alert(1)</script> %s", TOKEN)
        try:
            raise ValueError("what <b>failed</b>")
        except ValueError:
            log.exception("it failed")
        page, facts = await site.page("/logs"), await site.facts("/logs")
    assert "&lt;script&gt;alert(1)" in page
    assert TOKEN not in page + str(facts)
    assert [(e["level"], e["logger"]) for e in facts["entries"]] == [("WARNING", "test.page"), ("ERROR", "test.page")]
    assert "ValueError: what <b>failed</b>" in facts["entries"][1]["more"].splitlines()[-1]
    assert "\n" in facts["entries"][1]["more"]


async def test_lines_are_found_by_level_logger_and_text(make_site: MakeSite, tmp_path: Path) -> None:
    async with logged(make_site, tmp_path) as site:
        for number in range(5):
            log.info("quiet %d", number)
        other.error("loud one")
        log.error("LOUD two")

        async def said(query: str) -> list[str]:
            return [each["message"] for each in (await site.facts(f"/logs?{query}"))["entries"]]

        assert await said("level=ERROR") == ["loud one", "LOUD two"]
        assert await said("level=ERROR&logger=test") == ["LOUD two"]
        assert await said("logger=tes") == []
        assert await said("text=loud") == ["loud one", "LOUD two"]
        assert await said("lines=2") == ["loud one", "LOUD two"]
        assert "No line fits." in await site.page("/logs?text=nothing")
        for query, told in (("level=odd", "level"), ("lines=0", "lines"), ("lines=x", "lines")):
            answer = await site.owner.get(f"/logs?{query}")
            assert (answer.status_code, told in answer.text) == (422, True)


async def test_what_is_said_again_and_again_and_levels_are_shown(make_site: MakeSite, tmp_path: Path) -> None:
    async with logged(make_site, tmp_path, loggers={"httpx": "ERROR"}) as site:
        for number in range(30):
            log.warning("user %d came", number)
        await site.bot.logs.learn()
        facts, page = await site.facts("/logs"), await site.page("/logs")
    assert (facts["commonest"][0]["text"], facts["commonest"][0]["count"]) == ("test.page: user # came", 30)
    assert facts["new"][0]["text"] == "test.page: user # came"
    assert {"logger": "httpx", "level": "ERROR", "configured": True} in facts["levels"]
    assert "test.page: user # came" in page


@pytest.mark.promise("P38")
@pytest.mark.parametrize("path", ["/logs", "/api/v1/logs", "/logs/stream"])
async def test_it_is_for_owners(make_site: MakeSite, tmp_path: Path, path: str) -> None:
    async with logged(make_site, tmp_path) as site:
        token = await site.bot.access.add("looks", "viewer", "test")
        answer = await site.visitor.get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403
        assert (await site.visitor.get(path)).status_code in (303, 401)


async def test_lines_are_streamed_as_they_are_written(make_site: MakeSite, tmp_path: Path) -> None:
    async with logged(make_site, tmp_path) as site:
        log.info("before")
        with anyio.fail_after(10):
            async with streaming(site, "?level=WARNING&logger=test&text=wanted") as events:
                log.info("wanted, but of no weight")
                other.error("wanted, but another's")
                log.error("something else")
                log.error("wanted <b>\n%s", TOKEN)
                event = await events.next()
    assert event is not None
    kind, entry = event
    assert (kind, entry["level"], entry["logger"]) == ("line", "ERROR", "test.page")
    assert entry["message"].startswith("wanted <b>")
    assert TOKEN not in str(entry)


async def test_a_stream_ends_with_the_session_and_makes_room(make_site: MakeSite, tmp_path: Path) -> None:
    async with logged(make_site, tmp_path) as site:
        token = await site.bot.access.add("browser", "owner", "test")
        async with httpx.AsyncClient(base_url=site.web.address, trust_env=False) as browser:
            assert (await browser.post("/login", data={"token": token})).status_code == 303
            with anyio.fail_after(10):
                [(name, id)] = browser.cookies.items()
                async with streaming(site, Cookie=f"{name}={id}") as events:
                    await site.bot.access.sign_out(id)
                    assert await events.next() == ("end", {})
                    assert await events.is_over()


async def test_only_so_many_watch_at_once(make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST", 1)
    async with logged(make_site, tmp_path) as site:
        with anyio.fail_after(10):
            async with streaming(site):
                answer = await site.owner.get("/logs/stream")
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


async def test_a_stream_that_has_nothing_to_say_says_that_it_is_there(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 0.0)
    async with logged(make_site, tmp_path) as site:
        with anyio.fail_after(10):
            async with streaming(site, "?level=CRITICAL") as events:
                assert await events.next() is None


async def test_the_server_ends_although_somebody_watches(make_site: MakeSite, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with anyio.fail_after(20):
            async with logged(make_site, tmp_path) as site:
                events = await stack.enter_async_context(streaming(site))
            while (event := await events.next()) is None or event[0] != "end":
                pass
            assert await events.is_over()


async def test_a_flood_holds_up_nobody_and_what_is_left_out_is_counted(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WAITING", 100)
    count = 3_000
    async with logged(make_site, tmp_path) as site:
        with anyio.fail_after(20):
            async with streaming(site, "?logger=test.page") as events:
                for number in range(count):
                    log.info("line %d", number)
                shown: list[int] = []
                dropped = 0
                while len(shown) + dropped < count:
                    event = await events.next()
                    assert event is not None
                    kind, data = event
                    if kind == "line":
                        shown.append(int(data["message"].removeprefix("line ")))
                    else:
                        dropped += data
        lines = (tmp_path / "logs/bot.log").read_text().count("line ")
    assert shown == sorted(shown)
    assert dropped > 0
    assert lines == count


# -- the parts of it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_lines_are_carried_only_while_somebody_watches() -> None:
    followers: list[Any] = []

    def follow(follower: Any) -> Any:
        followers.append(follower)
        return lambda: followers.remove(follower)

    hub = Hub(follow)
    one, two = Tail(Wanted(), 2), Tail(Wanted(level="ERROR"), 2)
    hub.add(one)
    hub.add(two)
    [arrive] = followers
    for level in ("INFO", "ERROR", "INFO"):
        arrive(f"2026-01-01 10:00:00 - name - {level} - said")
    await one.wait(5)
    dropped, entries = one.take()
    assert (dropped, [each.level for each in entries]) == (1, ["ERROR", "INFO"])
    assert [each.level for each in two.take()[1]] == ["ERROR"]
    hub.remove(one)
    assert followers == [arrive]
    hub.remove(two)
    assert followers == []


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("2026-01-01 10:00:00 - a.b - INFO - said - WARNING - x", ("INFO", "a.b", "said - WARNING - x", "", "")),
        (
            "2026-01-01 10:00:00 - a - ERROR - failed [trace=T-1X command=ping user=a:1]\\nTraceback\\n  File",
            ("ERROR", "a", "failed [trace=T-1X command=ping user=a:1]", "Traceback\n  File", "T-1X"),
        ),
        (
            '{"time": 1.5, "name": "a", "level": "INFO", "message": "one\\ntwo", "trace": "T-2", "exception": "E: x"}',
            ("INFO", "a", "one", "two\nE: x", "T-2"),
        ),
        ("{broken", ("", "", "{broken", "", "")),
        ("2026-99-01 10:00:00 - a - INFO - no such day", ("INFO", "a", "no such day", "", "")),
    ],
)
def test_a_line_says_what_it_said_when_it_was_written(line: str, wanted: tuple[str, ...]) -> None:
    entry = entry_of(line)
    assert (entry.level, entry.logger, entry.message, entry.more, entry.trace) == wanted


def test_loggers_below_the_wanted_one_fit_and_those_that_only_begin_so_do_not() -> None:
    lines = [f"2026-01-01 10:00:00 - {name} - INFO - x" for name in ("http", "http.client", "httpx")]
    assert [Wanted(logger="http").fits(line) for line in lines] == [True, True, False]
