"""The chain: the way that every command takes, and what each middleware on it does and costs."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from socbot.dispatch.chain import Acts, Layer
from socbot.dispatch.order import Finding
from socbot.dispatch.outcomes import Kind, Mode
from socbot.systems.counters import Part
from socbot.systems.profiler import COMMAND, HANDLER
from socbot.systems.sketch import Sketch
from socbot.systems.traces import Wanted
from socbot.web.host import Host
from socbot.web.view import View, Viewer
from socbot.web.views.traces import Brief

_RECENT = 200  # traces among which the slowest is looked for


class Query(Struct, frozen=True):
    """Nothing can be asked for."""


class Cost(Struct, frozen=True):
    """What one part of the chain took in the last day, without what it wraps, over all commands.

    :param runs: how often it was measured
    :param mean: seconds; ``p99`` too
    :param share: of the time that the whole chain and the handlers took, 0 to 1
    """

    runs: int
    mean: float
    p99: float
    share: float


class Link(Struct, frozen=True):
    """One middleware in its place. What it did is counted since the start.

    :param acts: when it has something to do: around every command, before it, on failure, or never
    :param would_refuse: commands that it would have refused, in shadow mode
    :param faults: how often it broke
    """

    name: str
    kind: Kind
    mode: Mode
    acts: Acts
    calls: int
    refusals: int
    would_refuse: int
    faults: int
    cost: Cost


class Beside(Struct, frozen=True):
    """Who refuses beside the middleware, how often since the start, and why.

    :param by: ``permission``, ``cooldown``, ``concurrency``, ``maintenance`` …
    """

    by: str
    reason: str
    count: int


class Way(Struct, frozen=True):
    """The way that every command takes, outermost first, and what each middleware on it does and costs.

    :param generation: counts the chains since the start
    :param since: the start, in seconds since 1970
    :param findings: what the order breaks or costs
    :param beside: refusals by others
    :param refused: the last command that was refused; None if no trace of one is kept
    :param slow: the slowest of the last commands
    :param ok: the last that went well
    """

    generation: int
    since: float
    chain: tuple[Link, ...]
    handler: Cost
    findings: tuple[Finding, ...]
    beside: tuple[Beside, ...]
    refused: Brief | None
    slow: Brief | None
    ok: Brief | None


async def read(host: Host, query: Query, viewer: Viewer) -> Way:
    costs, counts = await host.profiler.parts(), host.counters.counts
    whole = sum(sketch.total for part, sketch in costs.items() if part != COMMAND)
    layers = host.pipeline.layers
    names = {layer.name for layer in layers}
    beside = sorted(counts.refusals.items(), key=lambda each: -each[1])
    last = [Brief.of(record) for record in (await host.traces.newest(count=_RECENT)).traces]
    return Way(
        host.pipeline.generation,
        host.clock.time() - host.lifecycle.uptime,
        tuple(_link(layer, counts.parts.get(layer.name, Part()), costs.get(layer.name), whole) for layer in layers),
        _cost(costs.get(HANDLER), whole),
        host.pipeline.findings,
        tuple(Beside(by, reason, count) for (by, reason), count in beside if by not in names)[:30],
        await _last_refused(host, last),
        max((each for each in last if each.status in ("ok", "failed")), key=lambda each: each.seconds, default=None),
        next((each for each in last if each.status == "ok"), None),
    )


async def _last_refused(host: Host, last: list[Brief]) -> Brief | None:
    known = next((each for each in last if each.status == "refused"), None)
    if known is not None:
        return known
    found = await host.traces.newest(Wanted(status="refused"), 1)
    return Brief.of(found.traces[0]) if found.traces else None


def _link(layer: Layer, did: Part, sketch: Sketch | None, whole: float) -> Link:
    placed = layer.placement
    return Link(
        layer.name, placed.kind, layer.mode, placed.acts, did.calls, did.refusals, did.would_refuse, did.faults,
        _cost(sketch, whole),
    )  # fmt: skip


def _cost(sketch: Sketch | None, whole: float) -> Cost:
    if sketch is None or not sketch.count:
        return Cost(0, 0.0, 0.0, 0.0)
    return Cost(sketch.count, sketch.mean, sketch.quantile(0.99), sketch.total / whole if whole else 0.0)


def words(way: Way, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    guards = [each for each in way.chain if each.kind == "guard"]
    share = sum(each.cost.share for each in way.chain)
    off = [each.name for each in way.chain if each.mode == "off"]
    refused = sum(each.refusals for each in way.chain) + sum(each.count for each in way.beside)
    return {
        "guards": len(guards),
        "share": share,
        "off": off,
        "refused": refused,
        "modes": ("enforce", "shadow", "off"),
        "acts": _ACTS,
    }


_ACTS = {
    "around": "wraps every command",
    "before": "decides before a command",
    "on failure": "acts when something fails",
    "never": "marks its place",
}

VIEWS: tuple[View[Any, Any], ...] = (View("/chain", "Chain", Query, Way, read, "chain.html", shape=words),)
