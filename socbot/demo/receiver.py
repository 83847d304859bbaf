"""What the demonstration's webhooks reach: a receiver on this machine, which can be out of order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream


class Receiver:
    """Takes what is posted, and keeps nothing of it.

    :ivar broken: every request is answered by an error of the server's
    :ivar taken: how many requests it took
    :ivar refused: how many it answered by an error
    """

    def __init__(self) -> None:
        self.broken = False
        self.taken = self.refused = 0
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, connection: SocketStream) -> None:
        """Answer each request of one connection."""
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


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine, while the block runs."""
    receiver = Receiver()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        receiver.port = listener.extra(SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, receiver.serve)
            try:
                yield receiver
            finally:
                tasks.cancel_scope.cancel()
