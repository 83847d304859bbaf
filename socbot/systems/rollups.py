"""Rollups: up to which hour what was counted by the hour is part of a coarser figure too."""

from socbot.storage.connection import Connection

Hour = int
"""Hours since 1970."""


def upto(connection: Connection, name: str) -> Hour:
    """The hour before which everything is part of the figure ``name``; 0 before there was any."""
    rows = connection.execute("SELECT upto FROM rollups WHERE name = :name", {"name": name})
    return int(rows[0][0]) if rows else 0


def all_upto(connection: Connection, prefix: str) -> dict[str, Hour]:
    """The same of every figure whose name begins with ``prefix``."""
    rows = connection.execute("SELECT name, upto FROM rollups")
    return {name: int(hour) for name, hour in rows if name.startswith(prefix)}


def advance(connection: Connection, name: str, hour: Hour) -> None:
    """From now on everything before ``hour`` is part of it; never less than was before."""
    connection.change(
        "INSERT INTO rollups (name, upto) VALUES (:name, :hour) ON CONFLICT (name) DO UPDATE SET upto = excluded.upto"
        " WHERE excluded.upto > rollups.upto",
        {"name": name, "hour": hour},
    )


def hold(connection: Connection, lock: int) -> None:
    """Keep other processes from counting, or from summing up, until the transaction ends.

    What one has counted must not be missed by another that sums up at the same moment, and two that count the same
    must not wait for each other. On SQLite there is no other process.

    :param lock: any number, the same in every process that counts the same things
    """
    if connection.dialect == "postgresql":
        connection.execute("SELECT pg_advisory_xact_lock(:lock)", {"lock": lock})
