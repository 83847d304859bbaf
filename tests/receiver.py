"""A receiver of HTTP requests, on loopback, that misbehaves in every way a receiver can.

::

    async with Receiver() as receiver:
        receiver.on("/hook", *fail(3), answer(204))     # one for each request; the last one stays
        ...
        await receiver.wait_for(4)
        assert receiver.requests[0].json() == {…}

It lives in the test's own event loop; ``in_a_thread(Receiver())`` is for trio and for tests that are not async.
What it does is written as ``Behaviour``: a coroutine that is given the ``Exchange`` and writes what it likes.
"""

import asyncio
import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

_MEGABYTE = bytes(1_000_000)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came; ``headers`` by lower-case name, ``at`` in seconds of ``time.monotonic``."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Exchange:
    """A request, and the connection to answer it on."""

    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def start(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """The status line and the headers, without a word about how long the body is."""
        await self.send(_head(status, headers or {}))


Behaviour: TypeAlias = Callable[[Exchange], Awaitable[None]]


@dataclass(slots=True)
class Receiver:
    """Listens on a port of its own; ``requests`` is what came, ``connections`` how often somebody connected.

    :param tls: serves HTTPS with a certificate by ``authority()``, which ``trusting()`` trusts
    """

    tls: bool = False
    host: str = "127.0.0.1"
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    otherwise: Behaviour | None = None
    _behaviours: defaultdict[str, list[Behaviour]] = field(default_factory=lambda: defaultdict(list))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _came: threading.Condition = field(default_factory=threading.Condition)
    _listening: socket.socket | None = None
    _context: ssl.SSLContext | None = None
    port: int = 0

    def on(self, path: str, *behaviours: Behaviour) -> None:
        """Treat the requests to ``path`` in these ways, one after the other; the last one stays."""
        self._behaviours[path] = list(behaviours)

    def url(self, path: str = "/", host: str | None = None) -> str:
        return f"http{'s' if self.tls else ''}://{host or self.host}:{self.port}{path}"

    @property
    def address(self) -> str:
        """As ``webhooks.allow`` takes it."""
        return f"{self.host}:{self.port}"

    def to(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path]

    async def wait_for(self, count: int, seconds: float = 10.0) -> list[Received]:
        """The requests, once there are ``count``.

        :raises TimeoutError: if there are fewer after ``seconds``
        """
        deadline = time.monotonic() + seconds
        while len(self.requests) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.requests)} of {count} requests came within {seconds} s")
            await asyncio.sleep(0.002)
        return self.requests

    def wait(self, count: int, seconds: float = 10.0) -> list[Received]:
        """``wait_for`` from another thread than the receiver's."""
        with self._came:
            if not self._came.wait_for(lambda: len(self.requests) >= count, seconds):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came within {seconds} s")
        return self.requests

    async def __aenter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listening = socket.create_server((self.host, self.port), family=family, backlog=1_000)
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self._context = _server_context() if self.tls else None
        # asyncio's own server leaves a connection open that it accepted just before it was closed.
        asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close the port and every connection; ``async with`` it again to be there anew, on the same port."""
        assert self._listening is not None
        if self._listening.fileno() == -1:
            return
        asyncio.get_running_loop().remove_reader(self._listening)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        self._listening.close()
        for _ in range(3):
            await asyncio.sleep(0)  # what was aborted is closed one turn later

    def _accept(self, listening: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = listening.accept()
                connection.setblocking(False)
                self.connections += 1
                task = asyncio.create_task(self._serve(connection, self.connections))
                self._tasks.add(task)
                task.add_done_callback(partial(self._ended, connection))

    def _ended(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        connection.close()  # also if the task never began

    async def _serve(self, connection: socket.socket, number: int) -> None:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._context)
        except OSError:  # no TLS
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._converse(reader, writer, number)
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while not writer.is_closing():
                request = await _read(reader, connection)
                with self._came:
                    self.requests.append(request)
                    self._came.notify_all()
                await self._behaviour(request.path)(Exchange(request, reader, writer))

    def _behaviour(self, path: str) -> Behaviour:
        waiting = self._behaviours.get(path)
        if not waiting:
            return self.otherwise or answer()
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


async def _read(reader: asyncio.StreamReader, connection: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body, time.monotonic(), connection)


@contextmanager
def in_a_thread(receiver: Receiver) -> Iterator[Receiver]:
    """Run the receiver on an event loop of its own; wait for requests by ``receiver.wait``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(receiver.__aenter__(), loop).result()
        try:
            yield receiver
        finally:
            asyncio.run_coroutine_threadsafe(receiver.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# -- what it can do -----------------------------------------------------------------------------------


def answer(status: int = 200, headers: Mapping[str, str] | None = None, body: bytes | str | object = b"") -> Behaviour:
    """A proper answer; a ``body`` that is neither bytes nor text is sent as JSON."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    data = _head(status, {"Content-Length": str(len(content))} | dict(headers or {})) + content

    async def behave(exchange: Exchange) -> None:
        await exchange.send(data)

    return behave


def fail(times: int, status: int = 503, headers: Mapping[str, str] | None = None) -> tuple[Behaviour, ...]:
    """For ``on``, before what follows: so many failures."""
    return (answer(status, headers),) * times


def storm(retry_after: float = 1, *, shared: bool = False) -> Behaviour:
    """429 as Discord writes it, for ever."""
    headers = {"Retry-After": str(retry_after), "Content-Type": "application/json", "Via": "1.1 google"}
    headers |= {"X-RateLimit-Scope": "shared"} if shared else {}
    return answer(429, headers, {"message": "You are being rate limited.", "retry_after": retry_after, "global": False})


def redirect(to: str, status: int = 302) -> Behaviour:
    return answer(status, {"Location": to})


async def hang(exchange: Exchange) -> None:
    """Never answer."""
    await asyncio.sleep(3_600)


def late(seconds: float, then: Behaviour | None = None) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await (then or answer())(exchange)

    return behave


def drip(data: bytes | None = None, every: float = 1.0, *, headers: bool = False) -> Behaviour:
    """One byte each ``every`` seconds, of a body that never ends, or of ``headers`` that do not."""

    async def behave(exchange: Exchange) -> None:
        if not headers:
            await exchange.start(200, {"Content-Length": "1000000"})
        for byte in data or (_head(200, {})[:-2] + b"X-Long: " if headers else b"") + _MEGABYTE.replace(b"\0", b"a"):
            await exchange.send(bytes([byte]))
            await asyncio.sleep(every)

    return behave


async def reset(exchange: Exchange) -> None:
    """End the connection by RST."""
    connection = exchange.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()


async def close_early(exchange: Exchange) -> None:
    """Promise ten bytes, send three, close."""
    await exchange.start(200, {"Content-Length": "10"})
    await exchange.send(b"abc")
    exchange.writer.close()


async def close_silently(exchange: Exchange) -> None:
    """Take the request and close, without a word."""
    exchange.writer.close()


async def endless(exchange: Exchange) -> None:
    """A body in chunks, as fast as it goes, without an end."""
    await exchange.start(200, {"Transfer-Encoding": "chunked"})
    while True:
        await exchange.send(b"%x\r\n%s\r\n" % (len(_MEGABYTE), _MEGABYTE))


async def ten_gigabytes(exchange: Exchange) -> None:
    """The same, with its length told beforehand."""
    await exchange.start(200, {"Content-Length": str(10 * 2**30)})
    while True:
        await exchange.send(_MEGABYTE)


def gzip_bomb(megabytes: int = 20, encoding: str = "gzip") -> Behaviour:
    """A small body that is said to be compressed, and would become a large one."""

    async def behave(exchange: Exchange) -> None:
        await answer(200, {"Content-Encoding": encoding}, _bomb(megabytes))(exchange)

    return behave


def huge_header(size: int = 1_000_000) -> Behaviour:
    return answer(200, {"X-Huge": "x" * size})


def many_headers(count: int = 100_000) -> Behaviour:
    return answer(200, {f"X-Header-{number}": "x" for number in range(count)})


async def informational(exchange: Exchange) -> None:
    """100 Continue, for ever."""
    while True:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)


async def garbage(exchange: Exchange) -> None:
    """No HTTP at all."""
    await exchange.send(b"220 mail.example.test ESMTP\r\n" * 3)
    exchange.writer.close()


@cache
def _bomb(megabytes: int) -> bytes:
    return gzip.compress(_MEGABYTE * megabytes, 9)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1")


# -- TLS ----------------------------------------------------------------------------------------------


@cache
def authority() -> tuple[bytes, bytes, bytes]:
    """A certificate authority of our own: its certificate, and a server's certificate and key, all in PEM.

    The server's is for localhost, hook.test, discord.com, hooks.slack.com, 127.0.0.1 and ::1.
    """
    import datetime
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def build(name: str, key: ec.EllipticCurvePrivateKey, issuer: str) -> x509.CertificateBuilder:
        start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=365 * 100))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    signs = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = build("tests", ca_key, "tests").add_extension(x509.BasicConstraints(True, None), True)
    ca = ca.add_extension(signs, True)
    names = [x509.DNSName(name) for name in ("localhost", "hook.test", "discord.com", "hooks.slack.com")]
    addresses = [x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1")]
    server = build("localhost", key, "tests").add_extension(x509.SubjectAlternativeName([*names, *addresses]), False)
    pem = serialization.Encoding.PEM
    return (
        ca.sign(ca_key, hashes.SHA256()).public_bytes(pem),
        server.sign(ca_key, hashes.SHA256()).public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def trusting() -> ssl.SSLContext:
    """What a client needs to trust the receiver, and nobody else."""
    return ssl.create_default_context(cadata=authority()[0].decode())


def _server_context() -> ssl.SSLContext:
    import tempfile

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_bytes(authority()[1] + authority()[2])
        context.load_cert_chain(file)
    return context
