"""What the log says again and again, what it has never said before, and what it suddenly says often.

Messages are clustered by drain3. Its templates get more general as more is read; a template that was written down is
renamed then, so that what was known stays known.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from socbot.storage.connection import Connection, Row
from socbot.systems.errors.anatomy import template_of

MOST = 1_000
"""Templates that are kept apart; the one that was not seen for the longest time goes."""

KEPT = 30 * 86_400.0
"""Seconds after which a template that is not seen any more is forgotten, and would be new again."""

_SLOT = 300
_SLOTS = 12
_SUDDEN = 20  # times in a slot, and at the least so many times what is usual
_TIMES = 5
_LENGTH = 300
_WILD = "#"


class Template(Struct):
    """Something that the log says. Moments are seconds since 1970.

    :param unsaved: how often it was said since it was last written down
    :param stored_as: its names where it was last written down
    """

    text: str
    first_at: float
    last_at: float
    count: int = 0
    unsaved: int = 0
    stored_as: set[str] = set()


class Burst(Struct, frozen=True):
    """A template that is said more often than usual: so many times in the last five minutes."""

    template: Template
    count: int
    usual: float


class Templates:
    """Everything the log has said. Not for use by two threads at once, and slow: not for the event loop's."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        from drain3.drain import Drain

        self._drain = Drain(max_clusters=MOST, param_str=_WILD)
        self._known: dict[int, Template] = {}
        self._recent: dict[int, Counter[int]] = {}
        for text, first_at, last_at, count in rows:
            known = self._known[self._placed(text, first_at)]
            known.first_at, known.last_at = min(known.first_at, first_at), max(known.last_at, last_at)
            known.count += count
            known.stored_as.add(text)

    def learn(self, said: Iterable[tuple[float, str, str]]) -> None:
        """Take in what was logged: when, by which logger, and what."""
        seen: dict[str, int] = {}
        for at, name, message in said:
            masked = template_of(f"{name}: {message[:_LENGTH]}")
            number = seen.get(masked)
            if number is None:
                number = seen[masked] = self._placed(masked, at)
            known = self._known[number]
            known.count, known.unsaved, known.last_at = known.count + 1, known.unsaved + 1, max(known.last_at, at)
            self._recent.setdefault(int(at // _SLOT), Counter())[number] += 1
        for slot in sorted(self._recent)[:-_SLOTS]:
            del self._recent[slot]
        for number in self._known.keys() - self._drain.id_to_cluster.keys():
            del self._known[number]

    def commonest(self, count: int) -> list[Template]:
        return sorted(self._known.values(), key=lambda each: -each.count)[:count]

    def new(self, since: float, count: int) -> list[Template]:
        """Those that were first said after ``since``, the newest first."""
        found = [each for each in self._known.values() if each.first_at >= since]
        return sorted(found, key=lambda each: -each.first_at)[:count]

    def bursting(self, now: float, count: int) -> list[Burst]:
        """Those that were said far more often in the last five minutes than usual, the loudest first."""
        slot = int(now // _SLOT)
        recent = self._recent.get(slot, Counter[int]()) + self._recent.get(slot - 1, Counter())
        bursts = [_burst(self._known[number], said, now) for number, said in recent.items() if number in self._known]
        found = [each for each in bursts if each.count >= _SUDDEN and each.count >= _TIMES * each.usual]
        return sorted(found, key=lambda each: -each.count)[:count]

    def unsaved(self) -> list[Template]:
        return [each for each in self._known.values() if each.unsaved]

    def _placed(self, masked: str, at: float) -> int:
        cluster, _ = self._drain.add_log_message(masked)
        number, text = int(cluster.cluster_id), str(cluster.get_template())
        self._known.setdefault(number, Template(text, at, at)).text = text
        return number


def _burst(template: Template, said: int, now: float) -> Burst:
    before, slots = template.count - said, max(1.0, (now - template.first_at) / _SLOT - 1)
    return Burst(template, said, before / slots)


# -- what is written down ------------------------------------------------------------------------------


def read(connection: Connection) -> list[Row]:
    """What was said before this start, oldest first, so that the newest is the last to be pushed out."""
    rows = connection.execute(
        "SELECT template, first_at, last_at, count FROM log_templates ORDER BY last_at DESC LIMIT :most", {"most": MOST}
    )
    return rows[::-1]


def write(connection: Connection, templates: Sequence[Template], now: float) -> None:
    """Write down what has changed, under its present name, and forget what is not said any more."""
    renamed = [{"template": name} for each in templates for name in each.stored_as - {each.text}]
    if renamed:
        connection.execute_many("DELETE FROM log_templates WHERE template = :template", renamed)
    rows = [
        {"template": each.text, "first_at": each.first_at, "last_at": each.last_at, "count": each.count}
        for each in templates
    ]
    if rows:
        connection.execute_many(
            "INSERT INTO log_templates (template, first_at, last_at, count)"
            " VALUES (:template, :first_at, :last_at, :count) ON CONFLICT (template) DO UPDATE SET"
            " first_at = excluded.first_at, last_at = excluded.last_at, count = excluded.count",
            rows,
        )
    connection.change("DELETE FROM log_templates WHERE last_at < :before", {"before": now - KEPT})
    connection.change(
        "DELETE FROM log_templates WHERE template NOT IN"
        " (SELECT template FROM log_templates ORDER BY last_at DESC LIMIT :most)",
        {"most": MOST},
    )


def saved(templates: Iterable[Template]) -> None:
    """They are on the disk as they are."""
    for each in templates:
        each.stored_as, each.unsaved = {each.text}, 0
