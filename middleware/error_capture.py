"""The middleware that keeps what fails."""

from typing import ClassVar

from socbot.dispatch.chain import Placement
from socbot.dispatch.context import Context, Failure, Handler
from socbot.dispatch.errors import CommandTimeout, UserError
from socbot.dispatch.replies import Reply
from socbot.storage.errors import StatementError, StoreError, StoreUncertain
from socbot.systems.errors import Errors, Where
from socbot.systems.links import Links


class ErrorCapture:
    """Keep what fails below, and answer with an id to quote; a user's mistake is no error."""

    placement: ClassVar[Placement] = Placement(
        kind="observer",
        acts="on failure",
        after={
            "blacklist": "outside it, a listed user's commands pass one middleware more before they are refused",
            "rate_limit": "outside it, a flood passes one middleware more for each command that is refused",
            "profiler": "outside it, the profiler sees an exception where it should see the answer",
            "analytics": "outside it, analytics sees an exception where it should see what the person is told",
        },
    )

    def __init__(self, errors: Errors, links: Links) -> None:
        self._errors, self._links = errors, links

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        try:
            return await call_next(ctx)
        except UserError:
            raise
        except Exception as error:
            error_id = await self._errors.capture(error, _where(ctx))
            ctx.failure = Failure(error_id, error)
            page = self._links.to("errors", error_id) if ctx.is_owner else ""
            where = f": `{error_id}`, {page}" if page else f". Quote `{error_id}` to the operator."
            return Reply.error(_told(error) + where)


def _told(error: Exception) -> str:
    if isinstance(error, CommandTimeout):
        return "That took too long"
    if isinstance(error, StoreUncertain):
        return "The store has not answered: look whether that was done before you ask for it again"
    if isinstance(error, StoreError) and not isinstance(error, StatementError):
        return "That failed, because the store does not work just now"
    return "That failed"


def _where(ctx: Context) -> Where:
    message = ctx.message
    platform, user = ctx.identity
    return Where(ctx.command.name, platform, user, message.guild or "", message.channel, ctx.trace.id)
