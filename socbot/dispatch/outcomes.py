"""How a dispatch ended, and the way it took through the chain."""

from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.dispatch.errors import describe
from socbot.dispatch.messages import Identity, Message
from socbot.dispatch.replies import Reply

Status: TypeAlias = Literal["ok", "refused", "failed", "invalid", "unknown", "ignored"]
Mode: TypeAlias = Literal["enforce", "shadow", "off"]
Kind: TypeAlias = Literal["guard", "observer"]
Verdict: TypeAlias = Literal["passed", "refused", "answered", "failed", "would refuse", "not reached", "running"]


class Step(Struct, frozen=True):
    """What one middleware did with one command.

    :param note: what it decided on
    :param seconds: from entering it to leaving it, with all that it wraps
    :param own_seconds: the same without what it wraps
    :param fault: what it did wrong, if anything
    :param entered: seconds after the outermost was entered
    """

    name: str
    position: int
    mode: Mode
    verdict: Verdict
    note: str = ""
    seconds: float = 0.0
    own_seconds: float = 0.0
    fault: str = ""
    entered: float = 0.0


class Stage(Struct, frozen=True):
    """One place of a chain: which middleware stands there, and how."""

    name: str
    kind: Kind
    mode: Mode


class Trace(Struct, eq=False):
    """The way of one command through the chain.

    The hot path writes bare times into it; everything readable is computed when somebody asks.

    :param times: entered and left, for each stage and then the handler: [in0, out0, in1, out1, …]; 0.0 for not yet
    """

    stages: tuple[Stage, ...]
    generation: int
    id_prefix: str
    number: int
    at: float
    times: list[float] = []
    handler_reached: bool = False
    _notes: list[tuple[str, object]] | None = None
    _verdicts: dict[int, Verdict] | None = None
    _faults: dict[int, str] | None = None

    @property
    def id(self) -> str:
        """Short, unique, and safe to show."""
        return f"T-{self.id_prefix}{_base32(self.number)}"

    def note(self, name: str, fact: object) -> None:
        """Remember what the middleware ``name`` decided on; ``fact`` is put into words only when it is read."""
        if self._notes is None:
            self._notes = [(name, fact)]
        else:
            self._notes.append((name, fact))

    def judge(self, position: int, verdict: Verdict) -> None:
        if self._verdicts is None:
            self._verdicts = {}
        self._verdicts[position] = verdict

    def blame(self, position: int, fault: str) -> None:
        if self._faults is None:
            self._faults = {}
        self._faults[position] = fault

    @property
    def remarks(self) -> tuple[list[tuple[str, object]], dict[int, Verdict], dict[int, str]]:
        """All that was remembered beside the times: notes by name, verdicts and faults by position."""
        return self._notes or [], self._verdicts or {}, self._faults or {}

    @property
    def blamed(self) -> tuple[str, ...]:
        """The middleware that broke a rule, by name."""
        return tuple(self._name(position) for position in self._faults or ())

    @property
    def would_refuse(self) -> tuple[str, ...]:
        """The middleware in shadow mode that would have refused, by name."""
        return tuple(
            self._name(position) for position, verdict in (self._verdicts or {}).items() if verdict == "would refuse"
        )

    @property
    def innermost(self) -> str:
        """The stage, or the handler, that was entered last and not left."""
        name = "dispatcher"
        for position in range(len(self.stages) + 1):
            if self.times[2 * position] and not self.times[2 * position + 1]:
                name = self._name(position)
        return name

    @property
    def handler_seconds(self) -> float:
        """How long the end of the chain took: permission, arguments, and the handler; 0 if it was not reached."""
        return self._span(len(self.stages))

    @property
    def handler_entered(self) -> float:
        """How long after the outermost middleware the end of the chain was entered; 0 if it was not reached."""
        return self._entered(len(self.stages))

    @property
    def steps(self) -> tuple[Step, ...]:
        notes: dict[str, str] = {}
        for name, fact in self._notes or ():
            told = describe(fact)
            notes[name] = f"{notes[name]}; {told}" if name in notes else told
        return tuple(self._step(position, notes) for position in range(len(self.stages)))

    def _name(self, position: int) -> str:
        return self.stages[position].name if position < len(self.stages) else "handler"

    def _span(self, position: int) -> float:
        entered, left = self.times[2 * position], self.times[2 * position + 1]
        return left - entered if entered and left else 0.0

    def _entered(self, position: int) -> float:
        return max(0.0, self.times[2 * position] - self.times[0]) if self.times[2 * position] else 0.0

    def _step(self, position: int, notes: dict[str, str]) -> Step:
        stage = self.stages[position]
        verdict: Verdict = "passed"
        if not self.times[2 * position]:
            verdict = "not reached"
        elif not self.times[2 * position + 1]:
            verdict = "running"
        if self._verdicts:
            verdict = self._verdicts.get(position, verdict)
        seconds = self._span(position)
        return Step(
            stage.name,
            position,
            stage.mode,
            verdict,
            notes.get(stage.name, ""),
            seconds,
            max(0.0, seconds - self._span(position + 1)),
            (self._faults or {}).get(position, ""),
            self._entered(position),
        )


class Outcome(Struct, frozen=True):
    """How one dispatch ended. There is exactly one for each message.

    :param status: ``ignored`` is a message that is no command at all
    :param command: the command's canonical name; None where none was found
    :param refused_by: the middleware that refused, or ``permission``, ``cooldown``, ``concurrency``, ``admission``
    :param error_id: under which the failure was captured, if it was
    :param error: what failed, for observers; never shown to the person
    :param seconds: the whole dispatch
    :param faults: middleware that broke, by name, with what they raised
    :param progress: what ``ctx.send`` was given where the host takes no progress
    """

    status: Status
    message: Message
    command: str | None = None
    reply: Reply | None = None
    refused_by: str | None = None
    reason: str | None = None
    error_id: str | None = None
    error: BaseException | None = None
    trace: Trace | None = None
    seconds: float = 0.0
    progress: tuple[Reply, ...] = ()
    faults: tuple[tuple[str, BaseException], ...] = ()

    @property
    def identity(self) -> Identity:
        return self.message.identity


_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no letter that reads like a digit


def _base32(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 32)
        text = _DIGITS[digit] + text
        if not number:
            return text
