"""The profiler's place in the chain."""

from typing import ClassVar

from socbot.dispatch.chain import Placement
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.replies import Reply


class Profiler:
    """Mark where a command's time begins to count: what stands inside is measured as the command.

    The times themselves are in every trace; the system ``socbot.systems.profiler`` reads them there.
    """

    placement: ClassVar[Placement] = Placement(kind="observer", acts="never")

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        return await call_next(ctx)
