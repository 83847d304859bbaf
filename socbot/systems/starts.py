"""Which starts of the bot are news to its owner: of a crash loop, not each one."""

from socbot.dispatch.clock import Clock
from socbot.storage.connection import Connection
from socbot.storage.database import Database

TOLD_AGAIN = 600.0


class Starts:
    """Remembers in the store when the owner was told of a start last, and how many there were since.

    :param name: what tells the processes of one bot apart
    """

    def __init__(self, database: Database, clock: Clock, name: str) -> None:
        self._database, self._clock = database, clock
        self._key = f"starts.{name}"  # a row among the settings, of no section that can be set

    async def began(self) -> int | None:
        """Take note of a start; how many before it were not told, or None if it is not to be told either.

        One is not to be told within ten minutes of another, unless the bot has ended in order in between.

        :raises StoreError: if it cannot be noted
        """
        return await self._database.write(lambda connection: _began(connection, self._key, self._clock.time()))

    async def ended(self) -> None:
        """Take note that the bot ends in order: its next start is news.

        :raises StoreError: if it cannot be noted
        """
        await self._database.write(
            lambda connection: connection.change("DELETE FROM settings WHERE key = :key", {"key": self._key})
        )


def _began(connection: Connection, key: str, now: float) -> int | None:
    rows = connection.execute("SELECT value, set_at FROM settings WHERE key = :key", {"key": key})
    untold, told_at = (int(rows[0][0]), rows[0][1]) if rows else (0, 0.0)
    is_news = not 0 <= now - told_at < TOLD_AGAIN  # a clock that was set back makes news
    connection.change(
        "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, :untold, 'socbot', :at)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value, set_at = excluded.set_at",
        {"key": key, "untold": str(0 if is_news else untold + 1), "at": now if is_news else told_at},
    )
    return untold if is_news else None
