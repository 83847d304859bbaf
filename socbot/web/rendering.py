"""From facts to a page: the templates, and how numbers, times and charts are written in them."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from http import HTTPStatus
from typing import Any, Final

import jinja2
from aiohttp import web
from markupsafe import Markup

from socbot.charts import Tone, definition, page_svg, sparkline_svg, strip_svg
from socbot.dispatch.replies import Chart, printable
from socbot.version import VERSION
from socbot.web import assets
from socbot.web.addresses import to
from socbot.web.board import Board
from socbot.web.gate import Gate
from socbot.web.host import Host
from socbot.web.view import View, Viewer

SIGNS: Final = {
    "good": ("ok", "healthy", "running", "active", "delivered", "passed", "resolved", "enforce", "intact", "proven"),
    "warn": ("degraded", "warning", "waiting", "backing off", "shadow", "paused", "would refuse", "timeout", "warn"),
    "bad": ("unhealthy", "failed", "critical", "dead", "open", "refused", "damaged", "blacklist"),
}
"""Which words are good, a warning, or bad news; all others are neither."""

_TONE_OF: Final = {word: tone for tone, words in SIGNS.items() for word in words}

NAVIGATION: Final = (
    ("", (("/", "Overview", "home"),)),
    (
        "Commands",
        (
            ("/chain", "Chain", "chain"),
            ("/traces", "Traces", "trace"),
            ("/commands", "Commands", "commands"),
            ("/performance", "Performance", "speed"),
            ("/errors", "Errors", "error"),
        ),
    ),
    ("Community", (("/abuse", "Abuse", "shield"), ("/signals", "Signals", "bell"))),
    (
        "Operations",
        (
            ("/health", "Health", "pulse"),
            ("/jobs", "Jobs", "clock"),
            ("/webhooks", "Webhooks", "send"),
            ("/backups", "Backups", "archive"),
            ("/logs", "Logs", "log"),
        ),
    ),
    (
        "Set-up",
        (("/settings", "Settings", "sliders"), ("/audit", "Audit trail", "seal"), ("/access", "Access", "key")),
    ),
)

REFRESH: Final = "X-Refresh"
"""The header of a page that looks for what has changed: it has no place for notices."""

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_ANCHOR = re.compile(r"[^a-z0-9]+")


class Pages:
    """Draws pages."""

    def __init__(self, host: Host, gate: Gate) -> None:
        self._host, self._gate, self.board = host, gate, Board()
        env = self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("socbot.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_inert,
            auto_reload=False,
        )
        env.filters |= {
            "bytes": size,
            "change": change,
            "chart": drawn,
            "duration": duration,
            "number": number,
            "percent": percent,
            "seconds": seconds,
            "slug": slug,
            "sparkline": sparkline,
            "strip": strip,
            "tone": tone,
        }
        env.globals |= {"asset": assets.address, "to": to, "navigation": NAVIGATION, "version": VERSION}

    def page(
        self, request: web.Request, view: View[Any, Any], result: object, query: object, viewer: Viewer
    ) -> web.Response:
        """The page of ``view``."""
        more = {"it": result, "query": query, **view.shape(result, query, viewer)}
        return self._respond(request, view.template, view.title, viewer, more)

    def plain(self, request: web.Request, template: str, title: str, *, status: int = 200, **more: Any) -> web.Response:
        """A page that is no view's."""
        return self._respond(request, template, title, self._gate.viewer(request), more, status)

    def problem(self, request: web.Request, status: int, text: str) -> web.Response:
        """What went wrong, for whoever looks at a page."""
        return self.plain(request, "problem.html", HTTPStatus(status).phrase.capitalize(), status=status, text=text)

    def _respond(
        self, request: web.Request, template: str, title: str, viewer: Viewer, more: Mapping[str, Any],
        status: int = 200,
    ) -> web.Response:  # fmt: skip
        session = self._gate.session(request)
        body = self._environment.get_template(template).render(
            more,
            title=title,
            viewer=viewer,
            csrf=session.csrf if session else "",
            signed_in=session is not None,
            path=request.path,
            bot=self._host.config.bot.name,
            now=self._host.clock.time(),
            when=_When(self._host.clock.time(), viewer.zone),
            live=self._host.health.live.ok,
            notices=() if REFRESH in request.headers else self.board.take(session),
        )
        return web.Response(status=status, text=body, content_type="text/html", charset="utf-8")


class _When:
    """Moments, in seconds since 1970, as a reader wants them: in their zone, and how long ago."""

    def __init__(self, now: float, zone: tzinfo) -> None:
        self._now, self._zone = now, zone

    def __call__(self, moment: float | None) -> Markup:
        """A date and time."""
        return self._element(moment, self._written(moment, "%Y-%m-%d %H:%M:%S"), "moment")

    def short(self, moment: float | None) -> Markup:
        """The time of a moment today, the date and time of another."""
        today = moment is not None and self._written(moment, "%F") == self._written(self._now, "%F")
        return self._element(moment, self._written(moment, "%H:%M:%S" if today else "%b %d %H:%M"), "moment")

    def ago(self, moment: float | None) -> Markup:
        """How long ago it is, or in how long it will be."""
        if moment is None:
            return Markup('<span class="quiet">never</span>')
        past = self._now - moment
        told = "just now" if abs(past) < 1 else f"{duration(past)} ago" if past > 0 else f"in {duration(-past)}"
        return self._element(moment, told, "ago")

    def _element(self, moment: float | None, text: str, kind: str) -> Markup:
        if moment is None:
            return Markup('<span class="quiet">–</span>')
        whole = self._written(moment, "%Y-%m-%d %H:%M:%S %Z")
        machine = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
        return Markup('<time class="{}" datetime="{}" title="{}">{}</time>').format(kind, machine, whole, text)

    def _written(self, moment: float | None, form: str) -> str:
        if moment is None:
            return ""
        try:
            return datetime.fromtimestamp(moment, self._zone).strftime(form)
        except (ValueError, OverflowError, OSError):
            return "?"


def _inert(value: Any) -> Any:
    """No control or direction character of anybody's reaches a page; markup is made here alone."""
    if value is None:
        return ""
    return printable(value, "\n\t") if type(value) is str else value


def number(value: float) -> str:
    """12,345; 0.25."""
    if value != value:
        return "–"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.2f}".rstrip("0").rstrip(".")


def percent(share: float | None) -> str:
    """Of a share between 0 and 1."""
    if share is None:
        return "–"
    return f"{share:.0%}" if share in (0, 1) or share >= 0.1 else f"{share:.1%}" if share >= 0.001 else "<0.1%"


def change(share: float) -> str:
    """By how much something has grown: +25%, -8%, 13 times."""
    return f"{share + 1:,.0f} times" if share >= 9 else f"{share:+.0%}"


def seconds(value: float | None) -> str:
    """A short time: 120 µs, 3.4 ms, 1.2 s, 4m."""
    if value is None:
        return "–"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} s" if value < 60 else duration(value)


def duration(value: float | None) -> str:
    """A long time, in its two largest units: 2d 3h, 5m 10s; as the script has it, which keeps it fresh."""
    if value is None:
        return "–"
    if value < 1:
        return seconds(value)
    left, told = int(value), []
    first = next(number for number, (_, size) in enumerate(_UNITS) if left >= size)
    for name, size in _UNITS[first : first + 2]:
        count, left = divmod(left, size)
        told += [f"{count}{name}"] * bool(count)
    return " ".join(told)


def size(value: float | None) -> str:
    """1.2 GB."""
    if value is None:
        return "–"
    if value < 1000:
        return f"{value:.0f} B"
    power = min(5, int(math.log(value, 1000)))
    return f"{value / 1000**power:.3g} {' kMGTP'[power]}B"


def tone(word: str) -> str:
    """``good``, ``warn``, ``bad`` or ``plain``."""
    return _TONE_OF.get(word.lower(), "plain")


def slug(text: str) -> str:
    """``text`` as an element's id."""
    return _ANCHOR.sub("-", text.lower()).strip("-")


def drawn(chart: Chart, title: str = "") -> Markup:
    """A chart, as it is also attached to answers in chat."""
    return Markup(page_svg(definition(chart, title)))  # which escapes what it is made of


def sparkline(values: tuple[float, ...], alt: str, tone: str = "plain") -> Markup:
    """A line as high as its words."""
    return Markup(sparkline_svg(values, alt, tone))


def strip(cells: Sequence[tuple[Tone, str]], alt: str) -> Markup:
    """Cells in a row, as high as their words."""
    return Markup(strip_svg(cells, alt))
