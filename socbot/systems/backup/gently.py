"""Work that gives way to everything else in the process."""

import os
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

NICE = 10


def gently(work: Callable[P, T]) -> Callable[P, T]:
    """Have ``work`` run on a thread of its own that stands behind all others, with what it starts; wait for it.

    A thread that was made to stand back cannot come forward again: those of the event loop's pool must not be.
    """

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        results: list[T] = []
        errors: list[BaseException] = []

        def aside() -> None:
            try:
                _stand_back()
                results.append(work(*args, **kwargs))
            except BaseException as error:  # carried to the one who waits
                errors.append(error)

        thread = threading.Thread(target=aside, name=work.__name__)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    return run


def _stand_back() -> None:
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own that could be set so
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
