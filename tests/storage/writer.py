"""A process that writes numbers and acknowledges each on stdout once the store says that it is kept.

``python writer.py URL FIRST COUNT TASKS``: ``TASKS`` at once, ``COUNT`` in all.
"""

import os
import sys
from functools import partial
from itertools import count as numbers_from
from itertools import islice

import anyio

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreError

_ADD = "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, :value, '', 0)"


def _add(number: int, connection: Connection) -> None:
    connection.change(_ADD, {"key": f"{number:06}", "value": "x" * (number % 500)})


async def _main(url: str, first: int, count: int, tasks: int) -> None:
    numbers = islice(numbers_from(first), count)

    async def write(database: Database) -> None:
        for number in numbers:
            try:
                await database.write(partial(_add, number))
            except StoreError as error:
                os.write(1, f"failed {number} {error}\n".encode())
            else:
                os.write(1, f"kept {number}\n".encode())

    async with Database.open(StorageConfig(url=url), SystemClock()) as database, anyio.create_task_group() as group:
        for _ in range(tasks):
            group.start_soon(write, database)


if __name__ == "__main__":
    first, count, tasks = map(int, sys.argv[2:5])
    anyio.run(_main, sys.argv[1], first, count, tasks)
