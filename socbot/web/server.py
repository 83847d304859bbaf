"""The server: a thread with an event loop of its own, so that it answers when the bot's loop does not."""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
from aiohttp import web

from socbot.announcement import Announcement, announce, path_of, withdraw
from socbot.storage.errors import StoreError
from socbot.systems.access import PLATFORM
from socbot.web import hosts
from socbot.web.app import App
from socbot.web.bridge import Bridge
from socbot.web.connections import Crowd, Door, serving
from socbot.web.gate import LoopBusy
from socbot.web.host import Host
from socbot.web.probes import Front

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a page waits for the bot's loop."""

RETRY = 10.0
"""Seconds after which a port that was in use is tried again."""

NOTING = 60.0
"""Seconds after which it is written down who was here."""

GRACE = 0.5
"""Seconds in which what is under way may end when the server does."""

__all__ = ["PLATFORM", "LoopBusy", "Web"]

_log = logging.getLogger("socbot.web")


class Web:
    """Serves ``host`` while it is entered, as an async context manager.

    A port that is in use keeps nobody from starting: it is said, and tried again.

    :ivar address: under which the server listens, such as ``http://127.0.0.1:8787``; empty while it does not
    :ivar failure: why it does not listen
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.address = ""
        self.failure = ""
        self._bridge = Bridge()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._tried = threading.Event()
        self._ending = False
        self._announced: Announcement | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    async def __aenter__(self) -> Self:
        """Begin to listen.

        :raises ConfigError: if it would be open to others without a token
        """
        self.host.access.require_token()
        await self._bridge.__aenter__()
        self._thread.start()
        try:
            await anyio.to_thread.run_sync(self._tried.wait)
        except BaseException as error:  # it is told to end before it has begun
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """End what is under way and listen no more."""
        with anyio.CancelScope(shield=True):
            self._ending = True
            if self._loop is not None:
                with suppress(RuntimeError):  # that loop has ended
                    self._loop.call_soon_threadsafe(self._stop.set)
            self._bridge.close()
            await anyio.to_thread.run_sync(self._thread.join)
            self.host.links.base = self.host.links.failure = ""
        return await self._bridge.__aexit__(kind, error, traceback)

    async def ask(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """What ``function`` gives, called on the bot's loop; for the server's own.

        :raises LoopBusy: if that takes too long, or the bot has ended
        """
        return await self._bridge.ask(PATIENCE, function, *arguments)

    # -- on the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # nobody is above this thread; whoever waits for its start is told
            self.failure = f"{type(error).__name__}: {error}"
            _log.exception("the dashboard has ended")
            self.host.links.failure = self.failure
        finally:
            self.address = self.host.links.base = ""
            self._tried.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._ending:
            return
        app, crowd = App(self.host, self.ask), Crowd()
        app.gate.crowd = crowd
        runner = web.AppRunner(app.application(), access_log=None, handle_signals=False, shutdown_timeout=GRACE)
        await runner.setup()
        assert runner.server is not None
        front = Front(app.probes, serving(runner.server))
        noting = asyncio.create_task(self._note_uses())
        server = None
        try:
            server = await self._listen(lambda: Door(crowd, front))
            await self._stop.wait()
        finally:
            noting.cancel()
            if self._announced is not None:
                with suppress(OSError):
                    withdraw(path_of(self.host.config.storage), self._announced)
            if server is not None:
                await asyncio.sleep(0.01)  # a connection that is just being accepted would be left open
                server.close()
            front.close()
            await runner.cleanup()
            crowd.close()
            await asyncio.sleep(0)  # in which sockets are closed
            crowd.close()

    def _announce(self) -> None:
        """Have other programs of this user on this machine find it, such as ``socbot top``."""
        config, token = self.host.config, self.host.access.run_token()
        log = str(Path(config.logs.file).absolute()) if config.logs.file else ""
        self._announced = Announcement(self.address, token, log, os.getpid())
        try:
            announce(path_of(config.storage), self._announced)
        except OSError as error:
            _log.warning("that the dashboard is served could not be written down: %s", error)

    async def _note_uses(self) -> None:
        while True:
            await asyncio.sleep(NOTING)
            try:
                await self.ask(self.host.access.flush)
            except (LoopBusy, StoreError) as error:
                _log.warning("who used the dashboard could not be noted: %s", error)

    async def _listen(self, door: Callable[[], asyncio.Protocol]) -> asyncio.Server | None:
        """Return once it listens, or is to stop."""
        config, loop = self.host.config.web, asyncio.get_running_loop()
        while not self._stop.is_set():
            try:
                server = await loop.create_server(door, config.host, config.port, backlog=1024)
            except OSError as error:
                if not self.failure:
                    self.failure = f"{config.host} port {config.port}: {error.strerror or error}"
                    self.host.links.failure = self.failure
                    _log.error("the dashboard does not listen: %s; trying again every %g s", self.failure, RETRY)
                self._tried.set()
                try:
                    async with asyncio.timeout(RETRY):
                        await self._stop.wait()
                except TimeoutError:
                    continue
            else:
                port = server.sockets[0].getsockname()[1]
                self.failure, self.address = "", f"http://{hosts.shown(config.host)}:{port}"
                self.host.links.failure = ""
                self.host.links.base = config.url.rstrip("/") or self.address
                _log.info("the dashboard is at %s", self.host.links.base)
                self._announce()
                self._tried.set()
                return server
        return None
