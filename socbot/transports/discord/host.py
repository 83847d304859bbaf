"""What the transport needs of the bot that it serves."""

from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Protocol

from socbot.config import Config
from socbot.dispatch.clock import Clock
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.messages import Identity
from socbot.dispatch.replies import Reply
from socbot.redaction import Redactor
from socbot.storage.database import Database
from socbot.systems.blacklist import Blacklist
from socbot.systems.completions import Completions
from socbot.systems.errors import Errors
from socbot.systems.lifecycle import Lifecycle
from socbot.systems.notices import Notices
from socbot.systems.rate_limit import RateLimiter
from socbot.systems.settings import Settings
from socbot.systems.vitals import Vitals
from socbot.systems.webhooks import Webhooks


class Host(Protocol):
    """A bot, as its transport sees it; ``socbot.bot.Bot`` is one."""

    blacklist: Blacklist
    clock: Clock
    completions: Completions
    database: Database
    dispatcher: Dispatcher
    errors: Errors
    lifecycle: Lifecycle
    notices: Notices
    random: Random
    rate_limiter: RateLimiter
    redactor: Redactor
    settings: Settings
    vitals: Vitals
    webhooks: Webhooks

    @property
    def config(self) -> Config: ...

    def recognise(self, *, owners: Iterable[Identity] = (), identities: Iterable[Identity] = ()) -> None: ...

    def on_notice(self, notify: Callable[[Reply], Awaitable[None]], name: str = ...) -> None: ...
