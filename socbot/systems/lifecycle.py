"""The life of the process: since when it runs, and how it is to end."""

import anyio

from socbot.dispatch.clock import Clock

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_REFUSED = 0, 1, 2, 3
EXIT_RESTART, EXIT_TRY_AGAIN, EXIT_CONFIGURATION = 26, 75, 78


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
