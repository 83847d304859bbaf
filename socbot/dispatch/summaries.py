"""An outcome as plain facts, for programs: what ``socbot exec --json`` prints and the API answers."""

from msgspec import Struct

from socbot.dispatch.outcomes import Outcome, Status
from socbot.dispatch.replies import Reply, Tone


class Fact(Struct, frozen=True):
    """One named fact of a reply."""

    name: str
    value: str


class Attached(Struct, frozen=True):
    """A file of a reply; ``bytes`` is its size."""

    name: str
    bytes: int


class Said(Struct, frozen=True):
    """A reply, without what its files hold.

    :param text: with the lines of a listing below it
    """

    title: str
    text: str
    fields: tuple[Fact, ...]
    tone: Tone
    files: tuple[Attached, ...]
    private: bool


class Summary(Struct, frozen=True):
    """How a command ended.

    :param outcome: ``ok``, or how else it ended
    :param command: the command's name
    :param refused_by: the middleware that refused, or ``permission``, ``cooldown``, ``concurrency``, ``admission``
    :param reason: why it did not end well, in a few words
    :param error_id: under which a failure was captured
    :param trace_id: of its way through the chain
    :param ms: milliseconds that it took
    :param reply: what was answered
    """

    outcome: Status
    command: str | None
    refused_by: str | None
    reason: str | None
    error_id: str | None
    trace_id: str | None
    ms: float
    reply: Said | None


def summary(outcome: Outcome) -> Summary:
    """``outcome`` for a program."""
    return Summary(
        outcome.status,
        outcome.command,
        outcome.refused_by,
        outcome.reason,
        outcome.error_id,
        outcome.trace.id if outcome.trace else None,
        round(outcome.seconds * 1000, 3),
        None if outcome.reply is None else _said(outcome.reply),
    )


def _said(reply: Reply) -> Said:
    return Said(
        reply.title,
        "\n".join(part for part in (reply.text, *reply.items) if part),
        tuple(Fact(field.name, field.value) for field in reply.fields),
        reply.tone,
        tuple(Attached(file.name, len(file.content)) for file in reply.files),
        reply.private,
    )
