"""The chain's own commands."""

from typing import Annotated

from msgspec import Meta, Struct

from socbot.dispatch.arguments import Completes
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.errors import InvalidArgument, NotPermitted, UserError
from socbot.dispatch.outcomes import Mode, Step
from socbot.dispatch.replies import Chart, Field, Reply, escape, moment, person
from socbot.documents import ConfigError
from socbot.handlers.performance import took
from socbot.systems.links import Links
from socbot.systems.pipeline import Pipeline
from socbot.systems.settings import Settings
from socbot.systems.traces import TraceRecord, Traces


@command("pipeline", permission="owner", group="chain")
async def pipeline(ctx: Context, pipeline: Pipeline, links: Links) -> Reply:
    """The middleware in order: mode, calls, refusals, cost, and what the order check says."""
    figures = await pipeline.figures()
    items = []
    for position, layer in enumerate(pipeline.layers, 1):
        figure = figures.get(layer.name)
        line = f"{position}. {layer.name} ({layer.placement.kind}, {layer.mode})"
        if figure is not None:
            line += (
                f": {figure.calls} calls, {figure.refusals} refused, {figure.would_refuse} would have been, "
                f"{figure.faults} faults, mean {figure.mean * 1e6:.0f} µs, P99 {figure.p99 * 1e6:.0f} µs"
            )
        items.append(line)
    warnings = tuple(f"⚠ {finding.text}" for finding in pipeline.findings)
    title = f"The chain, generation {pipeline.generation}"
    return Reply(title=title, fields=links.field("chain"), items=(*items, *warnings))


@command("why", permission="public", group="chain")
async def why(ctx: Context, traces: Traces, links: Links, trace: Annotated[str, Meta(max_length=40)]) -> Reply:
    """The path of one command through the chain: each middleware's verdict, what it decided on, time.

    Takes a trace id or an error id. Anybody may look at their own.
    """
    record = await traces.find(trace)
    if record is None or not (ctx.is_owner or traces.belongs_to(record, ctx.identity)):
        if not ctx.is_owner and record is not None:
            raise NotPermitted("the owner, or whoever gave the command,")
        raise InvalidArgument("trace", trace, "a trace or error id that is still kept")
    return Reply(
        title=f"{record.trace_id}: {record.command or 'unknown command'} → {record.status}",
        # The page opens to the owner alone.
        fields=_facts(record, ctx.is_owner, ctx.message.platform)
        + (links.field("traces", record.trace_id) if ctx.is_owner else ()),
        items=tuple(_step(step) for step in record.steps) + _end(record),
        chart=way(record) if record.steps else None,
        private=True,
    )


def _facts(record: TraceRecord, for_owner: bool, here: str) -> tuple[Field, ...]:
    facts = [Field("when", moment(record.at)), Field("took", f"{record.seconds * 1000:.2f} ms")]
    if record.refused_by:
        facts.append(Field("refused by", f"{record.refused_by} ({escape(record.reason)})"))
    elif record.reason:
        facts.append(Field("reason", escape(record.reason)))
    if record.error_id:
        facts.append(Field("error", record.error_id))
    if for_owner:
        facts.append(Field("user", person(record.platform, record.subject, here)))
        facts.append(Field("guild", escape(record.guild, 64) or "direct message"))
    facts.append(Field("generation", str(record.generation)))
    return tuple(facts)


def _step(step: Step) -> str:
    shadow = " (shadow)" if step.mode == "shadow" else ""
    line = f"{step.position + 1}. {step.name}{shadow}: {step.verdict}"
    if step.note:
        line += f" – {escape(step.note, 300)}"
    if step.fault:
        line += f" – fault: {escape(step.fault, 300)}"
    return line if step.verdict == "not reached" else f"{line}, {step.own_seconds * 1e6:.0f} µs"


def _end(record: TraceRecord) -> tuple[str, ...]:
    if record.handler_seconds is None:
        return ("handler: not reached",)
    return (f"handler: {record.handler_seconds * 1000:.2f} ms",)


def way(record: TraceRecord) -> Chart:
    """The way of a command, drawn: when it entered and left each middleware, and what it was doing meanwhile."""
    spans = [_span(record, step) for step in record.steps]
    if record.handler_seconds is not None:
        spans.append(
            _Span(f"handler {took(record.handler_seconds)}", record.handler_entered, handler=record.handler_seconds)
        )
    longest = max((span.begins + span.length for span in spans), default=0.0)
    unit, factor = ("s", 1.0) if longest >= 0.9995 else ("ms", 1e3) if longest >= 0.0009995 else ("µs", 1e6)
    series = {
        name: tuple(getattr(span, field) * factor for span in spans)
        for name, field in (
            ("begins", "begins"),
            ("before it passed on", "before"),
            ("inside", "inside"),
            ("after", "after"),
            ("said no or broke", "stopped"),
            ("handler", "handler"),
        )
    }
    return Chart("spans", tuple(span.label for span in spans), series, unit)


class _Span(Struct):
    label: str
    begins: float
    before: float = 0.0
    inside: float = 0.0
    after: float = 0.0
    stopped: float = 0.0
    handler: float = 0.0

    @property
    def length(self) -> float:
        return self.before + self.inside + self.after + self.stopped + self.handler


def _span(record: TraceRecord, step: Step) -> _Span:
    if step.verdict == "not reached":
        return _Span(f"{step.name}: not reached", step.entered)
    label = f"{step.name}{' (shadow)' if step.mode == 'shadow' else ''} {took(step.own_seconds)}"
    stopped = step.verdict in ("refused", "failed")
    inside = max(0.0, step.seconds - step.own_seconds)
    if not inside:
        named = "stopped" if stopped else "before"
        return _Span(label, step.entered, **{named: step.own_seconds})
    before = min(max(0.0, _begin_of_rest(record, step) - step.entered), step.own_seconds)
    after = step.own_seconds - before
    return _Span(label, step.entered, before, inside, *((0.0, after) if stopped else (after, 0.0)))


def _begin_of_rest(record: TraceRecord, step: Step) -> float:
    """When what ``step`` wraps was entered."""
    if step.position + 1 < len(record.steps):
        return record.steps[step.position + 1].entered
    return record.handler_entered


@command("pipeline_mode", permission="owner", group="chain")
async def pipeline_mode(
    ctx: Context,
    pipeline: Pipeline,
    settings: Settings,
    middleware: Annotated[str, Completes("middleware")],
    mode: Mode,
) -> Reply:
    """Set one middleware to enforce, shadow (it decides, the command goes on) or off."""
    layer = next((each for each in pipeline.layers if each.name.lower() == middleware.lower()), None)
    if layer is None:
        known = ", ".join(each.name for each in pipeline.layers)
        raise InvalidArgument("middleware", middleware, f"in the chain; there are {known}")
    await settings.set_mode(layer.name, mode, ctx.message.author.name or ctx.message.author.id)
    return Reply.ok(f"{layer.name}: {layer.mode} → {mode} (generation {pipeline.generation})")


@command("reload", permission="owner", group="chain")
async def reload(ctx: Context, pipeline: Pipeline, settings: Settings) -> Reply:
    """Read config.yaml again and put it in force in one step; an invalid file changes nothing."""
    try:
        changes = await settings.reload()
    except ConfigError as error:
        raise UserError(f"Nothing was changed. {escape(str(error), 1000)}") from None
    warnings = tuple(f"⚠ {finding.text}" for finding in pipeline.findings)
    if not changes:
        return Reply("config.yaml says what was in force already.", items=warnings)
    return Reply(
        title=f"Reloaded, generation {pipeline.generation}",
        items=tuple(escape(change, 400) for change in changes) + warnings,
        tone="ok",
    )


COMMANDS = (pipeline, why, pipeline_mode, reload)
