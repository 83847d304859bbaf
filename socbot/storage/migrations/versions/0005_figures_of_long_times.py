"""Figures of long times."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_DAY = 24  # hours
_ENDINGS = ("ok", "failed", "refused", "invalid", "unknown")


def _endings() -> "list[sa.Column[int] | sa.Column[float]]":
    counts = [sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _ENDINGS]
    return [*counts, *(sa.Column(name, sa.Double(), nullable=False) for name in ("seconds", "first_at", "last_at"))]


def upgrade() -> None:
    op.create_table(
        "rollups",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    _change_usage()
    _change_profile()
    op.create_index("signals_last_at", "signals", ["last_at"], unique=False)


def _change_usage() -> None:
    op.create_table(
        "usage_counts",
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        *_endings(),
        sa.PrimaryKeyConstraint("span", "command", "hour"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_months",
        sa.Column("month", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("platform", "subject", "guild", "command")),
        *_endings(),
        sa.PrimaryKeyConstraint("month", "platform", "subject", "guild", "command"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_people",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kind", "scope", "platform", "subject")),
        sa.Column("count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "scope", "platform", "subject"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_guilds",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("platform", "guild", "command")),
        *_endings(),
        sa.PrimaryKeyConstraint("platform", "guild", "command"),
        sqlite_with_rowid=False,
    )
    op.drop_index("usage_command", "usage")
    op.create_index("usage_guild", "usage", ["platform", "guild", "hour"], unique=False)
    _count_what_is_there()


def _count_what_is_there() -> None:
    """The sums by hour and day, a day at a time; those by person and guild are made later, by the job."""
    counts = ", ".join(f"SUM(CASE WHEN status = '{ending}' THEN count ELSE 0 END)" for ending in _ENDINGS)
    to = f"INSERT INTO usage_counts (span, command, hour, {', '.join(_ENDINGS)}, seconds, first_at, last_at)"
    sums = f"{counts}, SUM(seconds), MIN(first_at), MAX(last_at) FROM usage WHERE hour >= :day AND hour < :next"
    connection = op.get_bind()
    first, last = connection.execute(sa.text("SELECT MIN(hour), MAX(hour) FROM usage")).one()
    for day in range(first // _DAY * _DAY, last + 1, _DAY) if first is not None else ():
        for span, start in ((1, "hour"), (_DAY, "hour - hour % 24")):
            for select in (
                f"{to} SELECT {span}, command, {start}, {sums} AND command <> '' GROUP BY command, {start}",
                f"{to} SELECT {span}, '', {start}, {sums} GROUP BY {start}",
            ):
                connection.execute(sa.text(select), {"day": day, "next": day + _DAY})


def _change_profile() -> None:
    columns = "hour, command, part, status, count, total, least, most, sketch"
    op.create_table(
        "profile_by_span",
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("command", "part", "status")),
        sa.Column("count", sa.BigInteger(), server_default="0", nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("total", "least", "most")),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("span", "hour", "command", "part", "status"),
    )
    # Spans are put together from sketches, which SQL cannot add: the job does it, from what has the span 0.
    op.execute(f"INSERT INTO profile_by_span (span, {columns}) SELECT 0, {columns} FROM profile")
    op.drop_table("profile")
    op.rename_table("profile_by_span", "profile")
