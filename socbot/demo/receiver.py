"""What the demonstration's webhooks reach: a receiver on this machine, which can be out of order."""

from types import TracebackType
from typing import Self

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream

from socbot.dispatch.tasks import leave


class Receiver:
    """Takes what is posted to a free port of this machine while it is entered, and keeps nothing of it.

    :ivar broken: every request is answered by an error of the server's
    :ivar taken: how many requests it took
    :ivar refused: how many it answered by an error
    """

    def __init__(self) -> None:
        self.broken = False
        self.taken = self.refused = 0
        self.port = 0
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        self.port = listener.extra(SocketAttribute.local_port)
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._listen, listener)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        return await leave(self._tasks, kind, error, traceback)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _listen(self, listener: Listener[SocketStream]) -> None:
        async with listener:
            await listener.serve(self._serve)

    async def _serve(self, connection: SocketStream) -> None:
        received = b""
        async with connection:
            try:
                while True:
                    while b"\r\n\r\n" not in received:
                        received += await connection.receive()
                    head, _, received = received.partition(b"\r\n\r\n")
                    length = _length(head)
                    while len(received) < length:
                        received += await connection.receive()
                    received = received[length:]
                    await connection.send(self._answer())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    def _answer(self) -> bytes:
        if self.broken:
            self.refused += 1
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 16\r\n\r\nout of order yet"
        self.taken += 1
        return b"HTTP/1.1 204 No Content\r\n\r\n"


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
