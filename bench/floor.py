"""The floor: the least that a bot with these five concerns can cost, written by hand for the benchmark."""

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic, time

from socbot.dispatch.messages import Identity, Message
from socbot.dispatch.outcomes import Outcome, Stage, Status, Trace
from socbot.dispatch.replies import Reply
from socbot.storage.connection import Connection

STAGES = (
    Stage("blacklist", "guard", "enforce"),
    Stage("rate_limit", "guard", "enforce"),
    Stage("profiler", "observer", "enforce"),
    Stage("analytics", "observer", "enforce"),
    Stage("error_capture", "observer", "enforce"),
)
"""As the outcomes of the default chain name them, so that the same sinks store the same rows."""

FRESH = (0.0, 0.0)


class Floor:
    """One function that does by hand what the five systems keep books of, and nothing else.

    For each command: read prefix and name; look up user and guild in two dicts of listed ones; the user's cooldown
    and GCRA burst, remembered for the store; two readings of the clock around the handler; the handler inside a
    ``try`` that captures what fails; one outcome, with a trace that names the five stages and holds those times,
    given to the telemetry.

    It has no chain, no arguments, no permissions, no deadline, no admission, no check for an event that is delivered
    twice, and its limiter is a dict that is never bounded. So nothing that does the whole work can be as fast.
    """

    def __init__(
        self,
        handlers: dict[str, Callable[[Message], Awaitable[Reply]]],
        listed: dict[Identity, float],
        record: Callable[[Outcome], None],
        *,
        cooldown: float,
        burst: int,
        window: float,
    ) -> None:
        self.unsaved: dict[Identity, tuple[float, float]] = {}
        self._handlers = handlers
        self._users = listed
        self._guilds: dict[Identity, float] = {}
        self._limits: dict[Identity, tuple[float, float]] = {}
        self._record = record
        self._cooldown = cooldown
        self._share, self._window = window / burst, window
        self._captured = 0
        self._count = 0

    async def dispatch(self, message: Message) -> Outcome | None:
        """Run one message to its end; None if it is no command."""
        started = called = answered = monotonic()
        text, author = message.text, message.author
        if author.is_bot or not text.startswith("!"):
            return None
        name, _, _ = text[1:].partition(" ")
        handler = self._handlers.get(name)
        if handler is None:
            return None
        identity = (message.platform, author.id)
        status: Status = "ok"
        reply = refused_by = error_id = failure = None
        used, cooling = self._limits.get(identity, FRESH)
        used = (used if used > started else started) + self._share
        if self._users.get(identity, 0.0) > started or (
            message.guild and self._guilds and self._guilds.get((message.platform, message.guild), 0.0) > started
        ):
            status, refused_by = "refused", "blacklist"
        elif used - started > self._window or cooling > started:
            status, refused_by = "refused", "rate_limit"
        else:
            self._limits[identity] = self.unsaved[identity] = (used, started + self._cooldown)
            called = monotonic()
            try:
                reply = await handler(message)
            except Exception as error:  # what the floor stands in for: its error capture
                self._captured += 1
                status, failure, error_id = "failed", error, f"E-{self._captured}"
            answered = monotonic()
        self._count += 1
        trace = Trace(STAGES, 1, "FLOOR", self._count, time())
        if refused_by is None:
            trace.times = [started, answered] * 5 + [called, answered]
        outcome = Outcome(
            status, message, name, reply, refused_by, refused_by, error_id, failure, trace, monotonic() - started
        )
        self._record(outcome)
        return outcome

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Store what users have used since the last flush: a telemetry sink."""
        to_wall = time() - monotonic()
        rows = []
        for _ in range(len(self.unsaved)):
            (platform, subject), (used, cooling) = self.unsaved.popitem()
            rows.append(
                {"platform": platform, "subject": subject, "used": used + to_wall, "cooling": cooling + to_wall}
            )
        connection.execute_many(
            "INSERT INTO rate_limit_state (platform, subject, spent_until, cooldown_until, silent_until, refusals)"
            " VALUES (:platform, :subject, :used, :cooling, 0, 0) ON CONFLICT (platform, subject)"
            " DO UPDATE SET spent_until = excluded.spent_until, cooldown_until = excluded.cooldown_until",
            rows,
        )
