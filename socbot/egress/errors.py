"""The ways in which a request can fail to be answered.

Their texts are half a sentence, for whoever shows them to say what was not done. None says more of an address than
its host and port: the rest of it is a secret.
"""


class EgressError(Exception):
    """No answer came; ``permanent`` if none will come, however often it is tried."""

    permanent = False


class Blocked(EgressError):
    """The address is not one that may be reached; the text says by which rule, and what to do."""

    permanent = True


class LeadsInside(Blocked):
    """No address of the name is one that may be reached; tomorrow the name may lead elsewhere."""

    permanent = False


class Unreachable(EgressError):
    """No connection: no address for the name, refused, or TLS that does not hold; or one that broke."""


class TimedOut(EgressError):
    """Not connected, sent and answered within the time for all of it."""


class Unreadable(EgressError):
    """What came is no answer: not HTTP, cut short, or with headers beyond every measure."""
