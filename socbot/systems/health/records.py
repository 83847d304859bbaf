"""What is kept of health: rounds, and episodes of trouble."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct, structs

from socbot.storage.connection import Connection, Row
from socbot.storage.errors import decoding
from socbot.systems.health.checks import Status, worst


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


class Step(Struct, frozen=True):
    """What one check found within a part of a longer time.

    :param number: which part, from 0
    :param status: the worst of it
    :param healthy: how many of the ``rounds`` found nothing
    :param figure: the mean of its figures; None without any
    """

    check: str
    number: int
    status: Status
    rounds: int
    healthy: int
    figure: float | None


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
    with decoding("the last round of health"):
        return _round(rows[0]) if rows else None


def rounds(connection: Connection, since: float) -> tuple[Round, ...]:
    """Oldest first."""
    rows = connection.execute(
        "SELECT at, status, checks FROM health_rounds WHERE at >= :since ORDER BY at", {"since": since}
    )
    with decoding("a round of health"):
        return tuple(map(_round, rows))


class _Brief(Struct, frozen=True):
    name: str
    status: Status
    figure: float | None = None


class _Sums:
    """What is added up of one check within a step."""

    __slots__ = ("figures", "healthy", "rounds", "status", "total")

    def __init__(self) -> None:
        self.status: Status = "healthy"
        self.rounds = self.healthy = self.figures = 0
        self.total = 0.0

    def add(self, result: _Brief) -> None:
        self.rounds += 1
        if result.status == "healthy":
            self.healthy += 1
        else:
            self.status = worst(self.status, result.status)
        if result.figure is not None and result.figure == result.figure:
            self.figures += 1
            self.total += result.figure


_briefs = msgspec.json.Decoder(tuple[_Brief, ...]).decode  # a month of rounds is read: what is not asked for costs time


def course(connection: Connection, since: float, until: float, steps: int) -> tuple[tuple[Step, ...], int, int]:
    """The rounds between, added up by check in ``steps`` parts of that time; how many, and how many were well."""
    rows = connection.execute(
        "SELECT at, status, checks FROM health_rounds WHERE at >= :since AND at <= :until ORDER BY at",
        {"since": since, "until": until},
    )
    sums: dict[tuple[str, int], _Sums] = {}
    well, length = 0, max(1.0, until - since) / steps
    with decoding("a round of health"):
        for at, status, checks in rows:
            well += status == "healthy"
            number = min(steps - 1, int((at - since) / length))
            for result in _briefs(checks):
                sums.setdefault((result.name, number), _Sums()).add(result)
    found = (
        Step(check, number, each.status, each.rounds, each.healthy, each.total / each.figures if each.figures else None)
        for (check, number), each in sums.items()
    )
    return tuple(found), len(rows), well


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
