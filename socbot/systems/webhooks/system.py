"""The system: webhooks are added, changed, tested and asked here."""

import difflib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import get_args

import anyio
import anyio.to_thread
import msgspec
from msgspec import structs

from socbot.config import StorageConfig, WebhooksConfig, key_bytes
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import WITHHELD, InvalidArgument, UserError
from socbot.dispatch.replies import Reply, escape
from socbot.documents import ConfigError
from socbot.egress import Blocked, Client, mask
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous, Every
from socbot.redaction import redact as redacted
from socbot.sealing import Seal, make_key, read_key
from socbot.storage import tail
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.audit import Audit
from socbot.systems.signals import Severity, Signal, severity_of
from socbot.systems.webhooks import outbox
from socbot.systems.webhooks.apprise import AppriseLibrary
from socbot.systems.webhooks.courier import Courier, Rules
from socbot.systems.webhooks.endpoint import Endpoint, Row, address_of, secrets_of
from socbot.systems.webhooks.gates import Gates
from socbot.systems.webhooks.model import (
    TRIGGERS,
    Attempt,
    Counts,
    Delivery,
    Shown,
    Stats,
    Webhook,
    WebhookType,
)
from socbot.systems.webhooks.schedule import Schedule
from socbot.systems.webhooks.sending import Parcel, Sender, route, service
from socbot.systems.webhooks.signing import parse_secret
from socbot.tracebacks import Redact

MOST_WEBHOOKS = 50
KEYS = ("triggers", "enabled", "severity", "secret", "rate", "url")
"""What can be set of a webhook."""

DELIVERING = "deliver"
"""The job that sends."""

_NAME = re.compile(r"(?=[^0-9])[a-z0-9][a-z0-9_-]{0,31}|[0-9][a-z0-9_-]*[a-z_-][a-z0-9_-]*", re.ASCII)
_RECOUNT = 60.0

LONGEST_HOLD = 10.0
"""Seconds that a test waits for a limit to pass; beyond it, whoever tests wants to know now."""


def key_path(config: StorageConfig) -> Path:
    """Where the key lies that seals addresses, if the configuration has none: beside the store."""
    return config.folder / "webhooks.key"


async def _tell_nobody(reply: Reply) -> None:
    return None


class Webhooks:
    """Webhooks, and the outbox of what is sent to them.

    :param key_file: holds the key that seals addresses, unless the configuration has one
    :param client: what requests go by, and others' too: it is configured here; by default one of its own
    :param redact: takes the secrets out of what was answered
    :param notify: tells the owner, by another way than a webhook
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        random: Random,
        config: WebhooksConfig,
        key_file: Path,
        *,
        client: Client | None = None,
        redact: Redact = redacted,
        notify: Callable[[Reply], Awaitable[None]] = _tell_nobody,
        audit: Audit | None = None,
    ) -> None:
        self._database, self._clock, self._random, self._key_file = database, clock, random, key_file
        self._endpoints: dict[str, Endpoint] = {}
        self._told: deque[outbox.Told] = deque()
        self._changing = anyio.Lock()
        self._delivering = False
        self._states: dict[str, str] = {}  # as they were stored when last looked at
        self._config, self._seal = config, None if not config.key else _seal(config)
        self._key_read = bool(config.key)
        self._client = client or Client(config.allow, timeout=config.timeout, proxy=config.proxy)
        self._apprise = AppriseLibrary(enabled=config.apprise, timeout=config.timeout)
        sender = Sender(self._client, clock, Gates(clock), redact, self._apprise)
        self._sender, self._rules = sender, _rules(config, random)
        self._courier = Courier(database, clock, sender, random, lambda: self._rules, notify, audit)

    # -- life -----------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read all from the store; also when it is another store than before."""
        rows = await self._database.read(outbox.webhooks)
        for endpoint in self._endpoints.values():
            _end(endpoint)
        self._forget_key()
        self._endpoints = {row.name: Endpoint(row, self._keyring) for row in rows}
        await self._recount()
        self._courier.look()

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        await self._client.aclose()

    def check(self, config: WebhooksConfig) -> None:
        """
        :raises ConfigError: if an entry of ``allow`` is none
        """
        try:
            Client(config.allow, timeout=config.timeout, proxy=config.proxy)
        except ValueError as error:
            raise ConfigError(f"webhooks.allow: {error}") from None

    def configure(self, config: WebhooksConfig) -> None:
        self._client.configure(config.allow, timeout=config.timeout, proxy=config.proxy)
        self._apprise.enabled, self._apprise.timeout = config.apprise, config.timeout
        self._config, self._rules = config, _rules(config, self._random)
        self._forget_key()
        for endpoint in self._endpoints.values():
            endpoint.reconsider()
            if not config.enabled:
                _end(endpoint)
        self._courier.look()

    def jobs(self) -> tuple[Job, ...]:
        follow = "takes over what other processes on the same store change of webhooks, and what waits for them"
        return (
            Job(DELIVERING, self._deliver, Continuous(), "sends to the webhooks what waits for them", scope="fleet"),
            Job("webhook_retention", self._sweep, Every(86_400.0), "forgets deliveries that are old", scope="fleet"),
            *((Job("webhook_follow", self._follow, Continuous(), follow),) if self._is_shared else ()),
        )

    @property
    def _is_shared(self) -> bool:
        return self._database.dialect == "postgresql"

    async def _deliver(self) -> None:
        if self._is_shared:
            await self.catch_up()  # what another process knew of the deliveries, up to its end
        self._delivering = True
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_counting)
                await self._courier.run(self._served)
        finally:
            self._delivering = False

    def _served(self) -> Mapping[str, Endpoint]:
        return self._endpoints if self._config.enabled else {}

    async def _follow(self) -> None:
        await tail.follow(self._clock, self.catch_up)

    async def catch_up(self) -> None:
        """Take over what other processes have changed, and send what they have enqueued if that is for this one.

        :raises StoreError: if the store cannot be read
        """
        async with self._changing:
            rows, newest = await self._database.read(
                lambda connection: (outbox.webhooks(connection), outbox.newest(connection))
            )
            self._take_over(rows)
        await self._recount()
        for name, endpoint in self._endpoints.items():
            if endpoint.newest != (now := (newest.get(name, 0), endpoint.waiting)):
                endpoint.newest = now
                endpoint.poke()

    def _take_over(self, rows: Iterable[Row]) -> None:
        stored = {row.name: row for row in rows}
        for name, endpoint in list(self._endpoints.items()):
            row = stored.get(name)
            if row is None or row.created_at != endpoint.row.created_at:
                del self._endpoints[name]
                _end(endpoint)
            elif not self._delivering:
                endpoint.row = row
                endpoint.due.clear()
            elif changed := self._changed(endpoint.row, row):
                _change(endpoint, changed, revived="state" in changed)
                endpoint.reconsider()
        if new := stored.keys() - self._endpoints.keys():
            self._forget_key()  # it may have been made with the first of them
        for name in new:
            self._endpoints[name] = Endpoint(stored[name], self._keyring)
        self._states = {row.name: row.state for row in stored.values()}
        self._courier.look()

    def _changed(self, known: Row, stored: Row) -> dict[str, object]:
        """What others chose. How the deliveries go is known here, and stored a moment later."""
        changed = {key: getattr(stored, key) for key in _CHOSEN if getattr(stored, key) != getattr(known, key)}
        was_revived = stored.state == "active" != self._states.get(known.name, "active")
        return changed | (_REVIVED if was_revived and known.state != "active" else {})

    async def _keep_counting(self) -> None:
        while True:
            await self._clock.sleep(_RECOUNT)
            await self._recount()

    async def _recount(self) -> None:
        numbers, dropped = await self._database.read(outbox.counts)
        for name, endpoint in self._endpoints.items():
            endpoint.waiting = numbers.get((name, "waiting"), 0)
            endpoint.dead = numbers.get((name, "dead"), 0)
            endpoint.change(dropped=dropped.get(name, 0))

    async def _sweep(self) -> None:
        now, keep = self._clock.time(), self._config.retention_days * 86_400.0
        most = self._config.most_waiting
        await self._database.write(lambda connection: outbox.sweep(connection, now, keep, most))
        await self._recount()

    # -- what is sent ---------------------------------------------------------------------------------

    def enqueue(self, connection: Connection, signal: Signal) -> None:
        """Write what is to be sent of ``signal`` and to whom, in the caller's transaction, on the store's thread."""
        if self._config.enabled:
            self._told.extend(outbox.enqueue(connection, signal, self._config.most_waiting, self._clock.time()))

    def wake(self) -> None:
        """Deliver what was enqueued, now that it is committed."""
        while self._told:
            told = self._told.popleft()
            if (endpoint := self._endpoints.get(told.webhook)) is not None:
                endpoint.waiting += told.more - told.dropped
                if told.dropped:
                    endpoint.change(dropped=endpoint.row.dropped + told.dropped)
                endpoint.poke()

    @property
    def backlog(self) -> int:
        """Deliveries that wait for a webhook that is switched on."""
        return sum(endpoint.waiting for endpoint in self._endpoints.values() if endpoint.row.enabled)

    # -- webhooks -------------------------------------------------------------------------------------

    def all(self) -> tuple[Webhook, ...]:
        """By name."""
        return tuple(self._endpoints[name].shown() for name in sorted(self._endpoints))

    def get(self, name: str) -> Webhook:
        """:raises InvalidArgument: if there is none of that name; it says the nearest"""
        return self._endpoint(name).shown()

    def _endpoint(self, name: str, argument: str = "name") -> Endpoint:
        if (endpoint := self._endpoints.get(name.lower())) is not None:
            return endpoint
        near = difflib.get_close_matches(name.lower(), self._endpoints, 3)
        hint = f"; did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else ""
        raise InvalidArgument(argument, name, f"the name of a webhook{hint}")

    async def add(self, name: str, type: WebhookType, url: str, triggers: tuple[str, ...], by: str) -> Webhook:
        """Keep a new webhook; ``triggers`` empty means all.

        :raises InvalidArgument: if the name is no name or in use, a trigger is unknown, or the URL not allowed
        """
        name = name.lower()
        wanted = self.check_new(name, type, triggers)
        await self._check(type, url)
        async with self._changing:
            if name in self._endpoints:
                raise InvalidArgument("name", name, "a name that is not in use; `remove_webhook` frees it")
            if len(self._endpoints) >= MOST_WEBHOOKS:
                raise UserError(f"There are {MOST_WEBHOOKS} webhooks already; remove one first.")
            address = await self.sealed(name, url)
            row = Row(name, type, address, mask(url), wanted, "info", True, "", 0.0, by, self._clock.time())
            await self._database.write(lambda connection: outbox.keep(connection, row))
            endpoint = self._endpoints[name] = Endpoint(row, self._keyring)
            self._courier.look()
        return endpoint.shown()

    @staticmethod
    def check_new(name: str, type: str, triggers: tuple[str, ...]) -> tuple[str, ...]:
        """What triggers a new webhook would have.

        :raises InvalidArgument: if the name is no name, or the type or a trigger is unknown
        """
        if not _NAME.fullmatch(name):
            raise InvalidArgument("name", name, "a name: up to 32 of a-z, 0-9, - and _, not digits alone")
        if type not in get_args(WebhookType):
            raise InvalidArgument("type", type, "one of discord, slack, custom or apprise")
        return _triggers(triggers or ("all",))

    async def _check(self, type: WebhookType, url: str) -> None:
        if type == "apprise":
            await self._apprise.check(url)
        else:
            self.check_url(type, url)

    def check_url(self, type: WebhookType, url: str) -> None:
        """:raises InvalidArgument: if requests of that type, which is not apprise, may not go there"""
        try:
            self._client.policy.check_url(url, type)
        except Blocked as error:
            raise InvalidArgument("url", WITHHELD, f"allowed: {error}") from None

    async def sealed(self, name: str, url: str) -> str:
        """``url`` as it is stored for the webhook ``name``.

        :raises UserError: if there is no key, and none can be made
        """
        return (await self._sealing()).seal(url, address_of(name))

    async def remove(self, name: str) -> Webhook:
        """Forget it, and what was sent or waits to be sent to it."""
        async with self._changing:
            endpoint = self._endpoint(name)
            await self._database.write(lambda connection: outbox.forget(connection, endpoint.name))
            del self._endpoints[endpoint.name]
            _end(endpoint)
        return endpoint.shown()

    async def set(self, name: str, key: str, value: str, by: str) -> tuple[str, str]:
        """Change ``triggers``, ``enabled``, ``severity``, ``secret``, ``rate`` or ``url``; what was and what is.

        Neither of a secret nor of a URL is more returned than may be shown.

        :raises InvalidArgument: if there is no such key, or it does not take the value
        """
        if key not in KEYS:
            raise InvalidArgument("key", key, f"one of {', '.join(KEYS)}")
        async with self._changing:
            endpoint = self._endpoint(name)
            before = _settings(endpoint)[key]
            values = await self._values(endpoint, key, value)
            await self._keep(endpoint, values)
            endpoint.reconsider()
        return before, _settings(endpoint)[key]

    async def _values(self, endpoint: Endpoint, key: str, value: str) -> dict[str, object]:
        if key == "secret":
            return {"secrets": await self._rotated(endpoint, value)}
        if key == "url":
            await self._check(endpoint.type, value)
            address = (await self._sealing()).seal(value, address_of(endpoint.name))
            return {"address": address, "masked": mask(value)} | _REVIVED
        if key == "enabled":
            return {"enabled": _is_on(value)} | (_REVIVED if _is_on(value) else {})
        if key == "triggers":
            return {"triggers": _triggers(tuple(re.split(r"[\s,]+", value.strip())))}
        return {"severity": _severity(value)} if key == "severity" else {"rate": _rate(value)}

    async def _rotated(self, endpoint: Endpoint, value: str) -> str:
        """The secrets with a new one first; the one before goes on signing beside it."""
        if value.strip().lower() in ("off", "none"):
            return ""
        if endpoint.type != "custom":
            raise InvalidArgument("key", "secret", "for webhooks of type custom only: no other service verifies")
        secret = parse_secret(value)
        if secret is None:
            expected = "a secret: 24 to 64 bytes in base64, such as `openssl rand -base64 32` makes, or off"
            raise InvalidArgument("value", WITHHELD, expected)
        kept = dict.fromkeys((secret, *endpoint.secrets[:1]))
        return (await self._sealing()).seal(msgspec.json.encode(list(kept)).decode(), secrets_of(endpoint.name))

    async def _keep(self, endpoint: Endpoint, values: Mapping[str, object]) -> None:
        row = structs.replace(endpoint.row, **values)
        revived = row.state == "active" and (endpoint.row.state != "active" or "state" in values)

        def work(connection: Connection) -> None:
            outbox.keep(connection, row)
            if revived:
                outbox.revive(connection, endpoint.name)

        await self._database.write(work)
        _change(endpoint, values, revived=revived)

    # -- tests and deliveries -------------------------------------------------------------------------

    async def test(self, name: str) -> Attempt:
        """Send a test message now; one that is accepted revives a webhook that was paused."""
        endpoint = self._endpoint(name)
        now = self._clock.time()
        id = f"T-{self._random.randrange(16**12):012x}"
        text = "This is a test: the webhook works if you can read it."
        signal = Signal(id, "test", "info", "Test of the webhook " + endpoint.name, text, now, now, "bot")
        way, gates = route(endpoint), self._sender.gates
        if (wait := gates.wait(way, service(endpoint))) <= LONGEST_HOLD:
            await self._clock.sleep(wait)
        attempt = (await self._sender.send(endpoint, Parcel((signal,), id))).attempt
        if not attempt.delivered:
            return attempt
        gates.open(way)
        paused = endpoint.row.state == "paused"
        async with self._changing:
            if self._endpoints.get(endpoint.name) is endpoint:
                await self._keep(endpoint, _REVIVED)
                endpoint.reconsider()
        return structs.replace(attempt, revived=paused)

    async def deliveries(
        self,
        name: str | None = None,
        state: Shown | None = None,
        limit: int = 100,
        *,
        event: str | None = None,
        before: int | None = None,
    ) -> tuple[Delivery, ...]:
        """Newest first; ``event`` is a signal's id, ``before`` the number that theirs are to be lower than."""
        known = self._endpoint(name).name if name is not None else None
        wanted = outbox.Wanted(known, state, event, before)
        return await self._database.read(lambda connection: outbox.listed(connection, wanted, limit))

    async def retry(self, what: str) -> int:
        """Send what is dead again: a delivery by its number, or all of a webhook's by its name; how many.

        :raises InvalidArgument: if it is neither
        """
        number = int(what) if re.fullmatch(r"[0-9]{1,18}", what) else None
        name = None if number is not None else self._endpoint(what, "what").name
        again = await self._database.write(lambda connection: outbox.again(connection, name, number))
        if number is not None and not again:
            raise InvalidArgument("what", what, "the number of a dead delivery, or the name of a webhook")
        await self._recount()
        for endpoint in self._endpoints.values():
            endpoint.poke()
        return again

    def stats(self) -> Stats:
        each = {
            name: Counts(at.row.sent, at.row.failed, at.waiting, at.dead, at.row.dropped)
            for name, at in sorted(self._endpoints.items())
        }
        sums = (sum(values) for values in zip(*map(structs.astuple, each.values()), strict=True))
        return Stats(Counts(*sums), each)

    # -- the key --------------------------------------------------------------------------------------

    def _forget_key(self) -> None:
        self._seal = _seal(self._config) if self._config.key else None
        self._key_read = self._seal is not None
        for endpoint in self._endpoints.values():
            endpoint.forget_key()

    def _keyring(self) -> Seal | None:
        if not self._key_read:
            self._key_read = True
            try:
                key = read_key(self._key_file)
            except ConfigError:  # unreadable addresses say so, each where it is shown
                key = None
            self._seal = None if key is None else Seal(key)
        return self._seal

    async def _sealing(self) -> Seal:
        """The seal, with a key made for it if there is none yet.

        :raises UserError: if there is none and none can be written
        """
        if (seal := self._keyring()) is not None:
            return seal
        try:
            key = await anyio.to_thread.run_sync(make_key, self._key_file)
        except (OSError, ConfigError) as error:
            problem = error.strerror if isinstance(error, OSError) else str(error)
            raise UserError(f"No key to seal the address with: {escape(str(problem))}. See webhooks.key.") from None
        self._seal = Seal(key)
        for endpoint in self._endpoints.values():
            endpoint.forget_key()
        return self._seal


_REVIVED: dict[str, object] = {"state": "active", "state_reason": "", "failing_since": None}
_CHOSEN = ("address", "masked", "triggers", "severity", "enabled", "secrets", "rate")


def _change(endpoint: Endpoint, values: Mapping[str, object], *, revived: bool = False) -> None:
    endpoint.change(**values)
    if revived:
        endpoint.due.clear()
        endpoint.parked = False


def _rules(config: WebhooksConfig, random: Random) -> Rules:
    return Rules(
        Schedule(config.tries, config.span, random), config.pause_after, config.longest_wait, config.digest_after
    )


def _seal(config: WebhooksConfig) -> Seal | None:
    key = key_bytes(config.key)
    return None if key is None else Seal(key)


def _end(endpoint: Endpoint) -> None:
    if endpoint.scope is not None:
        endpoint.scope.cancel()


def _settings(endpoint: Endpoint) -> dict[str, str]:
    """What is set, as it may be shown."""
    row, secrets = endpoint.row, len(endpoint.secrets)
    return {
        "triggers": " ".join(row.triggers),
        "enabled": "on" if row.enabled else "off",
        "severity": row.severity,
        "secret": ("none", "set", "set, and the one before signs too")[min(secrets, 2)],
        "rate": f"{row.rate:g} a second" if row.rate else "no bound",
        "url": row.masked,
    }


def _triggers(given: tuple[str, ...]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(each.lower() for each in given if each))
    for each in wanted:
        if each not in TRIGGERS:
            raise InvalidArgument("triggers", each, f"one of {', '.join(TRIGGERS)}")
    if not wanted:
        raise InvalidArgument("triggers", "", f"one or more of {', '.join(TRIGGERS)}")
    return ("all",) if "all" in wanted else wanted


def _is_on(value: str) -> bool:
    if value.lower() in ("on", "true", "yes", "1", "off", "false", "no", "0"):
        return value.lower() in ("on", "true", "yes", "1")
    raise InvalidArgument("value", value, "on or off")


def _severity(value: str) -> Severity:
    severity = severity_of(value)
    if severity is None:
        raise InvalidArgument("value", value, "info, warning or critical")
    return severity


def _rate(value: str) -> float:
    if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value, re.ASCII):
        return float(value)
    raise InvalidArgument("value", value, "messages a second, from 0.001 to 9999; 0 for no bound")
