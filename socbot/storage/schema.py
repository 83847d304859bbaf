"""Every table, as SQLAlchemy metadata: what the migrations build, on SQLite and on PostgreSQL.

Moments are seconds since 1970 (double), ids are text, lists and maps are JSON text or msgpack bytes: the portable
types, so that one text of SQL serves both databases. Imported by the migrations and the tests only: the systems
write SQL, because importing SQLAlchemy costs more than all the rest of a start.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()


def _id() -> "Column[int]":
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _text(name: str, *, key: bool = False, null: bool = False, default: str | None = None) -> "Column[str]":
    return Column(name, Text, primary_key=key, nullable=null and not key, server_default=default)


def _moment(name: str, *, null: bool = False) -> "Column[float]":
    return Column(name, Double, nullable=null)


def _count(name: str) -> "Column[int]":
    return Column(name, BigInteger, nullable=False, server_default="0")


# -- settings -----------------------------------------------------------------------------------------

settings = Table(
    "settings",
    metadata,
    _text("key", key=True),
    _text("value"),  # JSON
    _text("set_by"),
    _moment("set_at"),
)

# -- blacklist ----------------------------------------------------------------------------------------

blacklist = Table(
    "blacklist",
    metadata,
    _text("platform", key=True),
    _text("kind", key=True),  # user, guild
    _text("subject", key=True),
    _text("reason"),
    _text("added_by"),
    _moment("added_at"),
    _moment("expires_at", null=True),
    _text("source"),  # manual, rate_limit, import …
)
blacklist_history = Table(
    "blacklist_history",
    metadata,
    _id(),
    _text("platform"),
    _text("kind"),
    _text("subject"),
    _text("action"),  # added, changed, removed, expired
    _text("done_by"),
    _moment("at"),
    _text("reason"),
    _moment("expires_at", null=True),
    _text("source"),
)
blacklist_attempts = Table(
    "blacklist_attempts",
    metadata,
    _text("platform", key=True),
    _text("kind", key=True),
    _text("subject", key=True),  # of the entry, not of the person, where a guild is listed
    _count("count"),
    _moment("last_at"),
)
Index("blacklist_history_subject", blacklist_history.c.platform, blacklist_history.c.kind, blacklist_history.c.subject)

# -- rate limit ---------------------------------------------------------------------------------------

rate_limit_state = Table(
    "rate_limit_state",
    metadata,
    _text("platform", key=True),
    _text("subject", key=True),
    _moment("spent_until"),  # when all that was used of the burst has come back
    _moment("cooldown_until"),
    _moment("silent_until"),  # until when a refusal is not answered again
    _count("refusals"),  # since a command was last admitted
)
rate_limit_cooldowns = Table(
    "rate_limit_cooldowns",
    metadata,
    _text("platform", key=True),
    _text("subject", key=True),
    _text("command", key=True),
    _moment("until"),
)
rate_limit_violations = Table(
    "rate_limit_violations",
    metadata,
    _id(),
    _text("platform"),
    _text("subject"),
    _moment("at"),
    _text("command"),
    _text("action"),  # warn, timeout, blacklist
    _moment("until", null=True),
    _moment("cleared_at", null=True),
    _text("enforced", default=""),  # what was really done on the platform, in words
    _text("guild", default=""),  # where it was done there
)
Index("rate_limit_violations_subject", rate_limit_violations.c.platform, rate_limit_violations.c.subject)
Index("rate_limit_violations_until", rate_limit_violations.c.until)
rate_limit_refusals = Table(
    "rate_limit_refusals",
    metadata,
    _text("command", key=True),
    _count("count"),
    _moment("last_at"),
)
rate_limit_exemptions = Table(
    "rate_limit_exemptions",
    metadata,
    _text("platform", key=True),
    _text("subject", key=True),
    _moment("until", null=True),
    _text("given_by"),
    _moment("given_at"),
)

rate_limit_shared = Table(  # the limit that several processes keep together, on PostgreSQL
    "rate_limit_shared",
    metadata,
    _text("platform", key=True),
    _text("subject", key=True),
    _text("scope", key=True),  # a command, or empty for the burst
    _moment("spent_until"),  # by the server's clock
)

# -- analytics, traces --------------------------------------------------------------------------------

usage = Table(
    "usage",
    metadata,
    Column("hour", BigInteger, primary_key=True),  # hours since 1970
    _text("platform", key=True),
    _text("guild", key=True),  # empty for a direct message
    _text("subject", key=True),  # the user's id, or its hash
    _text("command", key=True),
    _text("status", key=True),
    _text("refused_by", key=True),  # empty unless refused
    _count("count"),
    Column("seconds", Double, nullable=False),
    _moment("first_at"),
    _moment("last_at"),
)
Index("usage_guild", usage.c.platform, usage.c.guild, usage.c.hour)
Index("usage_subject", usage.c.platform, usage.c.subject)


def _endings() -> "tuple[Column[Any], ...]":
    """How many commands ended in which way, how long they took, and when the first and the last of them were."""
    counts = map(_count, ("ok", "failed", "refused", "invalid", "unknown"))
    return (*counts, Column("seconds", Double, nullable=False), _moment("first_at"), _moment("last_at"))


usage_counts = Table(  # of everybody together, which nobody can be told from
    "usage_counts",
    metadata,
    Column("span", Integer, primary_key=True),  # hours: 1 or 24
    _text("command", key=True),  # empty: all of them, and what named none
    Column("hour", BigInteger, primary_key=True),  # the first of the span, in hours since 1970
    *_endings(),
    sqlite_with_rowid=False,
)
usage_months = Table(  # what became of rows of usage that are too old to be kept by the hour
    "usage_months",
    metadata,
    Column("month", BigInteger, primary_key=True),  # months since the year 0, in UTC
    _text("platform", key=True),
    _text("subject", key=True),
    _text("guild", key=True),
    _text("command", key=True),
    *_endings(),
    sqlite_with_rowid=False,
)
usage_people = Table(  # the sums of usage and usage_months up to the hour in rollups
    "usage_people",
    metadata,
    _text("kind", key=True),  # all, command, guild
    _text("scope", key=True),  # which command or guild
    _text("platform", key=True),
    _text("subject", key=True),
    _count("count"),
    _moment("last_at"),
    sqlite_with_rowid=False,
)
usage_guilds = Table(  # the same of each guild, by command
    "usage_guilds",
    metadata,
    _text("platform", key=True),
    _text("guild", key=True),
    _text("command", key=True),
    *_endings(),
    sqlite_with_rowid=False,
)
rollups = Table(
    "rollups",
    metadata,
    _text("name", key=True),
    Column("upto", BigInteger, nullable=False),  # what lies before this hour is part of the figure of that name
)
traces = Table(
    "traces",
    metadata,
    _id(),
    _moment("at"),  # when they were written
    _count("count"),
    _text("ids"),  # with a space before and after each
    Column("packed", LargeBinary, nullable=False),  # msgpack
)
Index("traces_at", traces.c.at)

# -- profiler -----------------------------------------------------------------------------------------

profile = Table(
    "profile",
    metadata,
    Column("span", Integer, primary_key=True),  # hours; 0 for what has yet to be filed under its hour
    Column("hour", BigInteger, primary_key=True),  # the first of the span, in hours since 1970
    _text("command", key=True),  # empty: all of them
    _text("part", key=True),  # command, handler, or a middleware's name
    _text("status", key=True),
    _count("count"),
    Column("total", Double, nullable=False),  # seconds, as the next two
    Column("least", Double, nullable=False),
    Column("most", Double, nullable=False),
    Column("sketch", LargeBinary, nullable=False),
)
slow_runs = Table(
    "slow_runs",
    metadata,
    _id(),
    _moment("at"),
    _text("command"),
    Column("seconds", Double, nullable=False),
    _text("platform"),
    _text("subject"),
    _text("guild"),
    _text("trace_id"),
)
Index("slow_runs_at", slow_runs.c.at)

# -- errors -------------------------------------------------------------------------------------------

error_groups = Table(
    "error_groups",
    metadata,
    _text("group_id", key=True),
    _text("type"),
    _text("severity"),
    _text("command"),
    _text("template"),
    _moment("first_at"),
    _moment("last_at"),
    _count("count"),
    _text("state"),  # open, resolved
    _moment("muted_until", null=True),
    _text("changed_by", null=True),
    _moment("changed_at", null=True),
)
errors = Table(
    "errors",
    metadata,
    _text("error_id", key=True),
    _text("group_id"),
    _moment("at"),
    _text("severity"),
    _text("type"),
    _text("message"),
    _text("command"),
    _text("platform"),
    _text("subject"),
    _text("guild"),
    _text("channel"),
    _text("trace_id"),
    _text("traceback"),
)
Index("errors_at", errors.c.at)
Index("errors_group", errors.c.group_id)
error_hours = Table(
    "error_hours",
    metadata,
    Column("hour", BigInteger, primary_key=True),  # hours since 1970
    _text("group_id", key=True),
    _count("count"),
)

# -- jobs ---------------------------------------------------------------------------------------------

jobs = Table(
    "jobs",
    metadata,
    _text("name", key=True),
    Column("stopped", Integer, nullable=False, server_default="0"),
    _text("schedule", null=True),  # what schedule_task set; NULL for the configured one
    _moment("settled", null=True),  # no run that was due up to here is owed any more
    _moment("last_run", null=True),
    _moment("last_success", null=True),
    _count("runs"),
    _count("failures"),
    _count("restarts"),
    _text("last_error"),
)
leases = Table(  # of what one of several processes on PostgreSQL does for all of them
    "leases",
    metadata,
    _text("name", key=True),
    _text("holder"),
    Column("fence", BigInteger, nullable=False),  # higher for each new term
    _moment("until"),  # by the server's clock; 0 once it is given up
)
job_runs = Table(
    "job_runs",
    metadata,
    _id(),
    _text("job"),
    _moment("started_at"),
    Column("seconds", Double, nullable=False),
    _text("outcome"),  # ok, failed, cancelled
    _text("error"),
)
Index("job_runs_job", job_runs.c.job, job_runs.c.started_at)

# -- Discord ------------------------------------------------------------------------------------------

gateway_logins = Table(
    "gateway_logins",
    metadata,
    _id(),
    Column("shard", Integer, nullable=False),
    Column("shards", Integer, nullable=False),
    _moment("at"),
)
Index("gateway_logins_at", gateway_logins.c.at)
command_syncs = Table(
    "command_syncs",
    metadata,
    _text("scope", key=True),  # a guild's id, or "global"
    _text("digest"),  # of the commands that were last put
    _moment("at"),
    _count("puts"),  # since puts_since
    _moment("puts_since"),
)

# -- signals ------------------------------------------------------------------------------------------

signals = Table(
    "signals",
    metadata,
    _text("signal_id", key=True),
    _text("kind"),  # alert, drill, incident, error, health, backup, job, security, test
    _text("severity"),  # info, warning, critical
    _text("title"),
    _text("text"),
    _text("fields"),  # JSON: a list of [name, value]
    _text("source"),  # the system that raised it, or platform:id of the person
    _text("key"),  # signals with the same one are the same
    _text("subject"),  # the drill or incident that it belongs to, or empty
    _moment("at"),
    _moment("last_at"),
    _count("count"),
)
Index("signals_at", signals.c.at)
Index("signals_last_at", signals.c.last_at)
Index("signals_key", signals.c.key, signals.c.last_at)
incidents = Table(
    "incidents",
    metadata,
    _text("incident_id", key=True),
    _text("kind"),  # incident, drill
    _text("guild"),  # platform:id, or empty
    _text("title"),
    _text("severity"),
    _text("state"),  # open, closed
    _text("opened_by"),
    _moment("opened_at"),
    _text("closed_by", null=True),
    _moment("closed_at", null=True),
    _text("details"),  # JSON: what else was imported of it
)
Index("incidents_opened_at", incidents.c.opened_at)
timeline = Table(
    "timeline",
    metadata,
    _id(),
    _text("incident_id"),
    _moment("at"),
    _text("done_by"),
    _text("action"),  # opened, note, closed …
    _text("text"),
)
Index("timeline_incident", timeline.c.incident_id)

# -- webhooks -----------------------------------------------------------------------------------------

webhooks = Table(
    "webhooks",
    metadata,
    _text("name", key=True),
    _text("type"),  # discord, slack, custom, apprise
    _text("address"),  # the URL, sealed
    _text("masked"),  # the URL as it may be shown
    _text("triggers"),  # JSON: a list
    _text("severity"),  # the least that is sent
    Column("enabled", Integer, nullable=False, server_default="1"),
    _text("secrets"),  # the signing secrets, newest first, JSON, sealed; empty if there are none
    Column("rate", Double, nullable=False, server_default="0"),  # messages a second; 0 for no bound of its own
    _text("created_by"),
    _moment("created_at"),
    _text("state"),  # active, paused
    _text("state_reason"),
    _moment("failing_since", null=True),
    _count("sent"),
    _count("failed"),
    _count("dropped"),
    _moment("last_at", null=True),
    _text("last_answer"),
)
deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    _text("webhook"),
    _text("event_id"),  # the signal's
    _text("event"),  # JSON: the signal as it was, with its count
    _text("state"),  # waiting, delivered, dead
    _moment("at"),
    _moment("next_at"),  # not to be tried before
    _count("attempts"),
    _moment("last_at", null=True),
    _count("last_status"),  # of HTTP; 0 if there was no answer
    _text("last_answer"),
    _text("message_id"),  # of what was delivered, where it can be edited
    _text("reason"),  # why it is dead
)
Index("deliveries_due", deliveries.c.state, deliveries.c.webhook, deliveries.c.id)
Index("deliveries_event", deliveries.c.event_id)

# -- health -------------------------------------------------------------------------------------------

health_rounds = Table(
    "health_rounds",
    metadata,
    _id(),
    _moment("at"),
    _text("status"),  # healthy, degraded, unhealthy, unknown
    _text("checks"),  # JSON: of each check its status, figure and text
)
Index("health_rounds_at", health_rounds.c.at)
heartbeats = Table(  # what the check of the store writes and reads
    "heartbeats",
    metadata,
    _text("name", key=True),
    _moment("at"),
)
health_episodes = Table(
    "health_episodes",
    metadata,
    _id(),
    _text("check_name"),
    _text("status"),  # the worst of it
    _moment("started_at"),
    _moment("ended_at", null=True),
    _text("text"),
)
Index("health_episodes_started_at", health_episodes.c.started_at)

# -- backups ------------------------------------------------------------------------------------------

backups = Table(  # what is known of a backup beside the file itself, which says the rest
    "backups",
    metadata,
    _text("name", key=True),
    _text("type"),
    _moment("made_at"),
    _moment("verified_at", null=True),
    _moment("proven_at", null=True),
    _text("problem"),  # what the last look at it found wrong, or empty
)
backup_drills = Table(
    "backup_drills",
    metadata,
    _id(),
    _text("name"),
    _moment("at"),
    Column("seconds", Double, nullable=False),
    Column("passed", Integer, nullable=False),
    _text("steps"),  # JSON: a list of [step, result, seconds]
)

# -- audit --------------------------------------------------------------------------------------------

audit = Table(
    "audit",
    metadata,
    _id(),
    _moment("at"),
    _text("who"),  # platform:id, or the part of the bot that acted by itself
    _text("action"),  # a command's name, or what was done
    _text("what"),  # its arguments or its object, without secrets
    _text("result"),  # ok, denied, failed, invalid …
    _text("trace_id"),
    _text("previous"),  # the hash of the record before
    _text("hash"),  # SHA-256 over all of the above
)

# -- who may use the dashboard --------------------------------------------------------------------------

web_tokens = Table(
    "web_tokens",
    metadata,
    _text("name", key=True),
    _text("role"),  # owner, viewer, sender
    _text("digest"),  # SHA-256 of the token, which is random and long enough to need no more
    _text("made_by"),
    _moment("made_at"),
    _moment("used_at", null=True),
)
web_sessions = Table(
    "web_sessions",
    metadata,
    _text("digest", key=True),  # SHA-256 of what the cookie carries
    _text("token"),  # the name of the token it was begun with
    _text("role"),
    _text("csrf"),
    _moment("began_at"),
    _moment("expires_at"),
)

# -- the older bot's data -----------------------------------------------------------------------------

imported = Table(  # so that importing twice is the same as once
    "imported",
    metadata,
    _text("record", key=True),  # a digest of the file's kind and the record
    _moment("at"),
)

# -- logs ---------------------------------------------------------------------------------------------

log_templates = Table(
    "log_templates",
    metadata,
    _text("template", key=True),
    _moment("first_at"),
    _moment("last_at"),
    _count("count"),
)
