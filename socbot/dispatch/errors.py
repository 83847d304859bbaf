"""The ways in which a command can go wrong without anything being broken.

Each class is a way that somebody handles differently; its facts are attributes, its text is for the person
who wrote the command.
"""

from socbot.dispatch.replies import Reply, escape


def describe(thing: object) -> str:
    """``str(thing)`` of an exception or a fact that somebody else wrote, even if that raises."""
    try:
        return str(thing)
    except Exception:  # their __str__ failed: that must not take the place of what is being described
        return f"a {type(thing).__name__} that cannot be put into words"


class UserError(Exception):
    """The person can put it right: answered with its text, never captured as an error."""

    def reply(self) -> Reply | None:
        """What the person is told; None for silence."""
        return Reply(str(self), tone="warn")


WITHHELD = "…"
"""Stands for the value of a secret argument that is wrong."""


class InvalidArgument(UserError):
    """One argument is not what the command takes."""

    argument = value = expected = usage = example = ""

    def __init__(self, argument: str, value: str, expected: str) -> None:
        self.argument, self.value, self.expected = argument, value, expected
        super().__init__(argument, value, expected)

    def __str__(self) -> str:
        given = "what was given" if self.value == WITHHELD else f"`{escape(self.value, 60)}`"
        shown = f"{given} is not {self.expected}" if self.value else f"missing: {self.expected}"
        lines = [f"{escape(self.argument, 100)}: {shown}."]
        if self.usage:
            lines.append(f"Usage: `{self.usage}`")
        if self.example:
            lines.append(f"Example: `{self.example}`")
        return "\n".join(lines)


class MessageTooLong(InvalidArgument):
    """The message has more than ``limit`` characters, so nothing of it was read."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__("message", "", f"at most {limit} characters")

    def __str__(self) -> str:
        return f"That message is too long: at most {self.limit:,} characters are read."


class UnknownCommand(UserError):
    """No command has that name; ``suggestions`` are the nearest names, with the prefix."""

    name = ""
    suggestions: tuple[str, ...] = ()

    def __init__(self, name: str, suggestions: tuple[str, ...] = ()) -> None:
        self.name, self.suggestions = name, suggestions
        super().__init__(name, suggestions)

    def __str__(self) -> str:
        text = f"Unknown command `{escape(self.name, 40)}`."
        if self.suggestions:
            text += " Did you mean " + " or ".join(f"`{name}`" for name in self.suggestions) + "?"
        return text


class Refused(UserError):
    """A middleware, or the dispatcher itself, said no.

    :param reason: why, in a few words, for the outcome and the trace
    :param told: what the person is told; None for silence
    """

    # For a subclass that does not call this __init__: a refusal stays one.
    reason = "refused"
    told: Reply | None = None

    def __init__(self, reason: str, told: Reply | None = None) -> None:
        self.reason, self.told = reason, told
        super().__init__(reason)

    def reply(self) -> Reply | None:
        return self.told


class NotPermitted(Refused):
    """The command is for the owner, or for an administrator of the guild."""

    def __init__(self, needed: str) -> None:
        self.needed = needed
        super().__init__(f"{needed} only", Reply(f"Only {needed} may use this command.", tone="error"))


class OnCooldown(Refused):
    """The command's own cooldown is still running; ``retry_after`` in seconds."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(
            "cooldown", Reply(f"Try again in {retry_after:.1f} s.", tone="warn", private=True, fleeting=10.0)
        )


class Busy(Refused):
    """As many runs as are allowed at once are under way."""

    def __init__(self, scope: str, told: bool = True) -> None:
        self.scope = scope
        text = "The bot is busy; try again in a moment." if scope == "bot" else f"Already running for this {scope}."
        super().__init__("busy", Reply(text, tone="warn", private=True, fleeting=10.0) if told else None)


class GuardFailed(Refused):
    """A guard broke, and therefore refused: it fails closed.

    :param ran: whether the handler had been reached, so that only its answer can be withheld
    """

    def __init__(self, guard: str, error: BaseException, *, ran: bool = False) -> None:
        self.guard, self.error, self.ran = guard, error, ran
        what = "its answer is not shown. It may have run" if ran else "it was not run"
        super().__init__("guard failed", Reply(f"That could not be checked, so {what}.", tone="error"))


class MiddlewareFault(Exception):
    """A middleware broke the rules of the chain; ``layer`` is its name."""

    def __init__(self, layer: str, what: str) -> None:
        self.layer, self.what = layer, what
        super().__init__(f"middleware {layer!r} {what}")


class CommandTimeout(Exception):
    """The command did not end by its deadline; ``where`` is the layer or handler that held it."""

    def __init__(self, seconds: float, where: str, *, abandoned: bool = False) -> None:
        self.seconds, self.where, self.abandoned = seconds, where, abandoned
        text = f"{where} did not end within {seconds:g} s"
        super().__init__(text + " and ignored being cancelled" if abandoned else text)
