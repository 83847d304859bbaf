"""Times of trouble: when one begins and ends, and what is told of it."""

from collections.abc import Container, Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct, structs

from socbot.config import HealthConfig
from socbot.dispatch.arguments import Duration
from socbot.dispatch.replies import Field, Reply, escape, moment
from socbot.systems.health.checks import Status, worst
from socbot.systems.health.judging import Course
from socbot.systems.health.records import Episode, Result
from socbot.systems.signals import Draft, Severity

SIGNS: dict[Status, str] = {"healthy": "✅", "unknown": "❔", "degraded": "⚠️", "unhealthy": "❌"}

What: TypeAlias = Literal["began", "worsened", "ended"]

_SEVERITIES: dict[Status, Severity] = {
    "healthy": "info",
    "unknown": "warning",
    "degraded": "warning",
    "unhealthy": "critical",
}


class Change(Struct, frozen=True):
    """What has become of an episode; ``is_news`` if the owner is to be told."""

    what: What
    episode: Episode
    is_news: bool = True


class Episodes:
    """The course of every check, and the episodes that last."""

    def __init__(self, config: HealthConfig, lasting: Iterable[Episode] = ()) -> None:
        self._config = config
        self._lasting = {episode.check: episode for episode in lasting}
        self._courses = {
            episode.check: Course(config, episode.status, episode.started_at) for episode in self._lasting.values()
        }

    def configure(self, config: HealthConfig) -> None:
        self._config = config
        for course in self._courses.values():
            course.configure(config)

    @property
    def lasting(self) -> tuple[Episode, ...]:
        return tuple(self._lasting.values())

    def settled(self, check: str) -> Status | None:
        """What the check counts as; None while too little is known."""
        return self._courses[check].settled if check in self._courses else None

    def since(self, check: str) -> float | None:
        """Since when it counts as that, in seconds since 1970."""
        course = self._courses.get(check)
        return course.since if course is not None and course.settled is not None else None

    def described(self, result: Result) -> Result:
        """``result`` with what the check counts as."""
        course = self._courses.get(result.name)
        if course is None:
            return result
        return structs.replace(result, settled=course.settled, agreeing=course.agreeing)

    def judge(self, results: Sequence[Result], at: float) -> tuple[Change, ...]:
        """Take a round into account; what has changed by it."""
        changes = [change for result in results if (change := self._judge(result, at)) is not None]
        return (*changes, *self._close_others({result.name for result in results}, at))

    def _judge(self, result: Result, at: float) -> Change | None:
        course = self._courses.get(result.name)
        if course is None:
            course = self._courses[result.name] = Course(self._config)
        course.vote(result.status, at)
        status, lasting = course.settled, self._lasting.get(result.name)
        if status is None or (status == "healthy" and lasting is None):
            return None
        if lasting is None:
            return self._begin(Episode(result.name, status, course.since, result.text))
        if status == "healthy":
            del self._lasting[result.name]
            return Change("ended", structs.replace(lasting, ended_at=course.since))
        return self._worsen(lasting, status, result.text)

    def _begin(self, episode: Episode) -> Change:
        self._lasting[episode.check] = episode
        return Change("began", episode)

    def _worsen(self, lasting: Episode, status: Status, text: str) -> Change | None:
        if worst(lasting.status, status) == lasting.status:
            return None
        episode = self._lasting[lasting.check] = structs.replace(lasting, status=status, text=text)
        return Change("worsened", episode, is_news=status == "unhealthy")

    def _close_others(self, made: Container[str], at: float) -> Iterable[Change]:
        """What is not checked any more is not in trouble any more, as far as anybody knows."""
        for check in [check for check in self._lasting if check not in made]:
            episode = self._lasting.pop(check)
            self._courses.pop(check, None)
            yield Change("ended", structs.replace(episode, text=f"{episode.text} (not checked any more)", ended_at=at))


# -- what is told -------------------------------------------------------------------------------------


def draft(change: Change) -> Draft:
    """The signal of it; each change of each episode is one of its own."""
    episode = change.episode
    status: Status = "healthy" if change.what == "ended" else episode.status
    return Draft(
        "health",
        f"Health: {episode.check} is {status}" + (" again" if change.what == "ended" else ""),
        episode.text,
        _SEVERITIES[status],
        "health",
        f"health:{episode.check}:{episode.started_at:.3f}:{change.what}",
        fields=(("check", episode.check), ("status", status), *_lasted(episode)),
    )


def notices(changes: Iterable[Change], page: tuple[Field, ...] = ()) -> Iterable[Reply]:
    """What the owner is told: one notice of what is worse, one of what is well again.

    :param page: what leads to where there is more
    """
    news = [change for change in changes if change.is_news]
    bad = [change.episode for change in news if change.what != "ended"]
    good = [change.episode for change in news if change.what == "ended"]
    if bad:
        status = worst(*(episode.status for episode in bad))
        tone: Literal["error", "warn"] = "error" if status == "unhealthy" else "warn"
        yield Reply("See `health`.", f"🩺 Health: {status}", page, tuple(map(_bad, bad)), tone, private=True)
    if good:
        yield Reply("", "🩺 Health: recovered", page, tuple(map(_good, good)), "ok", private=True)


def _bad(episode: Episode) -> str:
    told = f": {escape(episode.text, 300)}" if episode.text else ""
    name = f"{SIGNS[episode.status]} **{escape(episode.check, 60)}** {episode.status}"
    return f"{name} since {moment(episode.started_at)}{told}"


def _good(episode: Episode) -> str:
    lasted = "".join(f" after {length}" for _, length in _lasted(episode))
    return f"{SIGNS['healthy']} **{escape(episode.check, 60)}** healthy again{lasted}"


def _lasted(episode: Episode) -> tuple[tuple[str, str], ...]:
    if episode.ended_at is None:
        return ()
    return (("lasted", str(Duration(max(1, round(episode.ended_at - episode.started_at))))),)
