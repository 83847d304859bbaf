"""Which command is running here: known wherever its handler goes, also in the tasks and threads that it starts."""

from contextvars import ContextVar

from socbot.dispatch.context import Context

current: ContextVar[Context | None] = ContextVar("current", default=None)
"""The command that is running, or the last one that has run: see ``Context.ended``."""
