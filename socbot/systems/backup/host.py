"""The bot around the backups, as far as they need one."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from socbot.dispatch.replies import Reply


class Host(Protocol):
    """What a backup needs of the bot around it."""

    async def notify(self, reply: Reply) -> None:
        """Tell the owner."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """Within the block no command begins, and those that had begun have ended or wait for the store."""

    async def restored(self) -> tuple[str, ...]:
        """Have every system read its state from the store again; returns what could not be put in force."""
