"""What the server needs of the bot that it shows."""

from collections.abc import Iterable
from datetime import tzinfo
from random import Random
from typing import Protocol

from socbot.config import Config
from socbot.dispatch.clock import Clock
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome
from socbot.jobs.supervisor import Supervisor
from socbot.redaction import Redactor
from socbot.storage.database import Database
from socbot.storage.telemetry import Telemetry
from socbot.systems.access import Access
from socbot.systems.analytics import Analytics
from socbot.systems.audit import Audit
from socbot.systems.backup import Backups
from socbot.systems.blacklist import Blacklist
from socbot.systems.counters import Counters
from socbot.systems.errors import Errors
from socbot.systems.health import Health
from socbot.systems.incidents import Incidents
from socbot.systems.lifecycle import Lifecycle
from socbot.systems.links import Links
from socbot.systems.logs import Logs
from socbot.systems.pipeline import Pipeline
from socbot.systems.profiler import Profiler
from socbot.systems.rate_limit import RateLimiter
from socbot.systems.settings import Settings
from socbot.systems.signals import Signals
from socbot.systems.traces import Traces
from socbot.systems.vitals import Vitals
from socbot.systems.webhooks import Webhooks


class Host(Protocol):
    """A bot, as its server sees it; ``socbot.bot.Bot`` is one. Its methods are called on its own event loop."""

    access: Access
    analytics: Analytics
    audit: Audit
    backups: Backups
    blacklist: Blacklist
    clock: Clock
    counters: Counters
    database: Database
    dispatcher: Dispatcher
    errors: Errors
    health: Health
    incidents: Incidents
    lifecycle: Lifecycle
    links: Links
    logs: Logs
    pipeline: Pipeline
    profiler: Profiler
    random: Random
    rate_limiter: RateLimiter
    redactor: Redactor
    settings: Settings
    signals: Signals
    supervisor: Supervisor
    telemetry: Telemetry[Outcome]
    traces: Traces
    vitals: Vitals
    webhooks: Webhooks

    @property
    def config(self) -> Config: ...

    @property
    def zone(self) -> tzinfo: ...

    def recognise(self, *, owners: Iterable[Identity] = (), identities: Iterable[Identity] = ()) -> None: ...
