"""Links: where in the dashboard something can be seen, for the answers that name it."""

from urllib.parse import quote

from socbot.dispatch.replies import Field


class Links:
    """Addresses of the dashboard's pages.

    :ivar base: under which it is reached, without a slash at its end; empty while it is not served
    :ivar failure: why it is not, although it should be
    """

    def __init__(self) -> None:
        self.base = self.failure = ""

    def sign_in(self, ticket: str) -> str:
        """The address at which a ticket signs in; empty while there is no dashboard."""
        return f"{self.base}/login?ticket={quote(ticket)}" if self.base else ""

    def to(self, *parts: str) -> str:
        """The address of a page, such as ``to("errors", "E-7Q")``; empty while there is no dashboard."""
        return "/".join((self.base, *(quote(part, safe="") for part in parts))) if self.base else ""

    def field(self, *parts: str) -> tuple[Field, ...]:
        """What leads to a page from an answer; nothing while there is no dashboard."""
        return (Field("Page", self.to(*parts), inline=False),) if self.base else ()
