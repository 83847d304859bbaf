"""Where backups are kept beside the folder: a bucket of an S3-compatible store."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.from_thread
from anyio.lowlevel import current_token
from msgspec import Struct

from socbot.config import S3Config
from socbot.folders import sync_folder
from socbot.systems.backup.errors import BackupError

T = TypeVar("T")

PART: Final = 8 * 1024 * 1024
"""Larger files go up in parts of this size, in bytes; the store shows them when all have arrived."""

_CONNECTING: Final = "10s"
_REQUEST: Final = "120s"
_RETRIES: Final = 4


class Stored(Struct, frozen=True):
    """A backup's file; ``size`` in bytes, ``modified_at`` in seconds since 1970."""

    name: str
    size: int
    modified_at: float


class TargetError(BackupError):
    """The place could not do what was asked; the backups in the folder are not touched by that."""


class Target(Protocol):
    """A second place where backups are kept. Every method raises a ``TargetError``."""

    async def put(self, path: Path, name: str) -> None:
        """Keep the file at ``path`` as ``name``; return once it is there wholly."""

    async def get(self, name: str, path: Path) -> None:
        """Write the one called ``name`` to ``path``, wholly or not at all."""

    async def list(self) -> tuple[Stored, ...]:
        """What is there, by name."""

    async def delete(self, name: str) -> None:
        """Remove it; nothing happens if it is gone."""


class Bucket:
    """A bucket of an S3-compatible store, through obstore.

    :raises TargetError: if what it needs is not installed
    """

    def __init__(self, config: S3Config) -> None:
        try:
            from obstore.store import S3Store
        except ImportError:
            raise TargetError("A bucket needs its library: pip install 'socbot[s3]'.") from None
        self._config = config
        options: dict[str, Any] = {"endpoint": config.endpoint} if config.endpoint else {}
        self._store = S3Store(
            config.bucket,
            prefix=config.prefix.strip("/") or None,
            region=config.region,
            access_key_id=config.access_key,
            secret_access_key=config.secret_key,
            client_options={
                # In the clear only to where the operator says so, which is a store of their own.
                "allow_http": urlsplit(config.endpoint).scheme == "http",
                "connect_timeout": _CONNECTING,
                "timeout": _REQUEST,
            },
            retry_config={"max_retries": _RETRIES},
            **options,
        )

    def __repr__(self) -> str:
        return f"Bucket({self._config.bucket!r})"

    async def put(self, path: Path, name: str) -> None:
        await self._run(f"take {name}", lambda: self._put(path, name))

    async def get(self, name: str, path: Path) -> None:
        await self._run(f"give {name}", lambda: self._get(name, path))

    async def list(self) -> tuple[Stored, ...]:
        return await self._run("list what it has", self._list)

    async def delete(self, name: str) -> None:
        await self._run(f"delete {name}", lambda: self._delete(name))

    # -- on a worker's thread -------------------------------------------------------------------------

    def _put(self, path: Path, name: str) -> None:
        import obstore

        size = path.stat().st_size
        obstore.put(self._store, name, path, chunk_size=PART, max_concurrency=2)
        arrived = obstore.head(self._store, name)["size"]
        if arrived != size:
            raise TargetError(f"{self._config.bucket} has {arrived:,} bytes of {name}, which has {size:,}.")

    def _get(self, name: str, path: Path) -> None:
        import obstore

        found = obstore.get(self._store, name)
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                for piece in found.stream(PART):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            if part.stat().st_size != found.meta["size"]:
                raise TargetError(f"{name} was cut off on its way from {self._config.bucket}.")
            part.rename(path)
            sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)

    def _list(self) -> tuple[Stored, ...]:
        import obstore

        found = [
            Stored(each["path"], each["size"], each["last_modified"].timestamp())
            for chunk in obstore.list(self._store)
            for each in chunk
        ]
        return tuple(sorted(found, key=lambda each: each.name))

    def _delete(self, name: str) -> None:
        import obstore

        obstore.delete(self._store, name)

    async def _run(self, what: str, work: Callable[[], T]) -> T:
        try:
            return await _abandonable(work)
        except TargetError:
            raise
        # The library's errors and the disk's have this in common alone. What they say may hold an address or a key.
        except Exception as error:
            reason = _REASONS.get(type(error).__name__, type(error).__name__)
            raise TargetError(f"The bucket {self._config.bucket} could not {what}: {reason}.") from None


async def _abandonable(work: Callable[[], T]) -> T:
    """Return what ``work`` returns. Who stops waiting, or ends the process, does not wait for the network either.

    What goes up is there wholly or not at all, so that nothing is left half done.
    """
    done, token = anyio.Event(), current_token()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # carried to the one who waits
            errors.append(error)
        with suppress(RuntimeError):  # nobody waits any more
            anyio.from_thread.run_sync(done.set, token=token)

    threading.Thread(target=run, name="bucket", daemon=True).start()
    await done.wait()
    if errors:
        raise errors[0]
    return results[0]


_REASONS: Final = {
    "NotFoundError": "it, or the bucket, is not there",
    "FileNotFoundError": "the file is not there",
    "PermissionDeniedError": "it does not allow that with these keys",
    "UnauthenticatedError": "it does not know these keys",
    "GenericError": "it did not answer, or not as such a store does",
}
