"""Probes: whether the bot lives, has started, and can serve. Answered from memory, whatever the bot's loop does.

They are asked all the time, by machines, over connections that are kept: a ``Front`` answers them before the
application sees them. What it does not know for a plain probe goes to the application, which answers the same.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from typing import Final

import msgspec
from aiohttp import web

from socbot.dispatch.clock import SystemClock
from socbot.systems.health import ESSENTIAL, Fact, Health, Probe

PATHS: Final = ("/livez", "/readyz", "/startupz", "/healthz")

IDLE: Final = 75.0
"""Seconds after which a connection that asks nothing is closed."""

Answer = Callable[[web.Request], Awaitable[web.Response]]
Said = tuple[bool, bytes]
"""Whether it is a yes, and the body as JSON."""

_OK: Final = b'{"status":"ok"}'
_TYPE: Final = "application/json"


class Probes:
    """The four answers. Everything in them may be read by anybody who reaches the port."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._read: dict[str, Callable[[], Probe]] = {
            "/livez": lambda: health.live,
            "/readyz": lambda: health.ready,
            "/startupz": lambda: health.started,
        }

    def say(self, path: str, *, verbose: bool = False) -> Said:
        """The answer at ``path`` now; from any thread."""
        if path == "/healthz":
            return self._healthz(verbose)
        found = self._read[path]()
        if found.ok and not verbose:
            return True, _OK
        status = "ok" if found.ok else "failing"
        if verbose:
            facts = [{"name": fact.name, "ok": fact.ok, "text": _told(fact)} for fact in found.facts]
            return found.ok, msgspec.json.encode({"status": status, "facts": facts})
        failing = [fact.name for fact in found.facts if not fact.ok]
        return found.ok, msgspec.json.encode({"status": status, "failing": failing})

    def _healthz(self, verbose: bool) -> Said:
        found = self._health.overall
        body: dict[str, object] = {"status": found.status}
        if found.text:
            body["text"] = found.text
        if verbose and found.round is not None:
            body["at"] = found.round.at
            body["checks"] = [
                {"name": each.name, "status": each.status}
                | ({"figure": each.figure, "unit": each.unit} if each.public and each.figure is not None else {})
                for each in found.round.results
            ]
        return found.ok, msgspec.json.encode(body)


def _told(fact: Fact) -> str:
    """The words of ``fact`` for everybody: of a check, which may quote what a server answered, its kind of failure."""
    if fact.name not in ESSENTIAL:
        return fact.text
    if fact.ok:
        return "works"
    kind = fact.text.partition(":")[0]
    return kind if kind.isidentifier() or kind.startswith("no answer") else "does not work"


def paths(probes: Probes) -> Mapping[str, Answer]:
    """What is asked, and what answers it in the application."""
    return {path: _answering(probes, path) for path in PATHS}


def _answering(probes: Probes, path: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        ok, body = probes.say(path, verbose="verbose" in request.query)
        headers = {"Cache-Control": "no-store"}
        return web.Response(status=200 if ok else 503, body=body, content_type=_TYPE, headers=headers)

    return answer


# -- before the application ---------------------------------------------------------------------------

_PLAIN: Final = re.compile(rb"(GET|HEAD) (/livez|/readyz|/startupz|/healthz)(\?verbose)? HTTP/1\.([01])\r\n")
_END: Final = b"\r\n\r\n"
_SPECIAL: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding|upgrade|expect|connection):", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
_KEPT: Final = re.compile(rb"\r\nconnection:[ \t]*keep-alive[ \t]*\r\n", re.IGNORECASE)
_MOST_HEAD: Final = 8_192

_CLOCK: Final = SystemClock()
_HEAD: Final = {
    ok: f"HTTP/1.1 {line}\r\nContent-Type: {_TYPE}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    for ok, line in ((True, "200 OK"), (False, "503 Service Unavailable"))
}


def _is_last(headers: bytes, old: bool) -> bool | None:
    """Whether the connection ends with a request of HTTP/1.1, or ``old``; None where more than an answer is asked."""
    special = len(_SPECIAL.findall(headers))
    if not special:
        return old
    if special == 1 and _CLOSE.search(headers):
        return True
    return False if special == 1 and not old and _KEPT.search(headers) else None


class Front:
    """What accepts connections: it makes a protocol for each, as an event loop's ``create_server`` wants it.

    :param serve: makes the application's protocol, to which everything but a plain probe is handed over
    """

    def __init__(self, probes: Probes, serve: Callable[[], asyncio.Protocol]) -> None:
        self.probes, self.serve = probes, serve
        self.open: set[asyncio.Transport] = set()
        self._second, self._date = 0, ""

    def __call__(self) -> asyncio.Protocol:
        return _Connection(self)

    def close(self) -> None:
        """Close the connections that were not handed over."""
        for transport in tuple(self.open):
            transport.close()

    def respond(self, path: str, *, verbose: bool, head_only: bool, last: bool) -> bytes:
        ok, body = self.probes.say(path, verbose=verbose)
        second = int(_CLOCK.time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True)
        closing = "Connection: close\r\n" if last else ""
        head = f"{_HEAD[ok]}Date: {self._date}\r\nContent-Length: {len(body)}\r\n{closing}\r\n".encode()
        return head if head_only else head + body


class _Connection(asyncio.Protocol):
    """One connection, until something else than a plain probe comes over it."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._front.open.add(transport)
        self._wait()

    def connection_lost(self, error: BaseException | None) -> None:
        self._leave()

    def pause_writing(self) -> None:
        """Whoever asks and does not read the answers is not answered for ever."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._asked = True
        while data:
            rest = self._answer(data)
            if rest is None:
                self._hand_over(data)
                return
            data = rest

    def _answer(self, data: bytes) -> bytes | None:
        """Answer the plain probe with which ``data`` begins, and return what follows it; None if it is none."""
        asked, end = _PLAIN.match(data), data.find(_END, 0, _MOST_HEAD)
        transport = self._transport
        if asked is None or end < 0 or transport is None:
            return None
        last = _is_last(data[asked.end() - 2 : end + 2], asked[4] == b"0")
        if last is None:
            return None
        transport.write(
            self._front.respond(
                asked[2].decode(), verbose=asked[3] is not None, head_only=asked[1] == b"HEAD", last=last
            )
        )
        if last:
            transport.close()
            return b""
        return data[end + len(_END) :]

    def _hand_over(self, data: bytes) -> None:
        transport = self._transport
        self._leave()
        if transport is None or transport.is_closing():
            return
        application = self._front.serve()
        transport.set_protocol(application)
        application.connection_made(transport)
        application.data_received(data)

    def _wait(self) -> None:
        """Close it once nothing was asked for as long as ``IDLE``."""
        if self._transport is None:
            return
        if self._timer is not None and not self._asked:
            self._transport.close()
            return
        self._asked = False
        self._timer = asyncio.get_running_loop().call_later(IDLE, self._wait)

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._front.open.discard(self._transport)
        self._transport = None
