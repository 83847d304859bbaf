import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import aiohttp
import discord
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from socbot.transports.discord.requests import (
    LONGEST_WAIT,
    MOST_IDLE,
    MOST_INVALID,
    SHIELD_PAUSE,
    UNNAMED_WAIT,
    WINDOW,
    RequestGate,
    RequestsPaused,
    Route,
    retry_after,
    route_of,
)
from tests.standin import Standin
from tests.transports.discord.clocks import HastyClock

NOW = 1_700_000_000.0


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock(NOW)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def gate(clock: HastyClock, told: list[str]) -> RequestGate:
    return RequestGate(clock, lambda reply: told.append(reply.text))


class Session:
    """Requests that pass the gate, as the bot's do."""

    def __init__(self, gate: RequestGate, token: str) -> None:
        headers = {"Authorization": f"Bot {token}", "Content-Type": "application/json"}
        self._session = aiohttp.ClientSession(connector=gate.connector(), headers=headers)

    async def __call__(
        self, path: str = "/users/@me", method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> int:
        async with self._session.request(method, discord.http.Route.BASE + path, headers=headers) as response:
            return response.status

    async def refused(self, path: str = "/users/@me", method: str = "GET") -> RequestsPaused | None:
        try:
            await self(path, method)
        except RequestsPaused as error:
            return error
        return None

    async def close(self) -> None:
        await self._session.close()


@pytest.fixture
async def send(standin: Standin, gate: RequestGate) -> AsyncIterator[Session]:
    session = Session(gate, standin.token)
    yield session
    await session.close()


# -- P16: too many invalid answers ------------------------------------------------------------------------


@pytest.mark.promise("P16")
@pytest.mark.parametrize("status", [401, 403])
async def test_ten_minutes_of_refusals_cost_five_hundred_at_most(
    standin: Standin, send: Session, clock: HastyClock, told: list[str], status: int
) -> None:
    standin.limits.always("*", "/**", status)
    times: list[float] = []
    began = clock.monotonic()
    while clock.monotonic() < began + 2 * WINDOW:
        for _ in range(5):
            if await send.refused() is None:
                times.append(clock.monotonic())
        clock.forward(1.0)
    assert len(times) == standin.limits.invalid
    assert max(sum(0 <= at - first < WINDOW for at in times) for first in times) == MOST_INVALID
    assert "500 invalid answers" in told[0]


@pytest.mark.slow
@pytest.mark.promise("P16")
async def test_at_a_hundred_commands_a_second_too(
    standin: Standin, send: Session, clock: HastyClock, told: list[str]
) -> None:
    standin.limits.always("*", "/**", 403)
    for _ in range(int(WINDOW - LONGEST_WAIT) - 6):
        await asyncio.gather(*(send.refused(f"/channels/{number}") for number in range(100)))
        clock.forward(1.0)
    assert standin.limits.invalid == MOST_INVALID
    assert len(told) == 1, "once, however many are held back"
    assert "500 invalid answers" in told[0]


@pytest.mark.promise("P16")
async def test_requests_at_once_do_not_overshoot(standin: Standin, send: Session) -> None:
    standin.limits.always("*", "/**", 403)
    refused = await asyncio.gather(*(send.refused() for _ in range(2 * MOST_INVALID)))
    assert standin.limits.invalid == MOST_INVALID
    assert sum(error is not None for error in refused) == MOST_INVALID


@pytest.mark.promise("P16")
async def test_it_opens_again_says_so_and_closes_again(
    standin: Standin, send: Session, clock: HastyClock, told: list[str], gate: RequestGate
) -> None:
    standin.limits.always("*", "/**", 403)
    for _ in range(MOST_INVALID):
        await send()
        clock.forward(0.1)
    error = await send.refused()
    assert error is not None
    assert 0 < error.seconds <= WINDOW
    assert gate.closed_for == error.seconds
    clock.forward(error.seconds)
    standin.limits.clear()
    assert await send() == 200
    assert told[1:] == ["Requests to Discord are sent again."]
    assert gate.invalid <= MOST_INVALID // 2


@pytest.mark.promise("P16")
async def test_a_shared_limit_is_nobodys_fault(standin: Standin, send: Session, gate: RequestGate) -> None:
    standin.limits.refuse("GET", "/users/@me", retry_after=1, scope="shared")
    assert await send() == 429
    assert gate.invalid == 0
    standin.limits.refuse("GET", "/users/@me", retry_after=1, scope="user")
    assert await send() == 429
    assert gate.invalid == 1


@pytest.mark.promise("P16")
@pytest.mark.parametrize("how", ["no Via", "no JSON", "no body"])
async def test_the_shield_in_front_of_discord_is_left_alone_for_ten_minutes(
    standin: Standin, send: Session, clock: HastyClock, told: list[str], how: str
) -> None:
    if how == "no Via":
        standin.limits.shield(times=1)
    else:
        standin.limits.answer("*", "/**", 429, body="error code: 1015" if how == "no JSON" else "")
    assert await send() == 429
    error = await send.refused("/channels/1/messages", "POST")
    assert error is not None
    assert error.seconds == SHIELD_PAUSE
    clock.forward(SHIELD_PAUSE - LONGEST_WAIT - 1)
    assert await send.refused() is not None
    assert len(standin.limits.seen) == 1
    clock.forward(LONGEST_WAIT + 1)
    assert await send() == 200
    assert len(told) == 2


@pytest.mark.promise("P16")
@pytest.mark.parametrize("via", [False, True])
async def test_json_that_did_not_come_through_discords_own_servers_is_the_shields(
    gate: RequestGate, monkeypatch: pytest.MonkeyPatch, via: bool
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        headers = {"Via": "1.1 google"} if via else {}
        return web.json_response({"retry_after": 7.0}, status=429, headers=headers)

    app = web.Application()
    app.router.add_get("/users/@me", refuse)
    async with TestServer(app) as server:
        monkeypatch.setattr("discord.http.Route.BASE", str(server.make_url("/")).rstrip("/"))
        session = Session(gate, "")
        await session()
        await session.close()
    assert gate.closed_for == (0.0 if via else SHIELD_PAUSE)


async def test_the_shields_own_time_is_obeyed_where_it_is_longer(standin: Standin, send: Session) -> None:
    standin.limits.answer("*", "/**", 429, body="page", headers={"Retry-After": "1800"})
    await send()
    error = await send.refused()
    assert error is not None
    assert error.seconds == 1800


@pytest.mark.promise("P16")
async def test_one_gate_serves_every_session(standin: Standin, gate: RequestGate) -> None:
    standin.limits.always("*", "/**", 403)
    sessions = [Session(gate, standin.token) for _ in range(3)]
    for number in range(MOST_INVALID + 100):
        await sessions[number % 3].refused()
    assert standin.limits.invalid == MOST_INVALID
    for session in sessions:
        await session.close()


async def test_a_broken_connection_counts_for_nothing(standin: Standin, send: Session, gate: RequestGate) -> None:
    standin.limits.hang_up("*", "/**", times=1)
    with pytest.raises(aiohttp.ClientError):
        await send("/users/@me", "POST")
    assert gate.invalid == 0
    standin.limits.always("*", "/**", 403)
    for _ in range(MOST_INVALID):
        await send()
    assert standin.limits.invalid == MOST_INVALID


@pytest.mark.promise("P16")
async def test_a_request_that_could_not_be_sent_is_over(standin: Standin, send: Session) -> None:
    for _ in range(MOST_INVALID):
        with pytest.raises(ValueError, match="header"):
            await send(headers={"X-Broken": "a\nb"})
    assert await asyncio.wait_for(send(), 5) == 200


@pytest.mark.promise("P16")
async def test_a_request_that_reached_nobody_is_over(
    standin: Standin, send: Session, monkeypatch: pytest.MonkeyPatch, free_tcp_port: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("discord.http.Route.BASE", f"http://127.0.0.1:{free_tcp_port}")
        for _ in range(MOST_INVALID):
            with pytest.raises(aiohttp.ClientConnectorError):
                await send()
    assert await asyncio.wait_for(send(), 5) == 200


@pytest.mark.promise("P16")
async def test_a_request_that_is_cancelled_is_over(
    standin: Standin, send: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: asyncio.Queue[web.Request] = asyncio.Queue()

    async def keep_waiting(request: web.Request) -> web.Response:
        await arrived.put(request)
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/users/@me", keep_waiting)
    async with TestServer(app) as server:
        with monkeypatch.context() as patch:
            patch.setattr("discord.http.Route.BASE", str(server.make_url("/")).rstrip("/"))
            for _ in range(MOST_INVALID):
                waiting = asyncio.create_task(send())
                await arrived.get()
                waiting.cancel()
                await asyncio.wait([waiting])
    assert await asyncio.wait_for(send(), 5) == 200


async def test_what_a_burst_needed_is_not_kept_open(gate: RequestGate, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ones: set[object] = set()
    all_there = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        open_ones.add(request.transport)
        if len(open_ones) == 2 * MOST_IDLE:
            all_there.set()
        await all_there.wait()
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/users/@me", answer)
    async with TestServer(app) as server:
        monkeypatch.setattr("discord.http.Route.BASE", str(server.make_url("/")).rstrip("/"))
        session = Session(gate, "")
        await asyncio.wait_for(asyncio.gather(*(session() for _ in range(2 * MOST_IDLE))), 10)
        open_ones.clear()
        for _ in range(3 * MOST_IDLE):
            await session()
        assert len(open_ones) == MOST_IDLE
        await session.close()


async def _is_full(gate: RequestGate) -> bool:
    one_more = asyncio.create_task(gate.enter(Route("GET /users/@me")))
    await asyncio.sleep(0)
    return one_more.cancel()


@pytest.mark.promise("P16")
@pytest.mark.parametrize("is_early", [True, False])
async def test_a_try_is_over_once_and_not_before_its_answer_is_judged(gate: RequestGate, is_early: bool) -> None:
    first, *_ = [await gate.enter(Route("GET /users/@me")) for _ in range(MOST_INVALID)]

    async def break_off() -> aiohttp.ClientResponse:
        if not is_early:
            first.disconnected()
            assert await _is_full(gate)
        raise aiohttp.ServerDisconnectedError

    if is_early:
        first.disconnected()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await first.judged(break_off())
    await gate.enter(Route("GET /users/@me"))
    assert await _is_full(gate)


@pytest.mark.promise("P16")
async def test_what_the_library_below_tries_twice_passes_twice(
    standin: Standin, send: Session, clock: HastyClock, gate: RequestGate
) -> None:
    await send()
    standin.limits.always("*", "/**", 403)
    for _ in range(MOST_INVALID - 1):
        await send()
    standin.limits.clear()
    standin.limits.hang_up("*", "/**", times=1)
    standin.limits.answer("*", "/**", 403)
    assert await send() == 403
    assert gate.invalid == MOST_INVALID
    assert await send.refused() is not None


async def test_what_is_not_discords_api_passes(standin: Standin, send: Session) -> None:
    standin.limits.shield(times=1)
    await send()
    other = URL(discord.http.Route.BASE).origin() / "elsewhere"
    async with send._session.get(other) as response:
        assert response.status == 404
    standin.complaints.clear()


# -- P40: when to try again -------------------------------------------------------------------------------


def date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


FORMS: list[tuple[str | None, Any, float | None]] = [
    ("0", None, 0.0),
    ("1", None, 1.0),
    ("1.5", None, 1.5),
    (" 7 ", None, 7.0),
    ("07", None, 7.0),
    ("1e1", None, 10.0),
    ("1E+1", None, 10.0),
    ("3600", None, 3600.0),
    ("1e9", None, 1e9),
    ("1e999", None, None),
    ("-1", None, None),
    ("-0.5", None, None),
    ("+1", None, None),
    ("NaN", None, None),
    ("inf", None, None),
    ("Infinity", None, None),
    ("soon", None, None),
    ("", None, None),
    ("1,5", None, None),
    ("1 s", None, None),
    ("0x10", None, None),
    ("1_000", None, None),
    ("9" * 400, None, None),
    ("1;2", None, None),
    (date(30), None, 30.0),
    (date(3600), None, 3600.0),
    (date(-30), None, 0.0),
    (date(0), None, 0.0),
    ("Thu, 01 Jan 1970 00:00:00 GMT", None, 0.0),
    ("Tue, 14 Nov 2023 22:13:50 -0000", None, 30.0),
    ("Tue, 14 Nov 2023 23:13:50 +0100", None, 30.0),
    ("Tue, 99 Nov 2023 22:13:50 GMT", None, None),
    ("14 Nov", None, None),
    (None, 0, 0.0),
    (None, 0.25, 0.25),
    (None, 1.5, 1.5),
    (None, 7, 7.0),
    (None, 1e9, 1e9),
    (None, "1.5", 1.5),
    (None, "7", 7.0),
    (None, -1, None),
    (None, -0.001, None),
    (None, float("nan"), None),
    (None, float("inf"), None),
    (None, float("-inf"), None),
    (None, "NaN", None),
    (None, "soon", None),
    (None, "", None),
    (None, True, None),
    (None, [1], None),
    (None, {"seconds": 1}, None),
    (None, 10**400, None),
    ("2", 1.5, 2.0),
    ("1", 1.5, 1.5),
    ("1", "9", 9.0),
    ("-1", 3, 3.0),
    ("NaN", 3, 3.0),
    ("3", -1, 3.0),
    ("3", "soon", 3.0),
    (date(20), 5, 20.0),
    (date(2), 5, 5.0),
    ("5", 5, 5.0),
    (None, None, None),
]


@pytest.mark.promise("P40")
@pytest.mark.parametrize(("header", "value", "seconds"), FORMS)
async def test_no_request_goes_before_its_time_nor_much_later(
    header: str | None, value: Any, seconds: float | None, standin: Standin, send: Session, clock: HastyClock
) -> None:
    body = {"message": "You are being rate limited.", "global": False}
    headers = {} if header is None else {"Retry-After": header}
    named = body if value is None else body | {"retry_after": value}
    assert retry_after(headers, named, NOW) == (None if seconds is None else pytest.approx(seconds))
    standin.limits.answer("GET", "/users/@me", 429, body=named, headers=headers)
    began = clock.monotonic()
    await send.refused()
    expected = UNNAMED_WAIT if seconds is None else seconds
    if expected > LONGEST_WAIT:
        error = await send.refused()
        assert error is not None
        assert error.seconds == pytest.approx(expected)
        clock.forward(expected - LONGEST_WAIT)
    assert await send() == 200
    assert expected <= clock.monotonic() - began + 1e-6 <= expected * 1.1 + 2e-6
    assert len(standin.limits.seen) == 2


@given(st.text(), st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.floats()))
def test_whatever_is_named_is_no_time_or_a_sound_one(header: str, value: Any) -> None:
    seconds = retry_after({"Retry-After": header}, {"retry_after": value}, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.promise("P40")
async def test_a_route_waits_alone(standin: Standin, send: Session, clock: HastyClock) -> None:
    standin.limits.refuse("POST", "/channels/1/typing", retry_after=30)
    await send("/channels/1/typing", "POST")
    began = clock.monotonic()
    for path in ("/users/@me", "/channels/1"):
        await send(path)
    await send("/channels/2/typing", "POST")
    assert clock.monotonic() == began
    await send("/channels/1/typing", "POST")
    assert clock.monotonic() >= began + 30


@pytest.mark.promise("P40")
async def test_a_limit_on_everything_holds_everything_but_answers_to_interactions(
    standin: Standin, send: Session, clock: HastyClock
) -> None:
    standin.limits.refuse("GET", "/users/@me", retry_after=30, scope="global")
    await send()
    began = clock.monotonic()
    await send("/interactions/1/token/callback", "POST")
    await send("/webhooks/1/token", "POST")
    assert clock.monotonic() == began
    await send("/channels/1")
    assert clock.monotonic() >= began + 30


@pytest.mark.promise("P40")
async def test_routes_of_one_bucket_wait_together_once_their_answers_have_said_so(
    standin: Standin, send: Session, clock: HastyClock
) -> None:
    bucket = {"X-RateLimit-Bucket": "abc"}
    for method in ("GET", "PATCH"):
        standin.limits.answer(method, "/channels/1", 404, headers=bucket)
        await send("/channels/1", method)
    body = {"retry_after": 20, "global": False}
    standin.limits.answer("PATCH", "/channels/1", 429, body=body, headers=bucket)
    await send("/channels/1", "PATCH")
    began = clock.monotonic()
    await send("/channels/2")
    assert clock.monotonic() == began
    await send("/channels/1")
    assert clock.monotonic() >= began + 20


@pytest.mark.promise("P40")
async def test_a_time_of_days_is_obeyed_and_told_and_holds_its_route_alone(
    standin: Standin, send: Session, clock: HastyClock, told: list[str]
) -> None:
    standin.limits.refuse("POST", "/channels/1/typing", retry_after=90_000)
    assert await send.refused("/channels/1/typing", "POST") is not None
    clock.forward(80_000)
    assert await send.refused("/channels/1/typing", "POST") is not None
    assert await send() == 200
    [text] = told
    assert "POST /channels/{}/typing" in text
    assert "25.0 h" in text


async def test_no_token_is_in_the_name_of_a_route(standin: Standin) -> None:
    base = discord.http.Route.BASE
    for path in ("/interactions/1/SECRET/callback", "/webhooks/1/SECRET", "/webhooks/1/SECRET/messages/@original"):
        route = route_of("POST", URL(base + path))
        assert route is not None
        assert not route.is_global
        assert "SECRET" not in route.name
    assert route_of("GET", URL("https://cdn.example/api/v10/users/@me")) is None


# -- with the library -------------------------------------------------------------------------------------


@pytest.mark.promise("P40")
async def test_the_library_waits_as_long_as_the_later_of_both_says(
    standin: Standin, gate: RequestGate, clock: HastyClock
) -> None:
    async with discord.Client(intents=discord.Intents.none(), connector=gate.connector()) as client:
        await client.login(standin.token)
        standin.limits.answer("GET", "/users/1", 429, body={"retry_after": 0.01}, headers={"Retry-After": "20"})
        began = clock.monotonic()
        with pytest.raises(discord.NotFound):
            await client.fetch_user(1)
    assert began + 20 <= clock.monotonic() <= began + 22
    assert len(standin.limits.requests(pattern="/users/1")) == 2


@pytest.mark.promise("P40")
@pytest.mark.parametrize("value", [float("nan"), "soon", None, 1e9])
async def test_what_the_library_would_choke_on_is_a_plain_error(
    standin: Standin, gate: RequestGate, value: Any
) -> None:
    client = discord.Client(intents=discord.Intents.none(), connector=gate.connector())
    async with client:
        await client.login(standin.token)
        standin.limits.answer("GET", "/users/1", 429, body={"retry_after": value, "global": False})
        with pytest.raises(RequestsPaused):
            await asyncio.wait_for(client.fetch_user(1), 5)


async def test_a_closed_gate_is_no_end_of_the_gateways_connection(standin: Standin, gate: RequestGate) -> None:
    client = discord.Client(intents=discord.Intents.none(), connector=gate.connector())
    async with client:
        await client.login(standin.token)
        standin.limits.shield(times=1)
        with pytest.raises(discord.HTTPException):
            await client.fetch_user(1)
        running = asyncio.create_task(client.connect())
        await standin.gateway.ready()
        await client.close()
        await running
