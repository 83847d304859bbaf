"""The backups' commands."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, structs

from socbot.dispatch.arguments import Completes, Duration
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.replies import Field, Reply, escape, moment
from socbot.jobs.supervisor import Supervisor
from socbot.systems.backup import Backups, Described, Drill, Made, Restored, Verdict
from socbot.systems.backup.archive import Check, Report
from socbot.systems.backup.manifest import Type
from socbot.systems.backup.retention import TYPES
from socbot.systems.backup.telling import LATE
from socbot.systems.links import Links

Name = Annotated[
    str,
    Meta(description="a backup's name", min_length=1, max_length=200, examples=["backup_daily_20260727_030000"]),
    Completes("backup"),
]

PATIENCE = 6 * 3600.0
"""Seconds that a command may take which reads or writes a whole backup."""

UNDO = "undo"
"""Stands for the state before the last restore."""

_MOST_SHOWN = 20


@command("backup_now", permission="owner", group="backup", timeout=PATIENCE)
async def backup_now(ctx: Context, backups: Backups, type: Type = "manual") -> Reply:
    """Make a backup of the store and of `backup.paths`, and verify it."""
    return reply_of_made(await backups.now(type, ctx.send))


@command("list_backups", permission="owner", group="backup")
async def list_backups(ctx: Context, backups: Backups, links: Links, type: Type | None = None) -> Reply:
    """All backups, newest first: size, and when each was last verified, and proven by a drill."""
    reply = reply_of_list(await backups.list(type), backups.clock.time())
    if stopped := _stopped(backups):
        reply = structs.replace(reply, text="\n".join(part for part in (stopped, reply.text) if part), tone="warn")
    return structs.replace(reply, fields=links.field("backups"))


@command("restore_backup", permission="owner", group="backup", timeout=PATIENCE)
async def restore_backup(ctx: Context, backups: Backups, name: Name, *, unsigned: bool = False) -> Confirm:
    """Put a backup in the place of what is there now; `undo` takes the last restore back.

    `--unsigned` takes one that bears no signature although a key is set.
    """
    if name.strip().lower() == UNDO:
        before = await backups.undoable()

        async def undo(ctx: Context) -> Reply:
            return reply_of_restored(await backups.undo(ctx.send))

        return Confirm(f"Put everything back as it was before `{escape(before)}`?", undo)
    found = await backups.find(name)

    async def restore(ctx: Context) -> Reply:
        return reply_of_restored(await backups.restore(found.backup.name, ctx.send, unsigned=unsigned))

    return Confirm(what_is_replaced(found, backups.config.paths), restore)


@command("verify_backup", permission="owner", group="backup", timeout=PATIENCE)
async def verify_backup(ctx: Context, backups: Backups, name: Name, *, unsigned: bool = False) -> Reply:
    """Read every byte of a backup, and say of each thing whether it is as it was packed.

    `--unsigned` takes one that bears no signature although a key is set.
    """
    backup, report = await backups.verify(name, ctx.send, unsigned=unsigned)
    return reply_of_report(backup.name, report)


@command("backup_status", permission="owner", group="backup")
async def backup_status(ctx: Context, backups: Backups, supervisor: Supervisor, links: Links) -> Reply:
    """The last good backup of each type, the next run, the room on the disk, the last drill."""
    status = await backups.status()
    job, now = supervisor.find("backup"), backups.clock.time()
    last = (
        Field(f"Last {type}", "never" if each is None else moment(each.backup.made_at))
        for type, each in status.last.items()
    )
    enabled = backups.config.enabled
    next_run = "never: backup.enabled is false" if not enabled else "none" if job.next_run is None else None
    return Reply(
        f"The last try failed: {escape(status.failure, 400)}" if status.failure else "",
        "Backups",
        (
            *last,
            Field("Next run", next_run or moment(job.next_run or 0.0)),
            Field(
                "Age of the last good one", "none is due yet" if status.age is None else f"{status.age:.2f} intervals"
            ),
            Field("Backups", str(status.count)),
            Field("Disk used", _bytes(status.used)),
            Field("Disk free", _bytes(status.free)),
            Field("Oldest", _short(status.oldest, now)),
            Field("Newest", _short(status.newest, now)),
            Field("Last drill", "never" if status.drill is None else _drill_line(status.drill)),
            *_second_place(status.elsewhere),
            *links.field("backups"),
        ),
        tone="warn" if status.failure else "info",
    )


@command("backup_drill", permission="owner", group="backup", timeout=PATIENCE)
async def backup_drill(ctx: Context, backups: Backups, name: Name | None = None) -> Reply:
    """Restore a backup, the newest unless named, into a scratch folder, and try a bot on it."""
    return reply_of_drill(await backups.drill(name, ctx.send))


@command("backup_prune", permission="owner", group="backup", timeout=PATIENCE)
async def backup_prune(ctx: Context, backups: Backups, *, dry_run: bool = False) -> Reply | Confirm:
    """Delete the backups that the retention does not keep; `--dry-run` only says which, and why."""
    verdicts = await backups.prune(dry_run=True)
    gone = sum(not verdict.kept for verdict in verdicts)
    if dry_run or not gone:
        return reply_of_prune("Nothing was deleted: this is what would be", verdicts)

    async def prune(ctx: Context) -> Reply:
        return reply_of_prune("Pruned", await backups.prune())

    return Confirm(f"Delete {gone} of {len(verdicts)} backups? `backup_prune --dry-run` says which.", prune)


def type_of(text: str) -> Type:
    """:raises InvalidArgument: if ``text`` is no type"""
    for type in TYPES:
        if text == type:
            return type
    raise InvalidArgument("type", text, f"one of {', '.join(TYPES)}")


# -- in words, for the command line too ---------------------------------------------------------------


def reply_of_list(found: tuple[Described, ...], now: float) -> Reply:
    text = "" if found else "There is none yet; `backup_now` makes one."
    return Reply(text, f"Backups: {len(found)}", items=tuple(_line(each, now) for each in found))


def reply_of_report(name: str, report: Report) -> Reply:
    shown = (*report.faults, *(each for each in report.checks if each.passed))
    items = [_check(each) for each in shown[:_MOST_SHOWN]]
    if len(shown) > _MOST_SHOWN:
        items.append(f"… and {len(shown) - _MOST_SHOWN} more")
    title = f"{name} is {'intact' if report.intact else 'NOT intact'}"
    return Reply(title=title, items=tuple(items), tone="ok" if report.intact else "error")


def reply_of_drill(done: Drill) -> Reply:
    items = (
        f"{'✓' if step.passed else '✗'} {escape(step.step, 100)}: {escape(step.result, 300)} ({step.seconds:.3f} s)"
        for step in done.steps
    )
    title = f"Drill of {done.name}: {'passed' if done.passed else 'FAILED'} in {done.seconds:.1f} s"
    return Reply(title=title, items=tuple(items), tone="ok" if done.passed else "error")


def reply_of_made(made: Made) -> Reply:
    backup, manifest = made.backup, made.manifest
    return Reply(
        escape(made.elsewhere, 400),
        "Backup made and verified",
        (
            Field("Name", f"`{backup.name}`", inline=False),
            Field("Type", backup.type),
            Field("Files", str(len(manifest.files))),
            Field("Bytes", _bytes(manifest.size)),
            Field("Compressed", _bytes(backup.size)),
            Field("Encrypted", "yes" if backup.encrypted else "no"),
            Field("Time", f"{made.seconds:.1f} s"),
            Field("Manifest's SHA-256", f"`{backup.sha256}`", inline=False),
        ),
        tone="warn" if made.elsewhere else "ok",
    )


def reply_of_restored(done: Restored) -> Reply:
    items = [f"not restored, because backup.paths does not have it: `{escape(path)}`" for path in done.left_out]
    items += [escape(problem, 400) for problem in done.problems]
    if done.orphans:
        items.append(
            f"{done.orphans} deliveries waited for webhooks that are not there now, and are dead: "
            "`webhook_deliveries dead` lists them"
        )
    return Reply(
        "" if not done.problems else "Everything was restored, but not all of it could be put in force.",
        "Restored",
        (
            Field("From", f"`{escape(done.name, 100)}`", inline=False),
            Field("Kept of the state before", f"`{done.before}`" if done.before else "nothing", inline=False),
            Field("Files", ", ".join(f"`{escape(path, 60)}`" for path in done.files) or "none beside the store"),
            Field("Reloaded", "every system, from the restored store"),
            Field("Carried over", "the audit trail, deliveries, what is known of backups"),
            Field("Time", f"{done.seconds:.1f} s"),
        ),
        tuple(items),
        tone="warn" if done.problems else "ok",
    )


def what_is_replaced(found: Described, paths: tuple[str, ...]) -> str:
    backup = found.backup
    files = ", ".join(f"`{escape(path, 60)}`" for path in paths)
    state = "never verified" if found.mark.verified_at is None else f"verified {moment(found.mark.verified_at)}"
    return (
        f"Restore `{backup.name}` of {moment(backup.made_at)} ({_bytes(backup.size)}, {state})? The whole store is "
        f"replaced: the blacklist, settings, analytics, errors and all else since then"
        + (f"; and so is what it has of {files}" if files else "")
        + ". What is there now is backed up first, and `restore_backup undo` brings it back."
    )


def _stopped(backups: Backups) -> str:
    """That no good backup has been made for too long, or that the last try failed; empty if all is well."""
    age = backups.age_intervals
    late = f"⚠ There has been no good backup for {age:.1f} intervals." if age is not None and age > LATE else ""
    failed = f"⚠ The last try failed: {escape(backups.failure, 400)}" if backups.failure else ""
    return "\n".join(part for part in (late, failed) if part)


def _line(each: Described, now: float) -> str:
    backup, mark = each.backup, each.mark
    parts = [backup.type, _age(now - backup.made_at) + " old", _bytes(backup.size)]
    if backup.files is not None:
        parts.append(f"{backup.files} files")
    if backup.encrypted:
        parts.append("encrypted")
    if problem := backup.problem or mark.problem:
        parts.append(f"⚠ DAMAGED or unreadable: {escape(problem, 200)}")
    else:
        parts.append("⚠ not verified" if mark.verified_at is None else f"verified {moment(mark.verified_at)}")
        parts.append("never proven by a drill" if mark.proven_at is None else f"proven {moment(mark.proven_at)}")
    return f"`{backup.name}`: " + ", ".join(parts)


def _check(check: Check) -> str:
    what = f"`{escape(check.file, 200)}`" if check.file else check.what
    return f"{'✓' if check.passed else '✗'} {what}" + (f": {escape(check.text, 300)}" if check.text else "")


def reply_of_prune(title: str, verdicts: tuple[Verdict, ...]) -> Reply:
    def lines() -> Iterator[str]:
        for verdict in sorted(verdicts, key=lambda each: each.kept):
            done = "kept" if verdict.kept else "goes" if "would" in title else "deleted"
            yield f"{done}: `{verdict.backup.name}`: {escape('; '.join(verdict.reasons), 300)}"

    kept = sum(verdict.kept for verdict in verdicts)
    counts = (Field("Kept", str(kept)), Field("Gone", str(len(verdicts) - kept)))
    return Reply(title=title, fields=counts, items=tuple(lines()), tone="info" if "would" in title else "ok")


def _drill_line(done: Drill) -> str:
    return f"{moment(done.at)}: {'passed' if done.passed else 'FAILED'} in {done.seconds:.1f} s (`{done.name}`)"


def _second_place(text: str) -> tuple[Field, ...]:
    return (Field("Second place", escape(text, 300), inline=False),) if text else ()


def _short(each: Described | None, now: float) -> str:
    return "none" if each is None else f"`{each.backup.name}`, {_age(now - each.backup.made_at)} old"


def _age(seconds: float) -> str:
    return "0s" if seconds < 1 else str(Duration(int(seconds)))


def _bytes(count: float) -> str:
    if count < 1_000:
        return f"{count:.0f} bytes"
    for unit, size in (("kB", 1e3), ("MB", 1e6)):
        if count < 1_000 * size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e9:,.1f} GB"


COMMANDS = (
    backup_now,
    list_backups,
    restore_backup,
    verify_backup,
    backup_status,
    backup_drill,
    backup_prune,
)
