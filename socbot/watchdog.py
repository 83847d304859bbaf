"""Notices that the event loop does not turn, says who holds it, and tells systemd as long as it does turn.

A thread of its own looks at a beat that the loop gives, so it sees a stall while it lasts.
"""

import logging
import os
import socket
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self, TypeAlias

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup
from msgspec import Struct

from socbot.dispatch.clock import Clock, SystemClock
from socbot.dispatch.tasks import leave

BEAT = 0.05
"""Seconds between two beats of the loop, and between two looks at them."""

MINUTE = round(60 / BEAT)

_MINUTES = 60

_log = logging.getLogger(__name__)


class Stall(Struct, frozen=True):
    """The loop has not turned for ``seconds``, and still does not.

    :param where: the innermost line of somebody's own code that the loop's thread is at
    :param stack: the whole of where it is, outermost call first
    """

    seconds: float
    where: str
    stack: str


class Lag(Struct, frozen=True):
    """How late the loop was over the last minute, in seconds."""

    mean: float
    worst: float


OnStall: TypeAlias = Callable[[Stall], object]


class Systemd:
    """Tells the service manager how the bot is; without one, nothing happens.

    :param address: the socket's path; an ``@`` at its start means the abstract name space
    :param interval: seconds within which the manager wants to hear from the watchdog; None if it does not
    """

    def __init__(self, address: str | None = None, interval: float | None = None) -> None:
        self.interval = interval
        self._address = "\0" + address[1:] if address and address.startswith("@") else address

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """As systemd passes it on: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = ours and microseconds.isdecimal() and int(microseconds) > 0
        return cls(environ.get("NOTIFY_SOCKET") or None, int(microseconds) / 1e6 if wanted else None)

    def ready(self) -> None:
        """Start-up, or a reload, is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        # A manager that is gone or does not read must not hold up the bot: it will notice by itself.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto(text.encode(), self._address)


class Watchdog:
    """Watches the event loop in which it is entered, as an async context manager.

    The service manager is told that the bot is ready when it is entered.

    :param on_stall: called once for each stall, while it lasts, on the watchdog's thread
    :param threshold: seconds from which on it is one
    """

    def __init__(
        self,
        on_stall: OnStall | None = None,
        *,
        threshold: float = 0.25,
        systemd: Systemd | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.stalls = 0
        self._on_stall, self._threshold = on_stall, threshold
        self._systemd = systemd or Systemd.from_environment()
        self._now = (clock or SystemClock()).monotonic
        self._lags: deque[float] = deque(maxlen=MINUTE)
        self._worst: deque[tuple[float, float]] = deque(maxlen=_MINUTES)
        self._late = 0.0
        self._due = 0.0
        self._loop_thread = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._loop_thread = threading.get_ident()
        self._due = self._now() + BEAT
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._beat)
        self._thread.start()
        self._systemd.ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        self._stop.set()
        with anyio.CancelScope(shield=True):
            # Not joined on the loop: whoever is being told of a stall may be waiting for it.
            await anyio.to_thread.run_sync(self._thread.join)
        self._tasks.cancel_scope.cancel()
        return await leave(self._tasks, kind, error, trace)

    def reloading(self) -> None:
        """A new configuration is being read; ``reloaded`` follows."""
        self._systemd.reloading()

    def reloaded(self) -> None:
        self._systemd.ready()

    def stopping(self) -> None:
        """The bot is about to end."""
        self._systemd.stopping()

    def lag(self) -> float:
        """Seconds by which the loop was late when it last turned."""
        return self._lags[-1] if self._lags else 0.0

    def lags(self) -> Lag:
        lags = tuple(self._lags) or (0.0,)
        return Lag(sum(lags) / len(lags), max(lags))

    def worst(self, seconds: float) -> float:
        """Seconds by which the loop was late at worst in about the last ``seconds``, an hour at most."""
        since = self._now() - seconds
        return max((worst for began, worst in tuple(self._worst) if began + 60 >= since), default=0.0)

    @property
    def overdue(self) -> float:
        """Seconds by which the loop is late now; may be asked from any thread."""
        return max(0.0, self._now() - self._due)

    @property
    def stalled(self) -> float:
        """Seconds for which the loop is known to stand still, as this thread sees it: not what the whole process was
        suspended for. May be asked from any thread.
        """
        return self._late

    # -- on the loop ----------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await anyio.sleep(BEAT)
            now = self._now()
            lag = max(0.0, now - self._due)
            self._lags.append(lag)
            self._remember(now, lag)
            self._due = now + BEAT

    def _remember(self, now: float, lag: float) -> None:
        """The worst of each minute."""
        if not self._worst or now - self._worst[-1][0] >= 60:
            self._worst.append((now, lag))
        elif lag > self._worst[-1][1]:
            self._worst[-1] = (self._worst[-1][0], lag)

    # -- on the thread --------------------------------------------------------------------------------

    def _watch(self) -> None:
        seen, late, told = self._due, 0.0, False
        looked, burnt = self._now(), time.process_time()
        pinged_at, pinged_beat = self._now(), 0.0
        while not self._stop.wait(BEAT):
            now, cpu = self._now(), time.process_time()
            passed, busy = now - looked, cpu - burnt
            looked, burnt = now, cpu
            if self._due != seen:
                seen, late, told = self._due, 0.0, False
            elif now > seen:
                # A process that was suspended, or got no processor, is late on this thread too, and that is nobody's
                # fault; a call that holds the interpreter's lock keeps this thread waiting as well, but burns time.
                late += min(passed, now - seen, max(2 * BEAT, busy))
            self._late = late
            if late >= self._threshold and not told:
                told = True
                self._tell(now - seen)
            if self._systemd.interval and now - pinged_at >= self._systemd.interval / 2 - BEAT:
                pinged_at = now
                if self._due != pinged_beat:
                    pinged_beat = self._due
                    self._systemd.alive()

    def _tell(self, seconds: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return
        self.stalls += 1
        stall = Stall(seconds, _guilty(frame), _stack(frame))
        del frame
        _log.warning("the event loop has not turned for %.2f s: %s", seconds, stall.where)
        if self._on_stall is None:
            return
        try:
            self._on_stall(stall)
        except Exception:  # a boundary: the watch goes on whatever is done with what it sees
            _log.exception("a stall could not be passed on")


_LIBRARY = sysconfig.get_path("stdlib") + os.sep
_INSTALLED = os.sep + "site-packages" + os.sep
_PLUMBING = tuple(os.path.dirname(module.__file__ or "") + os.sep for module in (anyio, msgspec))


def _is_plumbing(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    in_library = path.startswith(_LIBRARY) and _INSTALLED not in path
    return in_library or path.startswith((*_PLUMBING, "<frozen"))


def _guilty(frame: FrameType) -> str:
    """The innermost line that is not the standard library's."""
    current: FrameType | None = frame
    while current is not None and _is_plumbing(current):
        current = current.f_back
    guilty = current or frame
    return f"{guilty.f_code.co_filename}:{guilty.f_lineno} in {guilty.f_code.co_qualname}"


def _stack(frame: FrameType) -> str:
    import traceback

    return "".join(traceback.format_stack(frame))
