"""The gate: nothing is given to strangers, and nothing is done that nobody meant."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from socbot.config import WebConfig
from socbot.systems.access import FIRST
from socbot.testing import OWNER, FakeClock
from socbot.web.gate import CSRF
from socbot.web.throttle import EACH, WINDOW
from tests.web.conftest import MakeSite, Site

pytestmark = pytest.mark.promise("P38")

ME = ":".join(OWNER)
TOKEN = "a-token-of-the-operators-own"
PATHS = ("/", "/access", "/errors", "/api/v1/overview", "/api/v1/access", "/api/v1/openapi.json", "/metrics", "/nosuch")
PROBES = ("/livez", "/readyz", "/startupz", "/healthz")


def port_of(site: Site) -> int:
    return httpx.URL(site.web.address).port or 0


async def raw(site: Site, request: str | bytes) -> bytes:
    """What comes back over a connection on which ``request`` was sent as it is."""

    def exchange() -> bytes:
        with socket.create_connection(("127.0.0.1", port_of(site)), 10) as connection:
            connection.sendall(request if isinstance(request, bytes) else request.encode())
            parts = []
            try:
                while part := connection.recv(65_536):
                    parts.append(part)
            except (ConnectionResetError, TimeoutError):
                pass
        return b"".join(parts)

    return await anyio.to_thread.run_sync(exchange)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@asynccontextmanager
async def browser(site: Site, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies and shows no token."""
    async with httpx.AsyncClient(base_url=site.web.address, trust_env=False, **options) as client:
        yield client


async def sign_in(site: Site, client: httpx.AsyncClient, token: str | None = None, **form: str) -> httpx.Response:
    given = {"token": token} if token is not None else {}
    return await client.post("/login", data=given | form)


async def with_session(site: Site, client: httpx.AsyncClient) -> str:
    """Sign the client in by a link; what its forms must carry."""
    answer = await sign_in(site, client, ticket=site.bot.access.ticket(ME))
    assert answer.status_code == 303, answer.text
    page = (await client.get("/access")).text
    found = re.search(r'name="csrf" value="(\w+)"', page)
    assert found is not None
    return found[1]


# -- strangers ----------------------------------------------------------------------------------------


async def test_nothing_without_a_token(make_site: MakeSite) -> None:
    async with make_site() as site:
        token = site.owner.headers["Authorization"].removeprefix("Bearer ")
        shown: dict[str, dict[str, str]] = {
            "none": {},
            "wrong": {"Authorization": "Bearer " + "0" * len(token)},
            "truncated": {"Authorization": f"Bearer {token[:-1]}"},
            "longer": {"Authorization": f"Bearer {token}0"},
            "empty": {"Authorization": "Bearer"},
            "of another kind": {"Authorization": f"Basic {token}"},
            "a cookie": {"Cookie": f"socbot_session={token}"},
        }
        for name, headers in shown.items():
            for path in PATHS:
                answer = await site.visitor.get(path, headers=headers)
                if answer.status_code == 303:
                    assert answer.headers["Location"].startswith("/login"), (name, path)
                    assert not path.startswith(("/api", "/metrics"))
                    assert answer.content == b""
                else:
                    assert answer.status_code == 401, (name, path)
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                    assert site.bot.config.storage.url not in answer.text
                for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                    answer = await site.visitor.request(method, path, headers=headers)
                    assert answer.status_code == 401, (name, method, path)
        assert len(site.bot.access.sessions()) == 0


async def test_whoever_shows_two_tokens_shows_none(make_site: MakeSite) -> None:
    async with make_site() as site:
        good = site.owner.headers["Authorization"]
        answer = await site.visitor.get("/api/v1/overview", headers=[("Authorization", good), ("Authorization", good)])
        assert answer.status_code == 401


async def test_probes_need_nothing_and_tell_no_secrets(make_site: MakeSite) -> None:
    async with make_site() as site:
        for path in PROBES:
            for headers in ({}, {"Host": "kubelet.example"}, {"Authorization": "Bearer nonsense"}):
                answer = await site.visitor.get(path, headers=headers)
                assert answer.status_code in (200, 503), path
                assert answer.headers["Content-Type"] == "application/json"


async def test_a_page_that_was_asked_for_comes_after_signing_in(make_site: MakeSite) -> None:
    async with make_site(web=WebConfig(port=0, token=TOKEN)) as site, browser(site) as client:
        asked = await client.get("/errors?range=24h&q=a%20b")
        assert asked.headers["Location"] == "/login?next=%2Ferrors%3Frange%3D24h%26q%3Da%2520b"
        form = (await client.get(asked.headers["Location"])).text
        assert 'name="next" value="/errors?range=24h&amp;q=a%20b"' in form
        done = await sign_in(site, client, TOKEN, next="/errors?range=24h&q=a%20b")
        assert done.headers["Location"] == "/errors?range=24h&q=a%20b"


async def test_nobody_is_led_elsewhere(make_site: MakeSite) -> None:
    async with make_site(web=WebConfig(port=0, token=TOKEN)) as site, browser(site) as client:
        for next in (
            "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "", "/\r\nX: 1", "x"
        ):  # fmt: skip
            assert (await sign_in(site, client, TOKEN, next=next)).headers["Location"] == "/", next
            assert (await client.get("/login", params={"next": next})).headers["Location"] == "/", next


# -- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("web", "known", "foreign"),
    [
        (
            WebConfig(port=0),
            ["127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:80", "localhost."],
            ["evil.example", "127.0.0.1.evil.example", "192.168.1.5", "localhost@evil.example", "evil.example:8787",
             "127.0.0.1@evil.example", "", "localhost, evil.example", "[::1].evil.example"],
        ),
        (
            WebConfig(port=0, url="https://bot.example.org"),
            ["bot.example.org", "BOT.example.org:443", "127.0.0.1:8787"],
            ["example.org", "bot.example.org.evil.example", "xbot.example.org"],
        ),
        (
            WebConfig(port=0, host="0.0.0.0", token=TOKEN),
            ["127.0.0.1", "192.168.1.5:8787", "[2001:db8::1]:8787"],
            ["evil.example", "192.168.1.5.evil.example"],
        ),
    ],
)  # fmt: skip
async def test_it_answers_under_its_own_names_alone(
    make_site: MakeSite, web: WebConfig, known: list[str], foreign: list[str]
) -> None:
    async with make_site(web=web) as site:
        for path in ("/", "/login", "/api/v1/overview"):
            for name in known:
                assert (await site.owner.get(path, headers={"Host": name})).status_code in (200, 303), (name, path)
            for name in foreign:
                answer = await site.owner.get(path, headers={"Host": name})
                assert answer.status_code in (400, 421), (name, path)
                assert "set-cookie" not in answer.headers


async def test_without_a_name_or_with_two_there_is_no_answer(make_site: MakeSite) -> None:
    async with make_site() as site:
        token = site.owner.headers["Authorization"]
        for head in (
            "GET /api/v1/overview HTTP/1.1\r\n",
            "GET /api/v1/overview HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
            "GET http://evil.example/api/v1/overview HTTP/1.1\r\nHost: localhost\r\n",
            "GET http://localhost/api/v1/overview HTTP/1.1\r\nHost: evil.example\r\n",
        ):
            answer = await raw(site, f"{head}Authorization: {token}\r\nConnection: close\r\n\r\n")
            assert status_of(answer) in (400, 404, 421), answer


# -- roles --------------------------------------------------------------------------------------------


async def test_who_looks_changes_nothing_and_who_sends_sees_nothing(make_site: MakeSite) -> None:
    async with make_site() as site:
        roles = {}
        for role in ("viewer", "sender"):
            text = await site.bot.access.add(role, role, ME)
            roles[role] = {"Authorization": f"Bearer {text}"}
        looks, sends = roles["viewer"], roles["sender"]
        assert (await site.visitor.get("/api/v1/overview", headers=looks)).status_code == 200
        for path in ("/access", "/api/v1/access"):
            assert (await site.owner.get(path)).status_code == 200
            assert (await site.visitor.get(path, headers=looks)).status_code == 403
        for path in ("/actions/backup_now", "/api/v1/actions/backup_now", "/api/v1/signals"):
            assert (await site.visitor.post(path, headers=looks, json={})).status_code == 403
        for path in PATHS:
            assert (await site.visitor.get(path, headers=sends)).status_code == 403, path
        assert (await site.visitor.post("/api/v1/actions/backup_now", headers=sends, json={})).status_code == 403
        signal = {"kind": "alert", "title": "The cron job failed"}
        assert (await site.visitor.post("/api/v1/signals", headers=sends, json=signal)).status_code != 403


async def test_a_token_that_was_taken_away_opens_nothing_from_the_next_request_on(make_site: MakeSite) -> None:
    async with make_site() as site, browser(site) as client:
        text = await site.bot.access.add("ops", "owner", ME)
        assert (await sign_in(site, client, text)).status_code == 303
        assert (await client.get("/")).status_code == 200
        assert (await site.owner.post("/api/v1/actions/token_remove", json={"name": "ops"})).status_code == 202
        assert (await client.get("/")).status_code == 200  # it was asked about, and not done yet
        await site.bot.access.remove("ops")
        assert (await client.get("/")).status_code == 303
        bearer = {"Authorization": f"Bearer {text}"}
        assert (await site.visitor.get("/api/v1/overview", headers=bearer)).status_code == 401


# -- browsers -----------------------------------------------------------------------------------------


def cookie_of(answer: httpx.Response) -> tuple[str, Any]:
    [(name, morsel)] = SimpleCookie(answer.headers["Set-Cookie"]).items()
    return name, morsel


async def test_the_cookie_is_kept_from_scripts_and_from_other_sites(make_site: MakeSite) -> None:
    async with make_site(web=WebConfig(port=0, token=TOKEN)) as site, browser(site) as client:
        name, morsel = cookie_of(await sign_in(site, client, TOKEN))
        assert (name, morsel["path"], morsel["samesite"], morsel["domain"]) == ("socbot_session", "/", "Strict", "")
        assert morsel["httponly"]
        assert TOKEN not in morsel.value
    https = WebConfig(port=0, token=TOKEN, url="https://bot.example.org")
    host = {"Host": "bot.example.org"}
    async with make_site(web=https, random=Random(2)) as site, browser(site, headers=host) as client:
        answer = await sign_in(site, client, TOKEN)
        name, morsel = cookie_of(answer)
        assert (name, morsel["path"], morsel["domain"]) == ("__Host-socbot_session", "/", "")
        assert morsel["secure"]
        assert morsel["httponly"]
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
        sent = {"Cookie": f"socbot_session={morsel.value}"}  # what another site of the domain could have set
        assert (await client.get("/", headers=sent)).status_code == 303


async def test_signing_in_makes_a_new_session_and_ends_the_one_before(make_site: MakeSite) -> None:
    async with make_site(web=WebConfig(port=0, token=TOKEN)) as site, browser(site) as client:
        client.cookies.set("socbot_session", "chosen-by-somebody-else", domain="127.0.0.1", path="/")
        _, first = cookie_of(await sign_in(site, client, TOKEN))
        assert first.value != "chosen-by-somebody-else"
        _, second = cookie_of(await sign_in(site, client, TOKEN))
        assert second.value != first.value
        assert site.bot.access.session(first.value) is None
        assert site.bot.access.session(second.value) is not None


async def test_signing_out_ends_the_session(make_site: MakeSite) -> None:
    async with make_site() as site, browser(site) as client:
        csrf = await with_session(site, client)
        cookie = client.cookies["socbot_session"]
        assert (await client.post("/logout")).status_code == 403
        answer = await client.post("/logout", data={"csrf": csrf})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
        assert site.bot.access.session(cookie) is None
        assert (await client.get("/", headers={"Cookie": f"socbot_session={cookie}"})).status_code == 303


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
]


async def test_nothing_is_done_that_no_page_of_ours_has_sent(make_site: MakeSite) -> None:
    async with make_site() as site, browser(site) as client:
        csrf = await with_session(site, client)
        listed = {"user": "local:7", "reason": "spam"}
        action, api = "/actions/blacklist_add", "/api/v1/actions/blacklist_add"
        for form in ({}, {"csrf": ""}, {"csrf": csrf[:-1]}, {"csrf": csrf.upper()}, {"csrf": "é"}):
            assert (await client.post(action, data=listed | form)).status_code == 403
        assert (await client.post(f"{action}?csrf={csrf}", data=listed)).status_code == 403
        assert (await client.post(action, content=f'{{"csrf": "{csrf}"}}')).status_code == 403
        # The token in the body is not enough where a form of another site could have put it.
        assert (await client.post(api, json=listed)).status_code == 403
        assert (await client.post(api, data={"csrf": csrf})).status_code == 403
        for headers in FOREIGN:
            assert (await client.post(action, data=listed | {"csrf": csrf}, headers=headers)).status_code == 403, (
                headers
            )
            assert (await client.post(api, json=listed, headers={CSRF: csrf} | headers)).status_code == 403, headers
            assert (await client.post("/logout", data={"csrf": csrf}, headers=headers)).status_code == 403, headers
        assert await site.bot.blacklist.entries() == ()
        ours = {"Origin": site.web.address, "Sec-Fetch-Site": "same-origin"}
        assert (await client.post(action, data=listed | {"csrf": csrf}, headers=ours)).status_code == 303
        assert (
            await client.post(api, json=listed | {"user": "local:8"}, headers=ours | {CSRF: csrf})
        ).status_code == 200
        assert len(await site.bot.blacklist.entries()) == 2


async def test_nobody_is_signed_in_by_a_page_of_another_site(make_site: MakeSite) -> None:
    async with make_site(web=WebConfig(port=0, token=TOKEN)) as site, browser(site) as client:
        for headers in FOREIGN:
            answer = await client.post("/login", data={"token": TOKEN}, headers=headers)
            assert answer.status_code == 403, headers
            assert "set-cookie" not in answer.headers
        as_json = await client.post("/login", json={"token": TOKEN})
        assert as_json.status_code == 415
        assert site.bot.access.sessions() == ()


async def test_the_csrf_token_of_one_session_is_no_use_in_another(make_site: MakeSite) -> None:
    async with make_site() as site, browser(site) as one, browser(site) as other:
        csrf, own = await with_session(site, one), await with_session(site, other)
        assert csrf != own
        assert (await other.post("/logout", data={"csrf": csrf})).status_code == 403
        assert (await other.post("/logout", data={"csrf": own})).status_code == 303


async def test_every_form_carries_what_it_must(make_site: MakeSite) -> None:
    async with make_site() as site, browser(site) as client:
        csrf = await with_session(site, client)
        for path in ("/", "/access"):
            page = (await client.get(path)).text
            forms = re.findall(r'<form[^>]*method="post".*?</form>', page, re.DOTALL)
            assert forms, path
            assert all(f'name="csrf" value="{csrf}"' in form for form in forms)


# -- links --------------------------------------------------------------------------------------------


async def test_a_link_that_is_only_looked_at_is_not_used_up(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site, browser(site) as client:
        link = f"/login?ticket={site.bot.access.ticket(FIRST)}"
        for method in ("GET", "HEAD", "GET"):
            answer = await site.visitor.request(method, link)  # as a chat does that shows what is behind it
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
        ticket = link.partition("=")[2]
        assert (await sign_in(site, client, ticket=ticket)).status_code == 303
        assert (await client.get("/")).status_code == 200
        again = await sign_in(site, client, ticket=ticket)
        assert again.status_code == 401
        assert "does not sign in any more" in again.text
        late = site.bot.access.ticket(FIRST)
        clock.forward(300)
        assert (await sign_in(site, client, ticket=late)).status_code == 401


# -- floods -------------------------------------------------------------------------------------------


async def test_guessing_is_slowed_down_and_locks_nobody_out(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, web=WebConfig(port=0, token=TOKEN)) as site, browser(site) as client:
        csrf = await with_session(site, client)
        for _ in range(EACH):
            assert (await sign_in(site, site.visitor, "a wrong one")).status_code == 401
        for text in ("a wrong one", TOKEN):
            answer = await sign_in(site, site.visitor, text)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["Retry-After"]) <= WINDOW + 1
        assert (await client.get("/")).status_code == 200
        assert (await client.post("/logout", data={"csrf": csrf})).status_code == 303
        assert (await site.owner.get("/api/v1/overview")).status_code == 200
        assert (await sign_in(site, client, ticket=site.bot.access.ticket(ME))).status_code == 303
        clock.forward(WINDOW)
        async with browser(site) as other:
            assert (await sign_in(site, other, TOKEN)).status_code == 303


async def test_tokens_without_end_do_not_fill_the_log_or_the_memory(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_site() as site:
        for number in range(100):
            headers = {"Authorization": f"Bearer guess-{number}"}
            assert (await site.visitor.get("/api/v1/overview", headers=headers)).status_code == 401
        told = [record for record in caplog.records if "wrong token" in record.getMessage()]
        assert len(told) == 1
        assert "guess" not in caplog.text


# -- what every answer carries ------------------------------------------------------------------------


async def test_every_answer_is_sealed(make_site: MakeSite) -> None:
    async with make_site() as site:
        page = (await site.owner.get("/")).text
        found = re.search(r'href="(/static/[^"]+\.css)"', page)
        assert found is not None
        for client in (site.owner, site.visitor):
            for path in (*PATHS, "/login", found[1]):
                answer = await client.get(path)
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'")
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "same-origin"
                assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert "Strict-Transport-Security" not in answer.headers
                assert "server" not in answer.headers
                assert ("immutable" if path == found[1] else "no-store") in answer.headers["Cache-Control"], path


async def test_no_page_holds_a_script_or_a_style_of_its_own(make_site: MakeSite) -> None:
    async with make_site() as site:
        for path in ("/", "/access", "/login", "/nosuch"):
            page = (await site.owner.get(path)).text
            assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", page), path


# -- tricks -------------------------------------------------------------------------------------------


ELSEWHERE = (
    "/static/../api/v1/overview", "/static/%2e%2e/api/v1/overview", "/static/..%2fapi/v1/overview",
    "/login/../api/v1/overview", "/livez/../api/v1/overview", "/livez/%2e%2e/api/v1/overview", "//api/v1/overview",
    "/api//v1/overview", "/./api/v1/overview", "/api/v1/./overview", "/api/v1/overview/..", "/api\\v1\\overview",
    "/api/v1/overview%00", "/livez%00/api/v1/overview", "/static/", "/static/x/style.css", "/login;/api/v1/overview",
    "/livez;/../api/v1/overview", "/etc/passwd", "/..%c0%af..%c0%afetc/passwd", "/%2fapi/v1/overview",
)  # fmt: skip


async def test_a_path_that_is_written_otherwise_leads_nowhere(make_site: MakeSite) -> None:
    async with make_site() as site:
        token = site.owner.headers["Authorization"]
        for path in ELSEWHERE:
            for shown in ("", f"Authorization: {token}\r\n"):
                head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{shown}Connection: close\r\n\r\n"
                answer = await raw(site, head)
                wanted = (400, 404) if shown else (303, 400, 401, 404)
                assert status_of(answer) in wanted, (path, answer)
                assert b'"uptime"' not in answer


async def test_what_is_no_request_is_turned_away_without_a_word(make_site: MakeSite) -> None:
    async with make_site() as site:
        for request in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX\x00Y: 1\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n X: folded\r\n\r\n",
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"SSH-2.0-nonsense\r\n",
        ):
            answer = await raw(site, request)
            assert status_of(answer) in (0, 400), answer
            assert b"aiohttp" not in answer
            assert b"Server:" not in answer
            assert b"Traceback" not in answer
            assert len(answer) < 400
        assert (await site.owner.get("/api/v1/overview")).status_code == 200


async def test_other_methods_are_not_served(make_site: MakeSite) -> None:
    async with make_site() as site:
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            answer = await site.owner.request(method, "/api/v1/overview")
            assert answer.status_code == 405, method
            assert "GET" in answer.headers["Allow"]
            assert answer.headers["Content-Type"] == "application/problem+json"
        assert (await site.owner.post("/")).status_code == 405
        assert (await site.owner.head("/")).status_code == 200


async def test_a_form_is_bounded(make_site: MakeSite) -> None:
    async with make_site() as site:
        answer = await site.visitor.post("/login", data={"token": "a" * 200_000})
        assert answer.status_code == 413


async def test_a_hostile_zone_is_none(make_site: MakeSite) -> None:
    async with make_site() as site, browser(site) as client:
        await with_session(site, client)
        for zone in ("../../etc/passwd", "Nowhere/Land", "America", "a" * 5_000, "/etc/passwd"):
            session = client.cookies["socbot_session"]
            sent = {"Cookie": f"socbot_session={session}; socbot_zone={zone}"}
            answer = await client.get("/access", headers=sent)
            assert answer.status_code == 200, zone


# -- what fails ---------------------------------------------------------------------------------------


async def test_what_fails_is_captured_and_says_nothing_of_itself(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise ValueError("the inside of it")

    async with make_site() as site:
        monkeypatch.setattr(site.bot.access, "tokens", fail)  # which is no coroutine, and so cannot be iterated
        with pytest.warns(RuntimeWarning, match="never awaited"):
            page, facts = await site.owner.get("/access"), await site.owner.get("/api/v1/access")
        for answer in (page, facts):
            assert answer.status_code == 500
            assert "Traceback" not in answer.text
            assert "coroutine" not in answer.text
        quoted = re.search(r"E-\w+", page.text)
        assert quoted is not None
        for error_id in (quoted[0], facts.json()["error_id"]):
            record = await site.bot.errors.find(error_id)
            assert record is not None
            assert record.type == "TypeError"


async def test_a_bot_that_stands_still_is_said_to(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socbot.web.server.PATIENCE", 0.2)
    async with make_site() as site:
        held, release = anyio.Event(), anyio.Event()

        async def hold() -> None:
            held.set()
            await release.wait()

        monkeypatch.setattr(site.bot.audit, "flush", hold)  # what the page asks for first

        answer = await site.owner.get("/api/v1/audit")
        release.set()
        assert held.is_set()
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert "did not answer" in answer.json()["detail"]
