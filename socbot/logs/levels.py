"""Which loggers say how much."""

import logging

from socbot.config import LogsConfig


class Levels:
    """The levels of the loggers, as a configuration has them; where it has none, what was before is put back."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}

    def apply(self, config: LogsConfig) -> None:
        wanted = {"root": config.level, **config.loggers}
        self._restore(self._before.keys() - wanted.keys())
        for name, level in wanted.items():
            logger = logging.getLogger(name)
            self._before.setdefault(name, logger.level)
            logger.setLevel(level)

    def restore(self) -> None:
        self._restore(set(self._before))

    def _restore(self, names: set[str]) -> None:
        for name in names:
            logging.getLogger(name).setLevel(self._before.pop(name))
