"""The older bot's ``health_status.json``, ``task_metrics.json``, ``webhooks.json`` and ``bot_data.json``."""

from collections.abc import Iterator
from typing import Any, TypeAlias, get_args

from socbot.dispatch.errors import UserError
from socbot.egress import mask
from socbot.importing.documents import name_of
from socbot.importing.fields import count_of, listing, mapping, strangers, word_of
from socbot.importing.report import Finding, Note, Part, judged, refused, there_already
from socbot.importing.world import World
from socbot.jobs.job import UnknownJob
from socbot.storage.connection import Connection
from socbot.systems.health.checks import Status
from socbot.systems.health.records import Result, Round, write_round
from socbot.systems.webhooks import TRIGGERS, WebhookType
from socbot.systems.webhooks.endpoint import Row
from socbot.systems.webhooks.outbox import keep

Parts: TypeAlias = Iterator[Part | Note]

_CHECKS = {"discord_api": "transport", "database": "database", "memory": "memory", "cpu": "cpu"}
_STATUSES = get_args(Status)
_TYPES: tuple[WebhookType, ...] = ("discord", "slack", "custom")


# -- health -------------------------------------------------------------------------------------------


def read_health(document: dict[str, Any], world: World) -> Parts:
    """The last round, as one of socbot's."""
    yield from strangers([document], ("status", "last_check", "checks", "uptime_checks", "failed_checks"))
    for name in ("uptime_checks", "failed_checks"):
        if document.get(name):
            yield refused(name, "it counts rounds of which nothing else is known")
    checks, wrong = mapping(document, "checks")
    yield from wrong
    at = world.past(document.get("last_check"))
    if at is None:
        yield refused("the last round", "when it was cannot be read, or there was none")
        return
    results, findings = [], []
    for name, raw in checks.items():
        result, finding = _check(name, raw, world)
        findings.append(finding)
        results += [result] if result else []
    status = word_of(document.get("status"))
    known: Status = next((each for each in _STATUSES if each == status), "unknown")
    findings.append(judged("the last round", () if known == status else ["its status is none that socbot knows"]))
    made = Round(at, known, tuple(results))
    yield Part(f"round {at}", document, tuple(findings), lambda connection: write_round(connection, made))


def _check(name: str, raw: object, world: World) -> tuple[Result | None, Finding]:
    record = f"check {name[:40]}"
    if name not in _CHECKS:
        return None, Finding(record, "refused", "socbot has no such check")
    status = word_of(raw.get("status") if isinstance(raw, dict) else raw)
    known: Status | None = next((each for each in _STATUSES if each == status), None)
    text = world.text(raw.get("message"), 500) if isinstance(raw, dict) else ""
    corrections = [] if known else ["its status is none that socbot knows: unknown"]
    return Result(_CHECKS[name], known or "unknown", text=text), judged(record, corrections)


# -- jobs ---------------------------------------------------------------------------------------------


def read_tasks(document: dict[str, Any], world: World) -> Parts:
    """The counts of the jobs that socbot has too; when they run next is socbot's own matter."""
    yield from strangers([document], ("tasks", "total_runs", "total_errors"))
    tasks, wrong = mapping(document, "tasks")
    yield from wrong
    yield from strangers(tasks.values(), ("runs", "errors", "last_run", "status", "next_iteration"), " of tasks")
    for name, raw in tasks.items():
        yield _task(name, raw, world)


def _task(name: str, raw: Any, world: World) -> Part:
    record = f"task {name[:60]}"
    if not isinstance(raw, dict):
        return refused(record, f"a map was expected, not {name_of(raw)}")
    try:
        job = world.bot.supervisor.find(name[:100].replace(".", " ")).name
    except UnknownJob:
        return refused(record, "socbot has no such job")
    runs, errors = count_of(raw.get("runs")), count_of(raw.get("errors"))
    if runs is None or errors is None:
        return refused(record, "its runs or errors are no count")
    corrections = []
    if word_of(raw.get("status")) == "stopped":
        corrections.append(f"it was stopped there, and runs here; `stop_task {job}` stops it")
    if errors > runs:
        corrections.append(f"it failed {errors} times in {runs} runs: {runs} times")
    counts = {"name": job, "runs": runs, "failures": min(errors, runs)}
    return Part(f"task:{name}", raw, (judged(record, corrections),), lambda connection: _count(connection, counts))


def _count(connection: Connection, counts: dict[str, object]) -> None:
    connection.change(
        "INSERT INTO jobs (name, runs, failures, last_error) VALUES (:name, :runs, :failures, '')"
        " ON CONFLICT (name) DO UPDATE SET runs = jobs.runs + excluded.runs,"
        " failures = jobs.failures + excluded.failures",
        counts,
    )


# -- webhooks -----------------------------------------------------------------------------------------


def read_webhooks(document: dict[str, Any], world: World) -> Parts:
    """Each endpoint, as ``add_webhook`` would take it; what was sent is not known of any one of them."""
    yield from strangers([document], ("endpoints", "stats"))
    endpoints, wrong = mapping(document, "endpoints")
    yield from wrong
    known = ("url", "type", "triggers", "created_at", "created_by")
    yield from strangers(endpoints.values(), known, " of endpoints")
    for name, raw in endpoints.items():
        yield _webhook(name, raw, world)
    stats, wrong = mapping(document, "stats")
    yield from wrong
    for name in ("total_sent", "failed", "last_sent"):
        if stats.get(name):
            yield refused(f"stats.{name}", "which webhook it belongs to is not known")


def _webhook(name: str, raw: Any, world: World) -> Part:
    record, url = f"webhook {name[:40]}", raw.get("url") if isinstance(raw, dict) else None
    if not isinstance(url, str) or not url:
        return refused(record, "it has no URL")
    corrections: list[str] = []
    short = _name(name)
    if short != name:
        corrections.append(f"its name is {short}")
    triggers = _triggers(raw, corrections)
    webhooks = world.bot.webhooks
    if short in world.addresses or any(each.name == short for each in webhooks.all()):
        return there_already(record, "there is a webhook of that name, which stays as it is")
    if not triggers:
        return refused(record, f"{mask(url)}: none of its triggers is one that socbot knows")
    by, at = world.person(raw.get("created_by")), world.past(raw.get("created_at"))
    if at is None:
        corrections.append("when it was made cannot be read: now")
    kind: WebhookType | None = next((each for each in _TYPES if each == word_of(raw.get("type"))), None)
    if kind is None:
        return refused(record, f"{mask(url)}: its type is none that socbot takes over")
    try:
        webhooks.check_new(short, kind, triggers)
        webhooks.check_url(kind, url)
    except UserError as error:
        return refused(record, f"{mask(url)}: {str(error).splitlines()[0]}")
    world.addresses[short] = url

    def write(connection: Connection) -> None:
        made = world.now if at is None else at
        keep(connection, Row(short, kind, world.sealed[short], mask(url), triggers, "info", True, "", 0.0, by, made))

    return Part(f"webhook:{short}", raw, (judged(record, corrections),), write)


def _name(written: str) -> str:
    """A name that socbot takes, as near to ``written`` as can be."""
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "-" for each in written.lower())
    plain = plain[:32].strip("-_")
    return plain if plain and not plain.isdigit() else f"webhook-{plain}".rstrip("-")[:32]


def _triggers(raw: dict[str, Any], corrections: list[str]) -> tuple[str, ...]:
    given, wrong = listing(raw, "triggers")
    words = [word_of(each) for each in given]
    unknown = [each for each in words if each not in TRIGGERS]
    if wrong or not given:
        corrections.append("it has no triggers: all")
        return ("all",)
    if unknown:
        corrections.append(f"socbot has no trigger {', '.join(each[:20] or '?' for each in unknown[:5])}")
    return tuple(dict.fromkeys(each for each in words if each in TRIGGERS))


# -- what socbot has not ------------------------------------------------------------------------------


def read_data(document: dict[str, Any], world: World) -> Parts:
    """Warnings, levels, reminders and so on: socbot is the operations layer and has no such part."""
    for name, values in document.items():
        count = len(values) if isinstance(values, (dict, list)) else int(values is not None)
        if count:
            yield refused(name[:60], "socbot has no such part", count)
