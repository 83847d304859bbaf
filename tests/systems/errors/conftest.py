from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Protocol

import pytest

from socbot.config import ErrorsConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.replies import Reply
from socbot.redaction import Redactor
from socbot.storage.database import Database
from socbot.systems.errors import Errors
from socbot.testing import FakeClock

DEFAULTS = ErrorsConfig()
NO_SECRETS = Redactor()


class Owner:
    """Reads what the errors tell."""

    def __init__(self) -> None:
        self.told: list[Reply] = []

    async def __call__(self, reply: Reply) -> None:
        self.told.append(reply)

    @property
    def titles(self) -> list[str]:
        return [reply.title for reply in self.told]


class OpenErrors(Protocol):
    def __call__(
        self, config: ErrorsConfig = ..., *, redact: Redactor = ...
    ) -> AbstractAsyncContextManager[Errors]: ...


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def open_errors(storage: StorageConfig, clock: FakeClock, owner: Owner) -> OpenErrors:
    """Opens the errors on the test's store, as often as it is asked to."""
    random = Random(1)

    @asynccontextmanager
    async def opened(config: ErrorsConfig = DEFAULTS, *, redact: Redactor = NO_SECRETS) -> AsyncIterator[Errors]:
        async with Database.open(storage, SystemClock()) as database:
            errors = Errors(database, clock, config, random, redact=redact, notify=owner)
            await errors.load()
            yield errors
            await errors.close()

    return opened
