"""The life of the process: since when it runs, and how it is to end."""

import anyio

from socbot.dispatch.clock import Clock
from socbot.exit_codes import EXIT_OK


class Lifecycle:
    """Started once, asked to stop once; whoever runs the bot waits for ``stopping`` and exits with ``exit_code``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self.started_at = clock.time()
        self.exit_code = EXIT_OK
        self.stopping = anyio.Event()

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic() - self._started

    def stop(self, exit_code: int = EXIT_OK) -> None:
        """Ask for the end: drain, flush, exit. Who asked first has said how it is to end."""
        if not self.stopping.is_set():
            self.exit_code = exit_code
            self.stopping.set()
