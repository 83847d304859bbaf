"""Where backups are kept: a folder, or a bucket of an S3-compatible store."""

from pathlib import Path
from typing import Protocol

from msgspec import Struct


class Stored(Struct, frozen=True):
    """A backup's file; ``size`` in bytes, ``modified_at`` in seconds since 1970."""

    name: str
    size: int
    modified_at: float


class Target(Protocol):
    """A place where backups are kept."""

    async def put(self, path: Path, name: str) -> None:
        """Keep the file at ``path`` as ``name``; return once it is there wholly."""

    async def get(self, name: str, path: Path) -> None:
        """Write the one called ``name`` to ``path``."""

    async def list(self) -> tuple[Stored, ...]:
        """What is there, by name."""

    async def delete(self, name: str) -> None:
        """Remove it; nothing happens if it is gone."""
