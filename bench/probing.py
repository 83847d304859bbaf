"""What asks: a process of its own that probes a server at a rate, for as long as it is told to.

It reads ``RATE KEPT`` lines, probes until the next line, and writes the seconds that each answer took, as JSON.
"""

import asyncio
import json
import sys
from time import perf_counter

CONNECTIONS = 20
REQUEST = b"GET /readyz HTTP/1.1\r\nHost: bench\r\nUser-Agent: kube-probe/1.33\r\nAccept: */*\r\n%b\r\n"


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        rate, kept = line.split()
        took: list[float] = []
        async with asyncio.TaskGroup() as tasks:
            askers = [
                tasks.create_task(ask(port, float(rate) / CONNECTIONS, kept == b"kept", number / float(rate), took))
                for number in range(CONNECTIONS)
            ]
            await reader.readline()
            for asker in askers:
                asker.cancel()
        print(json.dumps(took), flush=True)


async def ask(port: int, rate: float, kept: bool, delay: float, took: list[float]) -> None:
    """Ask at its times, whatever the answers take: one that is late is counted from when it was due."""
    await asyncio.sleep(delay)
    streams = None
    due = perf_counter()
    while True:
        if streams is None or not kept:
            streams = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = streams
        writer.write(REQUEST % (b"" if kept else b"Connection: close\r\n"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
        took.append(perf_counter() - due)
        if not kept:
            writer.close()
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - perf_counter()))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
