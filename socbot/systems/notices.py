"""Notices: how the owner is told of what concerns the owner, whichever system tells it."""

import logging
import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio
from msgspec import Struct, structs

from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import Field, Reply, printable
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.redaction import Redactor
from socbot.tracebacks import Redact, message_of

Way: TypeAlias = Callable[[Reply], Awaitable[None]]
"""Takes a notice to the owner; raises if that failed."""

LOG = "log"
"""The last way, which is always there."""

WINDOW = 600.0
MOST = 10
"""Notices within a window, in all."""

RESERVE = 3
"""Of these, how many only what is critical may use."""

_MOST_KEYS = 200
_MOST_TITLES = 20
_CHANGING = re.compile(r"`[^`]*`|<t:[^>]*>|\d+")

_log = logging.getLogger("socbot")


class Delivery(Struct, frozen=True):
    """How telling the owner goes.

    :param delivered: notices by the way that they went
    :param failures: why a way failed last, of those whose last try failed
    :param repeated: notices that were like one already sent, and not sent
    :param withheld: notices that were too many, since the start
    """

    delivered: dict[str, int]
    failures: dict[str, str]
    repeated: int
    withheld: int


class Notices:
    """Takes notices to the owner, in order, by the first way that works.

    - A notice like one of the last ten minutes is counted; the next like it that is sent says how many there were.
    - No more than ten are sent in ten minutes, three of them kept for what is critical. The others are told together
      once there is room.

    :param redact: takes the secrets out of the reasons of failures
    :param patience: seconds that each way has
    """

    def __init__(self, clock: Clock, redact: Redact | None = None, patience: float = 10.0) -> None:
        self._clock, self._patience = clock, patience
        self._redact: Redact = redact or Redactor()
        self._ways: dict[str, Way] = {}
        self._delivering = anyio.Lock()
        self._sent: deque[float] = deque(maxlen=MOST)
        self._alike: dict[str, _Alike] = {}
        self._held: Counter[str] = Counter()
        self._delivered: Counter[str] = Counter()
        self._failures: dict[str, str] = {}
        self._repeated = self._withheld = 0

    def offer(self, name: str, way: Way) -> None:
        """Add a way, to be tried after those that are there; one of the same name is replaced."""
        self._ways[name] = way

    def withdraw(self, name: str) -> None:
        """Take a way back that is of no use any more."""
        self._ways.pop(name, None)
        self._failures.pop(name, None)

    def jobs(self) -> tuple[Job, ...]:
        return (Job("notices", self.catch_up, Every(60.0), "Tells the owner of notices that were too many at once"),)

    @property
    def delivery(self) -> Delivery:
        return Delivery(dict(self._delivered), dict(self._failures), self._repeated, self._withheld)

    async def notify(self, reply: Reply) -> None:
        """Tell the owner, unless it is nothing new or too much.

        Returns once it is told; what no way could deliver is in the log. Raises nothing of its own; one that is
        cancelled is in the log too.
        """
        key = _key(reply)
        if self._is_repeated(key):
            return
        if self._room <= (0 if reply.tone == "error" else RESERVE):
            self._hold(reply.title)
            return
        more = self._remember(key, is_recovery=reply.tone == "ok")
        self._sent.append(self._clock.monotonic())
        await self._tell(_with_more(reply, more))
        await self.catch_up()

    async def catch_up(self) -> None:
        """Tell in one notice what was held back, if there is room for it."""
        if not self._held or self._room <= RESERVE:
            return
        summary = _summary(self._held)
        self._held = Counter()
        self._sent.append(self._clock.monotonic())
        await self._tell(summary)

    # -- what is sent ---------------------------------------------------------------------------------

    def _is_repeated(self, key: str) -> bool:
        before = self._alike.get(key)
        if before is None or self._clock.monotonic() - before.at >= WINDOW:
            return False
        before.count += 1
        self._repeated += 1
        return True

    def _remember(self, key: str, *, is_recovery: bool) -> int:
        """Take note that it is sent; how many like it were not since the last one that was."""
        before = self._alike.pop(key, None)
        # After a recovery the same failure is news again, and after a failure the same recovery.
        self._alike = {k: each for k, each in self._alike.items() if each.is_recovery == is_recovery}
        self._alike[key] = _Alike(self._clock.monotonic(), is_recovery)
        if len(self._alike) > _MOST_KEYS:
            del self._alike[next(iter(self._alike))]
        return before.count if before is not None else 0

    @property
    def _room(self) -> int:
        now = self._clock.monotonic()
        while self._sent and now - self._sent[0] >= WINDOW:
            self._sent.popleft()
        return MOST - len(self._sent)

    def _hold(self, title: str) -> None:
        self._withheld += 1
        self._held[title if title in self._held or len(self._held) < _MOST_TITLES else "others"] += 1

    # -- how it goes ----------------------------------------------------------------------------------

    async def _tell(self, reply: Reply) -> None:
        told = False
        try:
            async with self._delivering:  # first come, first told
                told = await self._by_some_way(reply)
        finally:
            if not told:
                self._delivered[LOG] += 1
                _log.warning("for the owner: %s", printable(str(reply)))

    async def _by_some_way(self, reply: Reply) -> bool:
        for name, way in tuple(self._ways.items()):
            try:
                with anyio.fail_after(self._patience):
                    await way(reply)
            except Exception as error:  # a way is a platform's or a host's code; whatever it does, the next is tried
                self._failures[name] = self._reason(error)
            else:
                self._delivered[name] += 1
                self._failures.pop(name, None)
                return True
        return False

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError) and not error.args:
            return f"no answer within {self._patience:g} s"
        return printable(f"{type(error).__name__}: {message_of(error, self._redact)}"[:300], "")


class _Alike:
    """When a notice was sent, and how many like it were not since."""

    def __init__(self, at: float, is_recovery: bool) -> None:
        self.at, self.is_recovery, self.count = at, is_recovery, 0


def _key(reply: Reply) -> str:
    """What makes two notices the same: title, and the facts that stand side by side; ids, figures and times aside.

    The long facts beneath (a message, a traceback) differ each time and say nothing about what it is. A notice
    without such facts is told apart by its text and its lines.
    """
    facts = [f"{field.name}: {field.value}" for field in reply.fields if field.inline] or [reply.text, *reply.items]
    return "\n".join((reply.title, *(_CHANGING.sub("#", fact) for fact in facts)))


def _with_more(reply: Reply, more: int) -> Reply:
    if not more:
        return reply
    return structs.replace(reply, text=f"{reply.text}\nAnd {more} more like this since the last one.".strip())


def _summary(held: Counter[str]) -> Reply:
    return Reply(
        f"{sum(held.values())} notices were too many at once and not sent.",
        "🔕 Notices Held Back",
        items=tuple(f"{title or 'without a title'}: {count}" for title, count in held.items()),
        tone="warn",
        private=True,
    )


def startup(*, guilds: int, users: int, chain: Sequence[str], shards: int = 1, problems: Sequence[str] = ()) -> Reply:
    """The bot has started; ``problems`` are what its operator should know of it."""
    fields = (
        Field("Status", "Online"),
        Field("Guilds", str(guilds)),
        Field("Users", str(users)),
        Field("Shards", str(shards)),
        Field("Chain", " → ".join(chain) or "none", inline=False),
    )
    return Reply("", "Startup Complete", fields, tuple(f"⚠ {problem}" for problem in problems), "ok", private=True)


def shutting_down(*, uptime: float, restart: bool = False) -> Reply:
    """The bot ends, or starts anew; ``uptime`` in seconds."""
    fields = (
        Field("Status", "Restarting" if restart else "Stopping"),
        Field("Uptime", str(Duration(round(uptime) or 1))),
    )
    return Reply("", "Shutting Down", fields, tone="warn", private=True)
