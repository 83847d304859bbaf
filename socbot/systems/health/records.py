"""What is kept of health: rounds, and episodes of trouble."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct, structs

from socbot.storage.connection import Connection, Row
from socbot.systems.health.checks import Status


class Result(Struct, frozen=True, omit_defaults=True):
    """What one check found in one round.

    :param settled: what the check counts as, once enough rounds agree; None until then
    :param agreeing: how many rounds speak for a change of that, and how many have to
    """

    name: str
    status: Status
    figure: float | None = None
    unit: str = ""
    text: str = ""
    settled: Status | None = None
    agreeing: tuple[int, int] = (0, 0)
    public: bool = False


class Round(Struct, frozen=True):
    """All checks at one moment, in seconds since 1970; the worst of them decides."""

    at: float
    status: Status
    results: tuple[Result, ...]


class Episode(Struct, frozen=True):
    """A time in which a check was not healthy. Moments are seconds since 1970.

    :param status: the worst of it
    :param text: what the check said when it was at its worst
    :param ended_at: None while it lasts
    """

    check: str
    status: Status
    started_at: float
    text: str
    ended_at: float | None = None


_results = msgspec.json.Decoder(tuple[Result, ...]).decode


def write_round(connection: Connection, round: Round) -> None:
    """Write it down once, though nobody waited to hear that it had been; without what is said of what is well."""
    kept = [result if result.status != "healthy" else structs.replace(result, text="") for result in round.results]
    connection.change("DELETE FROM health_rounds WHERE at = :at", {"at": round.at})
    connection.change(
        "INSERT INTO health_rounds (at, status, checks) VALUES (:at, :status, :checks)",
        {"at": round.at, "status": round.status, "checks": msgspec.json.encode(kept).decode()},
    )


def last_round(connection: Connection) -> Round | None:
    rows = connection.execute("SELECT at, status, checks FROM health_rounds ORDER BY at DESC LIMIT 1")
    return _round(rows[0]) if rows else None


def rounds(connection: Connection, since: float) -> tuple[Round, ...]:
    """Oldest first."""
    rows = connection.execute(
        "SELECT at, status, checks FROM health_rounds WHERE at >= :since ORDER BY at", {"since": since}
    )
    return tuple(map(_round, rows))


def write_episode(connection: Connection, episode: Episode) -> None:
    """Write it down, or what has become of it: an episode is known by its check and its start."""
    values = structs.asdict(episode)
    known = connection.change(
        "UPDATE health_episodes SET status = :status, text = :text, ended_at = :ended_at "
        "WHERE check_name = :check AND started_at = :started_at",
        values,
    )
    if not known:
        connection.change(
            "INSERT INTO health_episodes (check_name, status, started_at, ended_at, text) "
            "VALUES (:check, :status, :started_at, :ended_at, :text)",
            values,
        )


def lasting_episodes(connection: Connection) -> tuple[Episode, ...]:
    return _episodes(connection.execute(_EPISODES + "WHERE ended_at IS NULL ORDER BY started_at"))


def episodes(connection: Connection, since: float) -> tuple[Episode, ...]:
    """Those of which some part is later than ``since``, newest first."""
    return _episodes(
        connection.execute(
            _EPISODES + "WHERE ended_at IS NULL OR ended_at >= :since ORDER BY started_at DESC", {"since": since}
        )
    )


def forget(connection: Connection, before: float) -> None:
    """Delete what ended ``before`` that."""
    connection.change("DELETE FROM health_rounds WHERE at < :before", {"before": before})
    connection.change("DELETE FROM health_episodes WHERE ended_at < :before", {"before": before})


_EPISODES = "SELECT check_name, status, started_at, text, ended_at FROM health_episodes "


def _round(row: Row) -> Round:
    at, status, checks = row
    return Round(at, status, _results(checks))


def _episodes(rows: Iterable[Row]) -> tuple[Episode, ...]:
    return tuple(Episode(*row) for row in rows)
