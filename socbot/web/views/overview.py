"""The overview: whether all is well, and what changed in the last day."""

from msgspec import Struct

from socbot.systems.health import Probe, Status
from socbot.web.host import Host
from socbot.web.view import View, Viewer


class Query(Struct, frozen=True):
    """Nothing can be asked for."""


class Overview(Struct, frozen=True):
    """Whether all is well, and what changed in the last day.

    :param health: the worst of what health found last
    """

    uptime: float
    live: Probe
    ready: Probe
    health: Status


async def read(host: Host, query: Query, viewer: Viewer) -> Overview:
    round = host.health.last
    return Overview(
        host.lifecycle.uptime, host.health.live, host.health.ready, round.status if round is not None else "unknown"
    )


VIEWS = (View("/", "Overview", Query, Overview, read, "overview.html"),)
