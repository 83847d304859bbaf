"""Two middleware of an operator's own, which config.yaml names by import path."""

from typing import ClassVar

from msgspec.structs import replace

from socbot import Context, Handler, Placement, Refused, Reply


class Greeter:
    """Open a person's first answer with a greeting.

    :param greeting: an option, from ``with:`` in config.yaml
    """

    placement: ClassVar[Placement] = Placement(
        kind="observer", after={"blacklist": "a listed person would use up the greeting without being answered"}
    )

    def __init__(self, greeting: str) -> None:
        self._greeting = greeting
        self._greeted: set[tuple[str, str]] = set()

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        reply = await call_next(ctx)
        if reply is None or ctx.identity in self._greeted:
            return reply
        self._greeted.add(ctx.identity)
        return replace(reply, text=f"{self._greeting} {reply.text}".rstrip())


async def quiet_channel(ctx: Context, call_next: Handler) -> Reply | None:
    """Refuse everybody but the owner in the channel that is to stay quiet."""
    if ctx.message.channel == "quiet" and not ctx.is_owner:
        raise Refused("quiet channel", Reply("This channel stays quiet.", tone="warn", private=True))
    return await call_next(ctx)
