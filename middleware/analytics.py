"""Analytics' place in the chain."""

from typing import ClassVar

from socbot.dispatch.chain import Placement
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.replies import Reply


class Analytics:
    """Have the commands of this chain counted, refused ones too, wherever this stands.

    The system ``socbot.systems.analytics`` counts outcomes, of which there is one for each command.
    """

    placement: ClassVar[Placement] = Placement(kind="observer", acts="never")

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        return await call_next(ctx)
