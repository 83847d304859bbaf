"""What every transport is to the program that runs it."""

from typing import Protocol

from socbot.dispatch.replies import Reply


class Transport(Protocol):
    """Where messages come from and replies go."""

    async def run(self) -> None:
        """Serve until there is nothing more to come; whoever runs the bot then ends it.

        :raises TransportRefused: if the platform will not have the bot
        """

    async def tell(self, reply: Reply) -> None:
        """Show something to whoever runs the process."""

    async def close(self) -> None:
        """Let answers under way arrive, and part from the platform."""


class TransportRefused(Exception):
    """The platform will not have the bot, and trying again changes nothing.

    :param text: why, and what to do
    :param exit_code: what the process ends with
    """

    def __init__(self, text: str, exit_code: int) -> None:
        self.text, self.exit_code = text, exit_code
        super().__init__(text)
