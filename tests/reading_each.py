"""Reads each file of a folder in a process of its own: ``python -m tests.reading_each FOLDER``.

A line of JSON for each: its name, how the reading ended, by how many KiB its process grew at most.
"""

import http.client
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

from anyio.from_thread import start_blocking_portal

from socbot.bot import Bot
from socbot.config import BackupConfig, Config, StorageConfig, WebConfig, load
from socbot.documents import ConfigError
from socbot.importing.documents import UnreadableDocument, read_document
from socbot.systems.backup.archive import read_manifest
from socbot.systems.backup.errors import BackupError
from socbot.systems.blacklist_files import UnreadableFile
from socbot.systems.blacklist_files import read as read_blacklist
from socbot.systems.sketch import Sketch
from socbot.web import Web
from tests.systems.backup.packed import KEY, keyring

Read: TypeAlias = Callable[[Path], object]
"""Reads a document, and returns or raises how that ended."""

REFUSALS = (ConfigError, UnreadableDocument, UnreadableFile, BackupError, ValueError)


class Turned(Exception):
    """A request was, with this status."""


def reading(read: Read) -> Callable[[], AbstractContextManager[Read]]:
    return lambda: nullcontext(read)


@contextmanager
def posting(path: str) -> Iterator[Read]:
    """Documents are sent to a bot's API, which runs in this process."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served()) as (host, token):
        yield partial(post, host, path, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, str]]:
    folder = f"{sys.argv[1]}/bot-{os.getpid()}"
    config = Config(
        storage=StorageConfig(url=f"sqlite:///{folder}/socbot.db"),
        backup=BackupConfig(enabled=False, folder=folder, paths=()),
        web=WebConfig(port=0),
    )
    async with Bot.from_config(config, jobs=False) as bot, Web(bot) as web:
        assert web.address is not None
        yield web.address.removeprefix("http://"), await bot.access.add("reports", "owner", "test")


def post(host: str, path: str, headers: Mapping[str, str], document: Path) -> object:
    length = {} if ".chunked." in document.name else {"Content-Length": str(document.stat().st_size)}
    packed = {"Content-Encoding": "gzip"} if ".gz." in document.name else {}
    connection = http.client.HTTPConnection(host, timeout=30)
    with document.open("rb") as body, suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", path, body, {**headers, **length, **packed})  # it may be refused before all is sent
    answer = connection.getresponse()
    answer.read()
    if answer.status < 400:
        return None
    raise Turned(answer.status)


READERS: dict[str, Callable[[], AbstractContextManager[Read]]] = {
    "yaml": reading(load),
    "json": reading(read_document),
    "msgpack": reading(lambda path: Sketch.from_bytes(path.read_bytes())),
    "blacklist": reading(lambda path: read_blacklist(path.read_bytes(), "local", 0.0)),
    "backup": reading(lambda path: read_manifest(path, keyring(KEY), unsigned=True)),
    "report": partial(posting, "/api/v1/signals"),
    "alerts": partial(posting, "/api/v1/signals/alertmanager"),
    "action": partial(posting, "/api/v1/actions/check_health"),
}


def kib(name: str) -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1])


def told(document: Path) -> tuple[str, int]:
    kind = document.suffix[1:]
    with READERS[kind]() as read:
        read(document.with_name(f"good.{kind}"))  # what the first reading imports is no growth
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = kib("VmRSS")
        try:
            read(document)
            ended = "read"
        except Turned as turned:
            ended = str(turned)
        except REFUSALS as error:
            ended = type(error).__name__
        return ended, kib("VmHWM") - before


def main() -> None:
    for document in sorted(Path(sys.argv[1]).iterdir()):
        ours, its = os.pipe()
        if os.fork() == 0:
            os.write(its, json.dumps(told(document)).encode())
            os._exit(0)
        os.close(its)
        print(json.dumps([document.name, *json.loads(os.fdopen(ours, "rb").read())]))
        os.wait()


if __name__ == "__main__":
    main()
