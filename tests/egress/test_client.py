"""The client against a receiver that does what receivers should not."""

import asyncio
import inspect
import logging
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import httpx
import psutil
import pytest

from socbot.config import WebhooksConfig
from socbot.egress import Answer, Blocked, Client, EgressError, TimedOut, Unreachable, Unreadable, policy
from socbot.egress.client import Resolve
from tests import receiver as vocabulary
from tests.egress.test_policy import BADLY_WRITTEN, INWARD, OUTSIDE
from tests.receiver import Behaviour, Receiver, answer, fail, in_a_thread, redirect, storm, trusting

CANARY = "Canary-5ecret-path"
ROOT = Path(__file__).parent.parent.parent


async def outcome(client: Client, url: str, body: bytes, headers: dict[str, str]) -> Answer | EgressError:
    try:
        return await client.post(url, body, headers)
    except EgressError as error:
        return error


def leads_to(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Listens, by https, wherever loopback can be reached, at a port that the policy does not mind."""
    with in_a_thread(Receiver(tls=True, host="0.0.0.0")) as receiver:
        monkeypatch.setattr(policy, "PORTS", policy.PORTS | {receiver.port})
        yield receiver


@pytest.fixture
def everywhere() -> Iterator[Receiver]:
    """Listens wherever loopback can be reached, without TLS."""
    with in_a_thread(Receiver(host="0.0.0.0")) as receiver:
        yield receiver


# -- where it goes ------------------------------------------------------------------------------------


async def test_a_request_arrives_as_it_was_sent(receiver: Receiver) -> None:
    receiver.on("/hook?wait=true", answer(200, {"X-RateLimit-Remaining": "3", "Server": "x"}, {"id": "7"}))
    async with Client([receiver.address]) as client:
        got = await client.post(receiver.url("/hook?wait=true"), b"\x00{}\xff", {"Content-Type": "application/json"})
    request = receiver.wait(1)[0]
    assert (request.method, request.path, request.body) == ("POST", "/hook?wait=true", b"\x00{}\xff")
    assert request.headers == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": "4",
        "content-type": "application/json",
        "host": receiver.address,
        "user-agent": "socbot",
    }
    assert (got.status, got.text, got.whole) == (200, '{"id": "7"}', True)
    assert got.headers == {"x-ratelimit-remaining": "3"}
    assert 0 < got.seconds < 10
    assert '"id"' not in repr(got)


async def test_a_header_cannot_become_two(receiver: Receiver) -> None:
    async with Client([receiver.address]) as client:
        with pytest.raises(ValueError, match="header") as refusal:
            await client.post(receiver.url(), b"{}", {"X": f"a\r\n{CANARY}: c"})
        assert CANARY not in "".join(traceback.format_exception(refusal.value))
    assert receiver.requests == []


async def test_tls_holds_by_the_name_that_was_asked_for(inside: Receiver) -> None:
    async def ask(host: str) -> Answer:
        async with Client([host], tls=trusting(), resolve=leads_to("127.0.0.1")) as client:
            return await client.patch(f"https://{host}:{inside.port}/", b"{}")

    assert (await ask("hook.test")).status == 200
    assert inside.requests[0].method == "PATCH"
    assert inside.requests[0].headers["host"] == f"hook.test:{inside.port}"
    with pytest.raises(Unreachable, match="not trusted"):
        await ask("other.test")
    async with Client(["127.0.0.1"]) as client:  # by the host's own store of certificates
        with pytest.raises(Unreachable, match="not trusted"):
            await client.get(inside.url("/", "127.0.0.1"))
    assert len(inside.requests) == 1


@pytest.mark.promise("P12")
@pytest.mark.parametrize("resolve", [None, leads_to("127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1")])
async def test_no_address_reaches_a_listener_on_loopback(inside: Receiver, resolve: Resolve | None) -> None:
    urls = [line.lstrip(" ") for line in (*BADLY_WRITTEN, *INWARD, *OUTSIDE)]
    urls += [
        *("https://127.0.0.1.nip.example/", "https://hook.test/", "https://localtest.me.example/"),
        *("https://discord.com/api/webhooks/1/x", "https://metadata.google.internal/", "https://a.localhost/"),
    ]
    async with Client(tls=trusting(), resolve=resolve or leads_to("127.0.0.1")) as client:
        for url in urls:
            for written in (url, _at_port(url, inside.port)):
                with pytest.raises(Blocked):
                    await client.post(written, b"{}")
    assert inside.connections == 0
    # What would have been seen, had one got through:
    async with Client(["0.0.0.0/0"], tls=trusting(), resolve=leads_to("127.0.0.1")) as client:
        assert (await client.post(f"https://hook.test:{inside.port}/", b"{}")).status == 200
    assert inside.connections == 1


def _at_port(url: str, port: int) -> str:
    """``url`` as it would lead to ``port``, unless it has one."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not slashes or re.search(r":\d+$", authority.rpartition("]")[2]):
        return url
    return f"{scheme}://{authority}:{port}{slash}{path}"


@pytest.mark.promise("P12")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(("scheme", "times"), [("https", 200), ("http", 800)])
async def test_an_address_that_was_checked_is_the_one_that_is_dialled(
    inside: Receiver, everywhere: Receiver, scheme: str, times: int
) -> None:
    """A name that leads to a good address the first time and inside the second, and so on."""
    asked = 0

    async def rebinding(host: str, port: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        return ["127.0.0.2"] if asked % 2 else ["127.0.0.1"]

    listening = inside if scheme == "https" else everywhere
    listening.on("/", answer(200, {"Connection": "close"}))
    async with Client(["127.0.0.2/32"], resolve=rebinding, tls=trusting()) as client:
        arrived = 0
        for _ in range(times):
            try:
                await client.post(f"{scheme}://hook.test:{listening.port}/", b"{}")
                arrived += 1
            except Blocked:
                pass
    assert asked == times
    assert arrived == listening.connections == times / 2
    assert all(request.headers["host"].startswith("hook.test") for request in listening.requests)


async def test_a_name_that_leads_inside_today_may_be_tried_again() -> None:
    async with Client(resolve=leads_to("0.0.0.0")) as client:  # as a resolver that filters answers
        with pytest.raises(Blocked, match="leads to no address in the public internet") as refusal:
            await client.get("https://example.org/")
        assert not refusal.value.permanent
        with pytest.raises(Blocked) as refusal:
            await client.get("https://10.0.0.1/")
        assert refusal.value.permanent


@pytest.mark.promise("P12")
async def test_of_mixed_answers_only_the_allowed_ones_are_dialled(inside: Receiver) -> None:
    found = leads_to("127.0.0.1", "10.0.0.1", "::1", "169.254.169.254", "fe80::1", "127.0.0.9", "::ffff:127.0.0.1")
    async with Client(["127.0.0.9/32"], resolve=found, tls=trusting(), timeout=2) as client:
        assert (await client.post(f"https://hook.test:{inside.port}/", b"{}")).status == 200
    assert inside.connections == 1


async def test_the_next_address_is_tried_where_one_does_not_take_the_connection(receiver: Receiver) -> None:
    found = leads_to("127.0.0.3", "127.0.0.4", "127.0.0.1")  # it listens at the last one alone
    async with Client(["127.0.0.0/8"], resolve=found) as client:
        assert (await client.get(f"http://hook.test:{receiver.port}/")).status == 200


@pytest.mark.promise("P12")
async def test_the_environments_proxies_are_ignored(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_a_thread(Receiver()) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with Client([receiver.address]) as client:
            assert (await client.get(receiver.url())).status == 200
        assert (len(receiver.requests), proxy.connections) == (1, 0)


async def test_a_proxy_that_the_operator_names_is_used_and_addresses_are_still_read_strictly(
    receiver: Receiver, inside: Receiver
) -> None:
    with in_a_thread(Receiver()) as proxy:
        async with Client(
            ["hook.test"], proxy=f"http://me:{CANARY}@127.0.0.1:{proxy.port}", tls=trusting(), timeout=2
        ) as client:
            proxy.otherwise = answer(200, body="by proxy")
            assert (await client.get("http://hook.test:8080/x")).text == "by proxy"
            assert proxy.requests[0].path == "http://hook.test:8080/x"
            assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
            proxy.otherwise = answer(407)
            with pytest.raises(Unreachable, match="proxy") as refusal:
                await client.get("https://hook.test/x")
            assert CANARY not in str(refusal.value)
            assert (proxy.requests[1].method, proxy.requests[1].path) == ("CONNECT", "hook.test:443")
            for url in ("https://127.0.0.1/", "https://discord.com:22/", "http://example.org/", "https://[::1]/"):
                with pytest.raises(Blocked):
                    await client.get(url)
            proxy.otherwise = _tunnel(inside.port)
            assert (await client.get("https://hook.test/through")).status == 200
            assert inside.requests[-1].path == "/through"
        assert len(proxy.requests) == 3


def _tunnel(port: int) -> Behaviour:
    async def behave(exchange: vocabulary.Exchange) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await exchange.send(b"HTTP/1.1 200 Connected\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
            sink.close()

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pump(exchange.reader, writer))
                tasks.create_task(pump(reader, exchange.writer))
        finally:
            writer.transport.abort()

    return behave


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "unknown"), None])
async def test_a_name_without_an_address_is_said_so(failure: OSError | None) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if failure is not None:
            raise failure
        return []

    async with Client(resolve=resolve) as client:
        with pytest.raises(Unreachable, match=r"no address was found for example\.org"):
            await client.get("https://example.org/")


async def test_other_rules_are_in_force_at_once(receiver: Receiver) -> None:
    async with Client([receiver.address]) as client:
        await client.get(receiver.url())
        client.configure([])
        with pytest.raises(Blocked):
            await client.get(receiver.url())
        client.configure(["127.0.0.1"], timeout=3)
        await client.get(receiver.url())
    assert receiver.connections == 2


# -- what comes back ----------------------------------------------------------------------------------


@pytest.mark.promise("P13")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.on("/", redirect(receiver.url("/inside"), status))
    async with Client([receiver.address]) as client:
        assert (await client.post(receiver.url(), b"{}")).status == status
        assert (await client.get(receiver.url())).status == status
    assert receiver.to("/inside") == []


async def test_no_cookie_is_kept(receiver: Receiver) -> None:
    receiver.on("/", answer(200, {"Set-Cookie": "a=b"}))
    async with Client([receiver.address]) as client:
        for _ in range(2):
            await client.get(receiver.url())
    assert "cookie" not in receiver.requests[1].headers


FAULTS: dict[str, tuple[Behaviour, type[Answer | EgressError]]] = {
    "endless": (vocabulary.endless, Answer),
    "10 GiB": (vocabulary.ten_gigabytes, Answer),
    "gzip bomb": (vocabulary.gzip_bomb(), Answer),
    "deflate bomb": (vocabulary.gzip_bomb(encoding="deflate"), Answer),
    "several encodings": (vocabulary.gzip_bomb(encoding="identity, gzip"), Answer),
    "1 MB header": (vocabulary.huge_header(), Unreadable),
    "100,000 headers": (vocabulary.many_headers(), Unreadable),
    "1 byte per second": (vocabulary.drip(), TimedOut),
    "headers 1 byte per second": (vocabulary.drip(headers=True), TimedOut),
    "hang": (vocabulary.hang, TimedOut),
    "100 Continue for ever": (vocabulary.informational, TimedOut),
    "reset": (vocabulary.reset, Unreachable),
    "closed early": (vocabulary.close_early, Unreadable),
    "closed silently": (vocabulary.close_silently, Unreadable),
    "garbage": (vocabulary.garbage, Unreadable),
}


@pytest.mark.promise("P13")
@pytest.mark.parametrize("name", FAULTS)
async def test_a_receiver_cannot_flood_or_stall(
    name: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    behaviour, expected = FAULTS[name]
    receiver.on(f"/{CANARY}", behaviour)
    caplog.set_level(logging.DEBUG)
    async with Client([receiver.address], timeout=0.3 if expected is TimedOut else 5) as client:
        with anyio.fail_after(8):
            got = await outcome(client, receiver.url(f"/{CANARY}"), f'"{CANARY}"'.encode(), {"X-Own": CANARY})
        assert type(got) is expected
        if isinstance(got, Answer):
            assert got.status == 200
            assert len(got.body) <= 16_384
            assert not got.whole
        else:
            assert not got.permanent
            assert CANARY not in "".join(traceback.format_exception(got))
            assert "127.0.0.1" in str(got)
        # The place is free again, and the next request is answered.
        assert (await client.post(receiver.url("/after"), b"{}")).status == 200
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        f"HTTP/1.1 301 Moved\r\nLocation: /{CANARY}/\r\nContent-Length: 0\r\n\r\n".encode(),
        f"HTTP/1.1 404 No /{CANARY}\r\nContent-Length: 0\r\n\r\n".encode(),
        f"no such hook: /{CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk: /{CANARY}\r\n".encode(),
    ],
    ids=["where it is", "in the status", "no HTTP", "in the body"],
)
@pytest.mark.promise("P11")
async def test_what_a_receiver_tells_back_is_in_no_log(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    async def echo(exchange: vocabulary.Exchange) -> None:
        await exchange.send(sent)
        exchange.writer.close()

    receiver.on(f"/{CANARY}", echo)
    caplog.set_level(logging.DEBUG)
    async with Client([receiver.address]) as client:
        await outcome(client, receiver.url(f"/{CANARY}"), b"{}", {})
    assert len(receiver.requests) == 1
    assert "receive_response_headers" in caplog.text, "the steps are there for who looks for a fault"
    assert CANARY not in caplog.text


@pytest.mark.promise("P13")
async def test_a_connection_that_is_never_made_or_never_finished_takes_no_longer() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await anyio.sleep_forever()
        raise AssertionError

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says anything
        port = silent.getsockname()[1]
        async with Client(["127.0.0.1"], timeout=0.2, resolve=never) as client:
            with pytest.raises(TimedOut, match=r"within 0\.2 s"):
                await client.get(f"https://127.0.0.1:{port}/")
            with pytest.raises(TimedOut):
                await client.get("https://example.org/")


def test_a_request_has_fifteen_seconds_in_all() -> None:
    assert WebhooksConfig().timeout == inspect.signature(Client).parameters["timeout"].default == 15


@pytest.mark.slow
@pytest.mark.promise("P13")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_whoever_stalls_is_left_after_fifteen_seconds(receiver: Receiver) -> None:
    stalling = [name for name, (_, expected) in FAULTS.items() if expected is TimedOut]
    took: dict[str, float] = {}

    async def stall(name: str) -> None:
        began = anyio.current_time()
        with pytest.raises(TimedOut, match="within 15 s"):
            await client.post(receiver.url(f"/{stalling.index(name)}"), b"{}")
        took[name] = anyio.current_time() - began

    for number, name in enumerate(stalling):
        receiver.on(f"/{number}", FAULTS[name][0])
    async with Client([receiver.address]) as client, anyio.create_task_group() as tasks:
        for name in stalling:
            tasks.start_soon(stall, name)
    assert len(took) == len(stalling) == 4
    assert all(14.9 < seconds < 20 for seconds in took.values()), took


async def test_more_is_read_where_more_is_asked_for(receiver: Receiver) -> None:
    receiver.on("/", answer(200, body=b"x" * 100_000))
    async with Client([receiver.address]) as client:
        assert len((await client.get(receiver.url())).body) == 16_384
        got = await client.get(receiver.url(), limit=100_000)
        assert (len(got.body), got.whole) == (100_000, True)
        got = await client.get(receiver.url(), limit=99_999)
        assert (len(got.body), got.whole) == (99_999, False)


async def test_a_storm_is_answered_with_what_was_said(receiver: Receiver) -> None:
    receiver.on("/", storm(2.5), *fail(1, 503, {"Retry-After": "7" * 5_000}), answer(204))
    async with Client([receiver.address]) as client:
        first, second, third = [await client.post(receiver.url(), b"{}") for _ in range(3)]
    assert (first.status, first.headers["retry-after"], first.headers["via"]) == (429, "2.5", "1.1 google")
    assert (second.status, len(second.headers["retry-after"])) == (503, 1_000)
    assert third.status == 204


CHILD = """
import anyio, gc, re, sys, time
from pathlib import Path
from socbot.egress import Client, EgressError

def kibibytes(figure):
    return int(re.search(figure + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

async def main(base, names):
    async with Client(["127.0.0.1"]) as client:
        for _ in range(20):
            await client.post(base + "/warm", b"{}")
        client.configure(["127.0.0.1"], timeout=0.4)
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        before = kibibytes("VmRSS")
        for name in names:
            started = time.monotonic()
            try:
                await client.post(base + "/" + name, b"{}")
            except EgressError:
                pass
            assert time.monotonic() - started < 5.0, name
        print(kibibytes("VmHWM") - before)

anyio.run(main, sys.argv[1], sys.argv[2:])
"""


@pytest.mark.promise("P13")
def test_no_receiver_makes_the_sender_grow() -> None:
    with in_a_thread(Receiver()) as receiver:
        for number, (behaviour, _) in enumerate(FAULTS.values()):
            receiver.on(f"/{number}", behaviour)
        command = [sys.executable, "-c", CHILD, receiver.url()[:-1], *map(str, range(len(FAULTS)))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 5 * 1024  # KiB between what was resident before and the most that ever was


# -- connections --------------------------------------------------------------------------------------


async def test_connections_are_used_again_and_never_more_than_sixteen(receiver: Receiver) -> None:
    receiver.otherwise = vocabulary.late(0.02)
    async with Client([receiver.address]) as client:
        for _ in range(5):
            await client.post(receiver.url(), b"{}")
        assert receiver.connections == 1
        async with anyio.create_task_group() as tasks:
            for _ in range(60):
                tasks.start_soon(client.post, receiver.url(), b"{}")
        assert receiver.connections <= 16
    assert len(receiver.requests) == 65


async def test_a_hanging_host_holds_up_nobody_else(receiver: Receiver) -> None:
    receiver.on("/hang", vocabulary.hang)
    with in_a_thread(Receiver()) as other:
        async with Client(["127.0.0.1"]) as client, anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(client.post, receiver.url("/hang"), b"{}")
            await anyio.wait_all_tasks_blocked()
            assert (await client.post(other.url(), b"{}")).status == 200
            tasks.cancel_scope.cancel()


async def test_a_connection_that_the_other_side_has_closed_is_not_used(receiver: Receiver) -> None:
    async def close_after(exchange: vocabulary.Exchange) -> None:
        await answer(200)(exchange)
        exchange.writer.close()

    receiver.otherwise = close_after
    async with Client([receiver.address]) as client:
        for _ in range(20):
            assert (await client.post(receiver.url(), b"{}")).status == 200
            await anyio.sleep(0.005)
    assert receiver.connections == 20


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_hosts_are_forgotten_before_they_are_too_many() -> None:
    with in_a_thread(Receiver(host="0.0.0.0")) as receiver:
        async with Client(["127.0.0.0/8"]) as client:
            for number in range(200):
                await client.get(f"http://127.0.1.{number}:{receiver.port}/")
            await client.get(f"http://127.0.1.199:{receiver.port}/")
            assert receiver.connections == 200
            assert _sockets_to(receiver.port) <= 128
        assert _sockets_to(receiver.port) == 0


def _sockets_to(port: int) -> int:
    found = psutil.Process().net_connections("tcp")
    return sum(bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in found)


async def test_requests_that_are_cancelled_anywhere_leave_nothing_behind(inside: Receiver) -> None:
    inside.otherwise = vocabulary.late(0.002)
    url = f"https://hook.test:{inside.port}/"
    async with Client(["hook.test"], tls=trusting(), resolve=leads_to("127.0.0.1")) as client:
        await client.post(url, b"{}")

        async def cancelled(after: float) -> None:
            with anyio.move_on_after(after):
                await client.post(url, b"{}")

        for round in range(8):
            async with anyio.create_task_group() as tasks:
                for number in range(40):
                    tasks.start_soon(cancelled, (number + 1) * (round + 1) * 0.0002)
        # All sixteen places are there.
        async with anyio.create_task_group() as tasks:
            for _ in range(16):
                tasks.start_soon(client.post, url, b"{}")
        assert _sockets_to(inside.port) <= 16
    assert _sockets_to(inside.port) == 0


# -- in the tests of others ---------------------------------------------------------------------------


async def test_a_transport_can_take_the_networks_place() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/broken":
            raise httpx.ReadError(CANARY)
        return httpx.Response(429, headers={"Retry-After": "3"}, json={"retry_after": 3})

    async with Client(transport=httpx.MockTransport(handle)) as client:
        got = await client.post("https://discord.com/api/webhooks/1/x", b"{}", type="discord")
        assert (got.status, got.headers["retry-after"], got.text) == (429, "3", '{"retry_after":3}')
        with pytest.raises(Unreachable) as failure:
            await client.post("https://discord.com/broken", b"{}")
        assert CANARY not in str(failure.value)
        with pytest.raises(Blocked):
            await client.post("https://127.0.0.1/", b"{}")


def test_importing_it_does_not_import_the_library() -> None:
    program = (
        "import sys, socbot.egress; assert not {'httpx', 'httpcore', 'h11', 'idna', 'anyio._backends'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
