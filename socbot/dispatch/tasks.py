"""Leaving a task group without dressing up the error of whoever stood inside."""

from types import TracebackType

import anyio
from anyio.abc import TaskGroup


async def leave(
    tasks: TaskGroup,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> bool | None:
    """Leave ``tasks`` as ``__aexit__`` does, but let an error of the block go on as it is, not in a group of one.

    The tasks are cancelled first if there is one.
    """
    if error is None or isinstance(error, anyio.get_cancelled_exc_class()):
        return await tasks.__aexit__(kind, error, traceback)
    tasks.cancel_scope.cancel()
    await tasks.__aexit__(None, None, None)
    return None
