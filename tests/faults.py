"""A proxy between a client and its server that fails as networks do, in toxiproxy's words."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Proxy:
    """Forwards to a Unix socket, on a loop and a thread of its own.

    :ivar latency: seconds by which each answer is late
    :ivar swallows: whether what is sent arrives nowhere: the connection is half open
    :ivar loses_answer_to: once these bytes have been passed on, the connection is lost before the answer
    :ivar most: the most connections that there were at once
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.latency = 0.0
        self.swallows = False
        self.loses_answer_to = b""
        self.most = self.now = self.seen = 0
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        self._call(self._listen(0))

    def stop(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def down(self) -> None:
        """Refuse connections, and end those there are."""
        self._call(self._close())

    def up(self) -> None:
        self._call(self._listen(self.port))

    def reset(self) -> None:
        """End every connection with a reset."""
        self._call(self._reset())

    def _call(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _end(self) -> None:
        await self._close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reset(self) -> None:
        for writer in tuple(self._open):
            end = writer.get_extra_info("socket")
            if end is not None:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen += 1
        self.now += 1
        self.most = max(self.most, self.now)
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            answers, there = await asyncio.open_unix_connection(self._path)
            self._open.add(there)
            forth = asyncio.ensure_future(self._forward(reader, there, writer))
            back = asyncio.ensure_future(self._forward(answers, writer, None))
            await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
            for task in (forth, back):
                task.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)
        except OSError:  # the server is down: so is this
            writer.transport.abort()
        finally:
            self.now -= 1
            for each in (writer, there):
                if each is not None:
                    self._open.discard(each)
                    each.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asker: asyncio.StreamWriter | None
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if self.swallows:
                    continue
                if asker is None and self.latency:
                    await asyncio.sleep(self.latency)
                writer.write(data)
                await writer.drain()
                if asker is not None and self.loses_answer_to and self.loses_answer_to in data:
                    self.loses_answer_to = b""
                    await asyncio.sleep(0.2)  # the server has it; how long it needs for it is not to be seen from here
                    asker.transport.abort()
                    return


@contextmanager
def proxied(path: str) -> Iterator[Proxy]:
    """A proxy to the server behind the Unix socket at ``path``, until the end of the block."""
    proxy = Proxy(path)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
