"""Limits and faults are those that a test asked for, as Discord words them and as discord.py understands them."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import TypeAlias

import aiohttp
import discord
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from discord.http import HTTPClient, Route

from tests.standin.limits import HUNG_UP, Limits, route_of

Client: TypeAlias = TestClient[web.Request, web.Application]

MESSAGES = "/api/v10/channels/1/messages"
ANSWERED = web.AppKey("answered", list[str])
BUCKET = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Bucket")


async def answer(request: web.Request) -> web.StreamResponse:
    if request.path.endswith("/forbidden"):
        raise web.HTTPForbidden
    request.app[ANSWERED].append(request.path)
    return web.Response(body=b'{"id": "1"}', headers={"Content-Type": "application/json"})


async def converse(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("hello")
    await socket.close()
    return socket


@pytest.fixture
def now() -> SimpleNamespace:
    return SimpleNamespace(time=1000.0)


@pytest.fixture
def limits(now: SimpleNamespace) -> Limits:
    return Limits(clock=lambda: float(now.time))


@pytest.fixture
def answered() -> list[str]:
    """The paths that came through."""
    return []


@pytest.fixture
async def client(limits: Limits, answered: list[str]) -> AsyncIterator[Client]:
    app = web.Application(middlewares=[limits.middleware])
    app[ANSWERED] = answered
    app.router.add_get("/gateway", converse)
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_nothing_is_limited_until_a_test_asks(client: Client, limits: Limits) -> None:
    for _ in range(20):
        async with client.post(MESSAGES) as response:
            assert response.status == 200
            assert response.headers["Via"] == "1.1 google"
            assert "X-RateLimit-Limit" not in response.headers
    assert limits.statuses == {200: 20}
    assert limits.invalid == 0


async def test_a_bucket_counts_down_and_then_refuses_until_it_fills_again(
    client: Client, limits: Limits, now: SimpleNamespace
) -> None:
    limits.bucket("POST", "/channels/*/messages", limit=2, per=5)
    left = []
    for _ in range(2):
        async with client.post(MESSAGES) as response:
            left.append(response.headers["X-RateLimit-Remaining"])
            assert response.headers["X-RateLimit-Reset-After"] == "5.000"
    assert left == ["1", "0"]

    now.time += 3.5
    async with client.post(MESSAGES) as response:
        assert response.status == 429
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Retry-After"] == "2"
        assert response.headers["X-RateLimit-Scope"] == "user"
        assert response.headers["X-RateLimit-Remaining"] == "0"
        assert await response.json() == {
            "message": "You are being rate limited.",
            "retry_after": 1.5,
            "global": False,
        }
    now.time += 1.5
    async with client.post(MESSAGES) as response:
        assert response.status == 200
    assert limits.statuses == {200: 3, 429: 1}
    assert limits.times(status=429) == [1003.5]
    assert limits.invalid == 1


async def test_each_channel_has_its_own_bucket_of_the_same_name(client: Client, limits: Limits) -> None:
    limits.bucket(limit=1)
    names = set()
    for channel in range(3):
        async with client.post(f"/api/v10/channels/{channel}/messages") as response:
            assert response.status == 200
            names.add(response.headers["X-RateLimit-Bucket"])
    assert len(names) == 1


async def test_a_refusal_of_the_route_itself_uses_the_bucket_up_too(client: Client, limits: Limits) -> None:
    limits.bucket(limit=1)
    for status in (403, 429):
        async with client.get("/api/v10/channels/1/forbidden") as response:
            assert response.status == status
            assert response.headers["Via"]
            assert all(name in response.headers for name in BUCKET)
    assert limits.invalid == 2


@pytest.mark.parametrize(
    ("method", "path", "route", "major"),
    [
        ("POST", "/channels/12/messages", "POST /channels/{}/messages", "12"),
        ("PATCH", "/channels/12/messages/34", "PATCH /channels/{}/messages/{}", "12"),
        ("PATCH", "/guilds/5/members/6", "PATCH /guilds/{}/members/{}", "5"),
        ("POST", "/webhooks/7/tok3n", "POST /webhooks/{}/{}", "7/tok3n"),
        ("PATCH", "/webhooks/7/tok3n/messages/@original", "PATCH /webhooks/{}/{}/messages/@original", "7/tok3n"),
        ("POST", "/interactions/8/tok3n/callback", "POST /interactions/{}/{}/callback", ""),
        ("GET", "/users/@me", "GET /users/@me", ""),
        ("GET", "/users/9", "GET /users/{}", ""),
    ],
)
def test_a_bucket_is_for_a_route_and_a_channel_guild_or_webhook(method: str, path: str, route: str, major: str) -> None:
    assert route_of(method, path) == (route, major)


async def test_the_global_limit_holds_for_all_but_interactions_and_webhooks(
    client: Client, limits: Limits, now: SimpleNamespace
) -> None:
    limits.everything(limit=2, per=1)
    paths = ["/channels/1/messages", "/users/@me", "/guilds/1", "/interactions/1/t/callback", "/webhooks/1/t"]
    found = []
    for path in paths:
        async with client.post(f"/api/v10{path}") as response:
            found.append(response.status)
            if response.status == 429:
                assert response.headers["X-RateLimit-Global"] == "true"
                assert response.headers["X-RateLimit-Scope"] == "global"
                assert (await response.json())["global"] is True
    assert found == [200, 200, 429, 200, 200]
    now.time += 1
    async with client.post(f"/api/v10{paths[2]}") as response:
        assert response.status == 200


async def test_a_scripted_answer_comes_as_often_as_asked_and_nothing_gets_through(
    client: Client, limits: Limits, answered: list[str]
) -> None:
    limits.answer("POST", "/channels/*/messages", 502, body="<html>bad gateway</html>", times=2)
    limits.always("GET", "/users/**", 403, body={"message": "Missing Access", "code": 50001}, headers={"X-Own": "1"})
    found = []
    for method, path in [("POST", MESSAGES)] * 3 + [("GET", "/api/v10/users/1")] * 3 + [("GET", MESSAGES)]:
        async with client.request(method, path, data=b"x" * 100_000) as response:
            found.append(response.status)
            if response.status == 403:
                assert (await response.json())["code"] == 50001
                assert response.headers["X-Own"] == "1"
    assert found == [502, 502, 200, 403, 403, 403, 200]
    assert answered == [MESSAGES, MESSAGES]
    assert [seen.path for seen in limits.requests("GET", "/users/*", 403)] == ["/users/1"] * 3
    limits.clear()
    async with client.get("/api/v10/users/1") as response:
        assert response.status == 200


async def test_a_shared_limit_is_nobodys_fault(client: Client, limits: Limits) -> None:
    limits.refuse("*", "/**", retry_after=1.25, scope="shared")
    limits.refuse("*", "/**", retry_after=1.25)
    for subject, scope in (("The resource is", "shared"), ("You are", "user")):
        async with client.get(MESSAGES) as response:
            assert response.status == 429
            assert response.headers["X-RateLimit-Scope"] == scope
            assert (await response.json())["message"] == f"{subject} being rate limited."
    assert limits.statuses == {429: 2}
    assert limits.invalid == 1


async def test_the_shield_answers_without_a_sign_of_discord(client: Client, limits: Limits) -> None:
    limits.shield(times=1)
    async with client.get(MESSAGES) as response:
        assert response.status == 429
        assert not {"Via", "Retry-After", "X-RateLimit-Scope"} & set(response.headers)
        assert response.content_type == "text/html"
    assert limits.invalid == 1


async def test_a_slow_answer_is_the_answer_all_the_same(client: Client, limits: Limits, answered: list[str]) -> None:
    limits.slow("GET", "/channels/**", 30)
    with pytest.raises(TimeoutError):
        await client.get(MESSAGES, timeout=aiohttp.ClientTimeout(total=0.05))
    assert answered == []
    limits.slow("GET", "/channels/**", 0.05)
    started = asyncio.get_running_loop().time()
    async with client.get(MESSAGES) as response:
        assert response.status == 200
    assert asyncio.get_running_loop().time() - started >= 0.05


@pytest.mark.parametrize("done", [False, True])
async def test_an_answer_can_be_lost_with_or_without_its_effect(
    client: Client, limits: Limits, answered: list[str], done: bool
) -> None:
    limits.hang_up("POST", "/**", done=done)
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.post(MESSAGES)
    assert answered == ([MESSAGES] if done else [])
    async with client.post(MESSAGES) as response:
        assert response.status == 200
    assert limits.statuses == {HUNG_UP: 1, 200: 1}


async def test_the_gateway_is_no_request(client: Client, limits: Limits) -> None:
    limits.everything(limit=0)
    limits.shield()
    async with client.ws_connect("/gateway") as socket:
        assert await socket.receive_str() == "hello"
    assert limits.seen == []


# -- as discord.py understands them -----------------------------------------------------------------------


@pytest.fixture
async def library(client: Client, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HTTPClient]:
    """discord.py's own client for requests, logged in, with a clock that runs."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(Route, "BASE", str(client.make_url("/api/v10")))
    limits.clock = loop.time
    http = HTTPClient(loop)
    await http.static_login("a" + "b")
    limits.seen.clear()
    yield http
    await http.close()


def send() -> Route:
    return Route("POST", "/channels/{channel_id}/messages", channel_id=1)


async def test_discord_py_learns_a_bucket_and_is_never_refused(library: HTTPClient, limits: Limits) -> None:
    limits.bucket("POST", "/channels/*/messages", limit=3, per=0.3)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(7):
            tasks.create_task(library.request(send(), json={}))
    assert limits.statuses == {200: 7}
    times = limits.times()
    assert times[3] - times[0] >= 0.3
    assert times[6] - times[3] >= 0.3


@pytest.mark.parametrize("scope", ["user", "shared", "global"])
async def test_discord_py_waits_as_long_as_it_is_told(library: HTTPClient, limits: Limits, scope: str) -> None:
    limits.refuse("POST", "/**", retry_after=0.2, scope=scope)
    await library.request(send(), json={})
    refused, taken = limits.times()
    assert taken - refused >= 0.2
    assert limits.statuses == {429: 1, 200: 1}


async def test_discord_py_gives_up_before_the_shield(library: HTTPClient, limits: Limits) -> None:
    limits.shield()
    with pytest.raises(discord.HTTPException) as raised:
        await library.request(send(), json={})
    assert raised.value.status == 429
    assert limits.statuses == {429: 1}


async def test_discord_py_reads_scripted_errors(library: HTTPClient, limits: Limits) -> None:
    limits.answer("POST", "/**", 403, body={"message": "Cannot send messages to this user", "code": 50007})
    with pytest.raises(discord.Forbidden) as raised:
        await library.request(send(), json={})
    assert raised.value.code == 50007
