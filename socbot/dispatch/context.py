"""One command in flight."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from msgspec import UNSET, Struct, UnsetType, structs

from socbot.dispatch.commands import Command
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.messages import Identity, Message
from socbot.dispatch.outcomes import Trace
from socbot.dispatch.replies import Reply

Send: TypeAlias = Callable[[Reply], Awaitable[None]]


class Failure(Struct, frozen=True):
    """That a command failed and was answered for, set by whoever captured it."""

    error_id: str | None
    error: BaseException


class Context(Struct, eq=False):
    """One command in flight: the message, the command, its arguments, who may do what, and the trace.

    :param enter: the outermost part of the chain that the command began on
    :param action: what runs instead of the handler: the action of a ``Confirm``
    :param confirmed: True while the action of a ``Confirm`` runs, whose question has passed the chain already
    :param asked: the message with the command that was asked about, while that action runs
    :param failure: set by a middleware that answers in place of a failure
    :param error: kept by the chain: what ended the command, whatever was answered in its place
    :param reply: kept by the chain: what the innermost part that has ended answered
    :param refused_by: kept by the chain: who refused
    :param faults: kept by the chain: what middleware broke, by name
    :param expired: set when the deadline has passed
    :param held_by: the stage, or the handler, that a deadline or a cancellation found at work
    :param slot: the place among the runs that its command allows at once, while it has one
    :param ended: set once there is an outcome: nothing may begin any more
    :param progress: what ``send`` was given where the host takes no progress
    """

    message: Message
    command: Command
    trace: Trace
    enter: "Handler"
    identity: Identity
    is_owner: bool = False
    name: str = ""
    prefix: str = ""
    argument_text: str = ""
    _send: Send | None = None
    action: "Handler | None" = None
    confirmed: bool = False
    asked: Message | None = None
    failure: Failure | None = None
    error: BaseException | None = None
    reply: Reply | UnsetType | None = UNSET
    refused_by: str | None = None
    faults: list[tuple[str, BaseException]] = []
    expired: bool = False
    held_by: str = ""
    slot: tuple[str, object] | None = None
    ended: bool = False
    progress: list[Reply] = []
    _arguments: tuple[list[object], dict[str, object]] | None = None

    @property
    def is_admin(self) -> bool:
        """The owner, or an administrator of the guild in which the command is used."""
        message = self.message
        return self.is_owner or (message.guild is not None and message.author.is_admin and message.stable_ids)

    @property
    def arguments(self) -> tuple[list[object], dict[str, object]]:
        """What the person typed, as positional and keyword arguments; read when first asked for.

        :raises InvalidArgument: if they are not what the command takes
        """
        if self._arguments is None:
            try:
                self._arguments = self.command.signature.bind(self.argument_text, self.message)
            except InvalidArgument as error:
                error.usage = self.prefix + self.command.usage
                error.example = self.prefix + self.command.example
                raise
        return self._arguments

    @arguments.setter
    def arguments(self, arguments: tuple[list[object], dict[str, object]]) -> None:
        self._arguments = arguments

    @property
    def given(self) -> str:
        """The arguments in words, with what was filled in or attached, as somebody may read them later."""
        message = self.message if self.asked is None else self.asked
        parts = [self.argument_text.strip(), *(f"{name}={value}" for name, value in (message.options or {}).items())]
        parts += [f"[{attachment.name}]" for attachment in message.attachments]
        return " ".join(part for part in parts if part)

    async def send(self, reply: Reply | str) -> None:
        """Show progress, in private if the command is; a host that takes none finds it in the outcome."""
        reply = Reply(reply) if isinstance(reply, str) else reply
        if self.command.private and not reply.private:
            reply = structs.replace(reply, private=True)
        if self._send is None:
            self.progress.append(reply)
        else:
            await self._send(reply)

    def __repr__(self) -> str:
        return f"Context({self.command.name!r}, {self.trace.id})"


Handler: TypeAlias = Callable[[Context], Coroutine[Any, Any, Reply | None]]
"""The end of the chain, and any wrapped part of it."""

Middleware: TypeAlias = Callable[[Context, Handler], Coroutine[Any, Any, Reply | None]]
"""What can stand in the chain. ``call_next`` runs the rest of it, at most once."""


class Confirm(Struct, frozen=True):
    """Returned by a handler that must ask first: the question, and what runs on yes.

    Nothing is left suspended: ``action`` starts when the same person says yes, in the same channel, once, in time.
    """

    question: str
    action: Handler
