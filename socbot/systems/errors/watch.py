"""What the owner is told of the errors, and when: at once, but never in a storm."""

from collections import Counter, deque
from collections.abc import Iterator

from msgspec import Struct

from socbot.config import ErrorsConfig
from socbot.dispatch.replies import Field, Reply, escape, moment
from socbot.systems.errors.records import Record
from socbot.systems.links import Links
from socbot.systems.signals import Draft

_BETWEEN_CRITICAL = 60.0
_REMINDER = 3_600.0
_MOST_GROUPS = 2_000
_MOST_HELD = 20
_MOST_TYPES = 200


class News(Struct, frozen=True):
    """What there is to tell: the owner by ``notice``, other systems by ``signal``."""

    notice: Reply
    signal: Draft


class Pace(Struct, frozen=True):
    """How fast errors come, against what is too fast.

    :param count: errors within the last ``window`` seconds; ``threshold`` stands for it and more
    :param since: since when there are too many, in seconds since 1970; None while there are not
    :param counted: how many there were since then
    """

    count: int
    threshold: int
    window: float
    since: float | None = None
    counted: int = 0


class Watch:
    """Decides on notices. Its times are ``Clock.monotonic``.

    - The first critical error of a group is told at once, and again only after the group was quiet for a whole
      window. Within a minute of such a notice, others wait and are told together.
    - ``threshold`` errors within a window begin an episode, which is told once; while it is young, single errors are
      not. It ends, and that is told too, when no more than half the threshold are left in the window. An episode that
      goes on is told again every hour.
    """

    def __init__(self, config: ErrorsConfig, links: Links) -> None:
        self._links = links
        self._seen: dict[str, float] = {}
        self._held: list[tuple[Record, bool]] = []
        self._critical_told = float("-inf")
        self._episode: _Episode | None = None
        self._recent: deque[tuple[float, Record]] = deque()
        self.configure(config)

    def configure(self, config: ErrorsConfig) -> None:
        self._config = config
        self._window = config.error_rate_window_minutes * 60
        self._recent = deque(self._recent, maxlen=config.error_rate_threshold)

    @property
    def is_busy(self) -> bool:
        """Whether something may become due soon without another error."""
        return bool(self._held) or self._episode is not None

    def pace(self, now: float) -> Pace:
        """How fast errors come now; muted groups do not count."""
        episode = self._episode
        since, counted = (None, 0) if episode is None else (episode.began_at, episode.count)
        return Pace(self._left_in_window(now), self._config.error_rate_threshold, self._window, since, counted)

    def saw(self, record: Record, now: float, *, came_back: bool) -> None:
        """Take an error into account; ``came_back`` if its group was resolved."""
        is_fresh = self._is_fresh(record.group_id, now)
        self._recent.append((now, record))
        if self._episode is None and self._left_in_window(now) >= self._config.error_rate_threshold:
            self._episode = _Episode(now, [record for _, record in self._recent])
            if now - self._critical_told < _BETWEEN_CRITICAL:
                self._held.clear()  # the notice of the episode speaks of them
        elif self._episode is not None:
            self._episode.add(record)
        if self._episode is not None and now - self._episode.began < self._window:
            return
        is_critical = record.severity == "critical" and self._config.notify_owner_on_critical
        if ((is_critical and is_fresh) or came_back) and len(self._held) < _MOST_HELD:
            self._held.append((record, came_back))

    def due(self, now: float) -> Iterator[News]:
        """What is to be told now."""
        if self._held and now - self._critical_told >= _BETWEEN_CRITICAL:
            yield News(single_notice(self._held, self._links), single_signal(self._held))
            self._held, self._critical_told = [], now
        episode = self._episode
        if episode is None:
            return
        if self._left_in_window(now) <= self._config.error_rate_threshold // 2:
            self._episode = None
            yield News(_recovered(episode, now), _rate_signal(episode, "Error rate back to normal", over=True))
        elif now - episode.told >= _REMINDER:
            episode.told = now
            yield News(self._high_rate(episode), _rate_signal(episode, "Too many errors"))

    def _high_rate(self, episode: "_Episode") -> Reply:
        config = self._config
        return Reply(
            f"At least {config.error_rate_threshold} errors within {config.error_rate_window_minutes:g} min,"
            f" {episode.count} since {moment(episode.began_at)}.",
            "⚠️ High Error Rate Detected",
            (
                Field("Top Error Types", episode.top_types),
                Field("Critical", str(episode.critical)),
                Field("Action", "See `error_dashboard` and `error_trends`; the end of it will be told."),
                *self._links.field("errors"),
            ),
            tone="warn",
            private=True,
        )

    def _left_in_window(self, now: float) -> int:
        while self._recent and self._recent[0][0] <= now - self._window:
            self._recent.popleft()
        return len(self._recent)

    def _is_fresh(self, group_id: str, now: float) -> bool:
        seen = self._seen.pop(group_id, None)
        self._seen[group_id] = now
        if len(self._seen) > _MOST_GROUPS:
            del self._seen[next(iter(self._seen))]
        return seen is None or now - seen >= self._window


class _Episode:
    """A time of too many errors."""

    def __init__(self, began: float, first: list[Record]) -> None:
        self.began, self.began_at = began, first[0].at
        self.told = float("-inf")
        self.count = 0
        self.critical = 0
        self._types: Counter[str] = Counter()
        for record in first:
            self.add(record)

    def add(self, record: Record) -> None:
        self.count += 1
        self.critical += record.severity == "critical"
        if record.type in self._types or len(self._types) < _MOST_TYPES:
            self._types[record.type] += 1

    @property
    def top_types(self) -> str:
        return ", ".join(f"{escape(kind, 60)} ({count})" for kind, count in self._types.most_common(5))


def _rate_signal(episode: _Episode, title: str, *, over: bool = False) -> Draft:
    return Draft(
        "error",
        title,
        f"{episode.count} errors so far, {episode.critical} of them critical: {episode.top_types}.",
        "warning",  # also when it is over: whoever heard of one hears of both
        "errors",
        f"error_rate:{episode.began_at}:{'over' if over else 'on'}",
    )


def _chosen(held: list[tuple[Record, bool]]) -> Record:
    """The one that is told in full."""
    return next((record for record, _ in held if record.severity == "critical"), held[0][0])


def single_signal(held: list[tuple[Record, bool]]) -> Draft:
    """The same of one error as the notice, for other systems."""
    record = _chosen(held)
    title = "Critical error" if record.severity == "critical" else "A resolved error is back"
    facts = [("Error id", record.error_id), ("Command", record.command or "none")]
    if len(held) > 1:
        facts.append(("And more", f"{len(held) - 1} errors"))
    return Draft(
        "error",
        f"{title}: {record.type}",
        record.message,
        "critical" if record.severity == "critical" else "warning",
        "errors",
        f"error:{record.group_id}",
        fields=tuple(facts),
    )


def single_notice(held: list[tuple[Record, bool]], links: Links) -> Reply:
    """One error, critical or of a resolved group, and how many others there are."""
    record = _chosen(held)
    came_back = [record.group_id for record, came_back in held if came_back]
    lines = []
    if came_back:
        lines.append(f"Resolved before, and back: {', '.join(f'`{group}`' for group in came_back)}.")
    if len(held) > 1:
        others = ", ".join(f"`{other.error_id}`" for other, _ in held if other is not record)
        lines.append(f"And {len(held) - 1} more: {others}.")
    return Reply(
        "\n".join(lines),
        "🚨 Critical Error Detected" if record.severity == "critical" else "🔁 Resolved Error Is Back",
        (
            Field("Error Type", escape(record.type, 80)),
            Field("Command", escape(record.command, 60) or "none"),
            Field("Severity", record.severity),
            Field("Message", escape(record.message, 300) or "none", inline=False),
            Field("Error id", f"`{record.error_id}`"),
            *links.field("errors", record.error_id),
        ),
        tone="error",
        private=True,
    )


def _recovered(episode: _Episode, now: float) -> Reply:
    return Reply(
        f"{episode.count} errors since {moment(episode.began_at)}, {episode.critical} of them critical.",
        "✅ Error Rate Back to Normal",
        (
            Field("Top Error Types", episode.top_types),
            Field("Lasted", f"{(now - episode.began) / 60:.0f} min"),
        ),
        tone="ok",
        private=True,
    )
