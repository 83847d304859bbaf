"""``socbot top``: the dashboard's overview in a terminal, live, from a bot that runs here or elsewhere."""

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from socbot.announcement import path_of, read
from socbot.config import Config
from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.replies import plain, printable
from socbot.documents import UNDECODABLE
from socbot.exit_codes import EXIT_FAILURE, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from socbot.version import VERSION

INTERVAL: Final = 2.0
"""Seconds between two looks, unless something else is asked for."""

SHORTEST: Final = 0.2

TIMEOUT: Final = 5.0
"""Seconds that an answer is waited for."""

NARROW: Final = 100
"""Columns below which the screen is drawn for a small terminal."""

_CLOCK: Final = SystemClock()
_SELDOM = 3  # looks, at one of which all is asked for
_LINES = 60  # of the log that are asked for
_BARS = "▁▂▃▄▅▆▇█"
_TONES = {
    "healthy": "green", "degraded": "yellow", "unhealthy": "red", "unknown": "bright_black",
    "bad": "red", "warn": "yellow", "failed": "red", "backing off": "yellow", "stopped": "yellow",
    "critical": "red", "warning": "yellow", "ERROR": "red", "CRITICAL": "red", "WARNING": "yellow",
}  # fmt: skip

Facts: TypeAlias = dict[str, Any]


class NotServed(Exception):
    """No bot answers there."""


class TokenRefused(Exception):
    """A bot answers, and does not know the token, or the token is none that may look."""


class Target(Struct, frozen=True):
    """Where to look.

    :param log: the path of the log file, if the bot runs on this machine
    """

    url: str
    token: str
    log: str = ""


def target(config: Config, url: str, token: str) -> Target:
    """Where the bot is served: where that was said, or as it announced itself on this machine.

    :raises NotServed: if neither is known
    :raises TokenRefused: if there is no token for it
    """
    here = read(path_of(config.storage))
    if url:
        token = token or (here.token if here is not None and here.address == url.rstrip("/") else "")
        if not token:
            raise TokenRefused(f"a token is needed for {url}: --token, or better $SOCBOT_TOKEN")
        return Target(url.rstrip("/"), token)
    if here is not None:
        return Target(here.address, token or here.token, here.log)
    raise NotServed(
        f"no bot is served here: {path_of(config.storage)} is not there. Start one with `socbot run`, with web.enabled "
        "in config.yaml, or name another with --url"
    )


class Source:
    """Asks a bot for what is shown."""

    def __init__(self, where: Target) -> None:
        self._where = where
        self._looks, self._kept = 0, Facts()
        self._client = httpx.Client(
            base_url=where.url, headers={"Authorization": f"Bearer {where.token}"}, timeout=TIMEOUT, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def look(self) -> Facts:
        """Everything that is shown, by the name of the view; what this token may not see is left out.

        Beside the overview and the log, what was found last is taken for new for some looks.

        :raises NotServed: if nobody answers
        :raises TokenRefused: if the token is refused
        """
        found: Facts = {"overview": self._view("overview", needed=True)}
        for name, query in _VIEWS.items():
            is_due = name == "logs" or self._looks % _SELDOM == 0
            facts = self._view(name, query) if is_due else self._kept.get(name)
            if facts is not None:
                found[name] = facts
        if "logs" not in found and (lines := _last_lines(self._where.log)):
            found["logs"] = {"entries": lines}
        self._looks, self._kept = self._looks + 1, found
        return found

    def _view(self, name: str, query: dict[str, str] | None = None, *, needed: bool = False) -> Any:
        try:
            answer = self._client.get(f"/api/v1/{name}", params=query or {})
        except httpx.HTTPError as error:
            raise NotServed(f"no bot answers at {self._where.url}: {_told(error)}") from None
        except (httpx.InvalidURL, UnicodeError):
            raise NotServed(f"{self._where.url} is no address such as http://127.0.0.1:8787") from None
        if answer.status_code == 200:
            try:
                return msgspec.json.decode(answer.content)
            except UNDECODABLE:
                raise NotServed(f"what answers at {self._where.url} is no socbot") from None
        if answer.status_code in (401, 403) and needed:
            raise TokenRefused(f"the bot at {self._where.url} refuses this token: {_detail(answer)}")
        if needed:
            raise NotServed(f"the bot at {self._where.url} answered {answer.status_code}: {_detail(answer)}")
        return None


_VIEWS: Final = {
    "health": {},
    "performance": {"days": "1"},
    "errors": {"range": "24h"},
    "abuse": {},
    "jobs": {},
    "webhooks": {},
    "logs": {"lines": str(_LINES)},
}


def _told(error: httpx.HTTPError) -> str:
    return "it took too long" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__


def _detail(answer: httpx.Response) -> str:
    try:
        found = msgspec.json.decode(answer.content)
        return str(found.get("detail") or found.get("title") or answer.reason_phrase)
    except (*UNDECODABLE, AttributeError):
        return answer.reason_phrase


def _last_lines(path: str) -> list[Facts]:
    """Of the file itself, for whoever may read it on this machine without being an owner of the dashboard."""
    from socbot.logs.entries import entry_of
    from socbot.logs.reading import last_lines

    try:
        return [msgspec.to_builtins(entry_of(line)) for line in last_lines(Path(path), _LINES)] if path else []
    except OSError:
        return []


# -- drawing ------------------------------------------------------------------------------------------


class Screen:
    """Draws what was found within so many columns and rows; ``rows`` None is as many as are needed."""

    def __init__(self, facts: Facts, columns: int, rows: int | None, trouble: str = "") -> None:
        self._facts, self._columns, self._rows, self._trouble = facts, columns, rows, trouble
        self._overview: Facts = facts["overview"]

    def draw(self) -> RenderableType:
        parts: list[RenderableType] = [self._head(), *self._commands(), *self._troubles()]
        used = len(parts)  # rows: nothing is wrapped
        boxes = [self._top(), self._errors(), self._abuse(), self._operations()]
        height = self._box_height(used)
        for row in [boxes] if self._columns >= NARROW else [boxes[:2], boxes[2:]]:
            grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
            for _ in row:
                grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
            grid.add_row(*(Group(*box[:height]) for box in row))
            parts.append(grid)
            used += max(len(box[:height]) for box in row)
        return Group(*parts, *self._log(used))

    def _box_height(self, above: int) -> int:
        if self._rows is None:
            return 9
        rest = self._rows - above - 1
        return max(2, min(12, rest // 2 if self._columns >= NARROW else rest // 3))

    def _head(self) -> Text:
        it, text = self._overview, Text(no_wrap=True, overflow="ellipsis")
        text.append(_safe(it["name"]), "bold")
        text.append("  ")
        text.append(f" {it['health']} ", f"reverse {_TONES.get(it['health'], '')}".strip())
        for probe, yes, no in ((it["live"], "live", "not live"), (it["ready"], "ready", "not ready")):
            text.append(f"  {yes if probe['ok'] else no}", "green" if probe["ok"] else "bold red")
        text.append(f"  up {_duration(it['uptime'])}")
        for platform in it["platforms"]:
            latency = platform["latency"]
            told = f"{latency * 1000:.0f} ms" if latency is not None else "connected"
            text.append(f"  {_safe(platform['name'])} ")
            text.append(told if platform["connected"] else "lost", "" if platform["connected"] else "bold red")
        if self._trouble:
            text.append(f"  {_safe(self._trouble)}", "bold red")
        else:
            text.append(f"  {datetime.fromtimestamp(_CLOCK.time()):%H:%M:%S}", "bright_black")
        return text

    def _commands(self) -> Iterator[Text]:
        it, day, hours = self._overview, self._overview["day"], self._overview["hours"]
        total, last = _commands(day), [_commands(tally) for _, tally in hours]
        before = _commands(it["day_before"])
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{total:,}", "bold")
        text.append(" commands in 24 h")
        if before:
            text.append(f" ({(total - before) / before:+.0%})", "bright_black")
        text.append(f"  {last[-1] if last else 0:,} this hour  {it['running']} running  ")
        text.append(_bars(last), "cyan")
        yield text
        text = Text(no_wrap=True, overflow="ellipsis")
        for name, tone in (("ok", "green"), ("refused", "yellow"), ("failed", "red"), ("invalid", "bright_black")):
            text.append(f"{name} ", "bright_black")
            text.append(f"{day[name]:,}", tone if day[name] else "")
            share = f" {day[name] / total:.0%}" if day[name] and self._columns >= NARROW else ""
            text.append(f"{share}  ", "bright_black")
        times = (self._facts.get("performance") or {}).get("times") or {}
        for name in ("p50", "p95", "p99"):
            value = times.get(name, it.get(name))
            text.append(f"{name} ", "bright_black")
            text.append(f"{_seconds(value)}  ")
        yield text

    def _troubles(self) -> list[Text]:
        found = [*self._overview["troubles"], *self._checks()]
        lines = [Text.assemble(("● ", _TONES.get(each["tone"], "")), _safe(each["text"])) for each in found[:4]]
        if len(found) > 4:
            lines.append(Text(f"  and {len(found) - 4} more", "bright_black"))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return lines or [Text("Nothing wants you.", "green")]

    def _checks(self) -> Iterator[Facts]:
        """What health found that is not well, as troubles; those that last are among the overview's already."""
        told = " ".join(each["text"] for each in self._overview["troubles"])
        for each in (self._facts.get("health") or {}).get("checks", ()):
            if each["status"] in ("degraded", "unhealthy") and each["name"] not in told:
                figure = "" if each["figure"] is None else f" {each['figure']:.4g} {each['unit']}"
                tone = "bad" if each["status"] == "unhealthy" else "warn"
                yield {"tone": tone, "text": f"{each['name']} is {each['status']}:{figure} {each['text']}"}

    def _top(self) -> list[Text]:
        lines = [_heading("Commands in 24 h")]
        for each in self._overview["commands"]:
            tally = each["tally"]
            line = Text(f"{_commands(tally):>7,}  {_safe(each['command'])}")
            if tally["failed"]:
                line.append(f"  {tally['failed']:,} failed", "red")
            lines.append(line)
        return _or_none(lines, "No command yet.")

    def _errors(self) -> list[Text]:
        lines = [_heading("Errors in 24 h")]
        found = self._facts.get("errors")
        if found is None:
            return _or_none(lines, "This token may not see them.")
        for each in found["groups"]:
            group = each["group"]
            if not each["within"]:
                continue
            line = Text(f"{each['within']:>5,}  ")
            line.append(_safe(group["type"]), _TONES.get(group["severity"], ""))
            line.append(f"  {_safe(group['command'])}  {_ago(self._now, group['last_at'])}", "bright_black")
            lines.append(line)
        return _or_none(lines, "None.", "green")

    def _abuse(self) -> list[Text]:
        lines, found = [_heading("Abuse")], self._facts.get("abuse")
        lines.append(_count(self._overview["day"]["refused"], "refused in 24 h"))
        lines.append(_count(self._overview["blacklisted"], "on the blacklist"))
        if found is not None:
            lines.append(_count(found["timeouts"], "timed out"))
            for each in found["violations"][:6]:
                line = Text(f"       {_safe(each['action'])}  {_safe(each['platform'])}:{_safe(each['id'])}")
                line.append(f"  {_safe(each['command'])}  {_ago(self._now, each['at'])}", "bright_black")
                lines.append(line)
        return lines

    def _operations(self) -> list[Text]:
        it, lines = self._overview, [_heading("Operations")]
        jobs = [each for each in (self._facts.get("jobs") or {}).get("jobs", ()) if _is_unwell(each)]
        lines.append(_count(len(jobs), f"of {it['jobs']} jobs not well", "red"))
        for each in jobs[:3]:
            state = "late" if each["late"] else each["state"]
            lines.append(Text.assemble("       ", (state, _TONES.get(state, "yellow")), f"  {_safe(each['name'])}"))
        hooks = (self._facts.get("webhooks") or {}).get("webhooks", ())
        lines.append(_count(it["backlog"], "deliveries wait", "yellow"))
        lines.append(_count(sum(each["dead"] for each in hooks), "deliveries are dead", "red"))
        backup = it["backup_at"]
        told = f"last backup {_ago(self._now, backup)}" if backup is not None else "no backup yet"
        lines.append(Text(f"       {told}", "" if backup is not None else "yellow"))
        return lines

    def _log(self, above: int) -> list[Text]:
        entries = (self._facts.get("logs") or {}).get("entries", ())
        room = 8 if self._rows is None else self._rows - above - 1
        if room < 1:
            return []
        lines = [_heading("Log")]
        for each in entries[-(room - 1) :] if room > 1 else ():
            at = f"{datetime.fromtimestamp(each['at']):%H:%M:%S}" if each["at"] is not None else " " * 8
            line = Text.assemble((f"{at} ", "bright_black"), no_wrap=True, overflow="ellipsis")
            line.append(f"{_safe(each['level'])} ", _TONES.get(each["level"], "bright_black"))
            line.append(f"{_safe(each['logger'])} ", "bright_black")
            line.append(_safe(each["message"]))
            lines.append(line)
        return lines if entries else [*lines, Text("The log is for owners: --token.", "bright_black")][:room]

    @property
    def _now(self) -> float:
        return _CLOCK.time()


def _heading(text: str) -> Text:
    return Text(text, "bold underline")


def _count(number: int, text: str, tone: str = "") -> Text:
    return Text.assemble((f"{number:>5,}", tone if number else ""), f"  {text}")


def _or_none(lines: list[Text], text: str, tone: str = "bright_black") -> list[Text]:
    return lines if len(lines) > 1 else [*lines, Text(text, tone)]


def _is_unwell(job: Facts) -> bool:
    return bool(job["late"]) or job["state"] in ("failed", "backing off", "stopped")


def _commands(tally: Facts) -> int:
    return int(tally["ok"] + tally["failed"] + tally["refused"] + tally["invalid"])


def _bars(values: Sequence[float]) -> str:
    most = max(values, default=0)
    return "".join(_BARS[min(7, int(value / most * 7.99))] if most else _BARS[0] for value in values[-24:])


def _safe(text: object) -> str:
    """``text`` of anybody's, so that it does nothing to the terminal; its moments in the terminal's zone."""
    return printable(plain(str(text), datetime.fromtimestamp(_CLOCK.time()).astimezone().tzinfo or UTC), "")


def _duration(seconds: float) -> str:
    """In its two largest units."""
    whole = round(seconds) or 1
    for unit in (604_800, 86_400, 3_600, 60):
        if whole >= unit:
            whole -= whole % {604_800: 86_400, 86_400: 3_600, 3_600: 60, 60: 1}[unit]
            break
    return str(Duration(whole))


def _ago(now: float, at: float) -> str:
    return "just now" if abs(now - at) < 1 else f"{_duration(max(1.0, now - at))} ago"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value * 1e6:.0f} µs" if value < 0.001 else f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


# -- running ------------------------------------------------------------------------------------------


def top(
    config: Config, *, url: str = "", token: str = "", once: bool = False, as_json: bool = False,
    interval: float = INTERVAL,
) -> int:  # fmt: skip
    """Show it until somebody presses q, or once; the exit code.

    :param interval: seconds between two looks
    """
    try:
        source = Source(target(config, url, token))
        try:
            facts = source.look()
            if not (once or as_json) and sys.stdout.isatty():
                return _live(facts, _Looking(source, facts, lambda: Source(target(config, url, token)), interval))
            return _printed(facts, as_json=as_json)
        finally:
            source.close()
    except NotServed as error:
        return _complain(str(error), EXIT_FAILURE)
    except TokenRefused as error:
        return _complain(str(error), EXIT_REFUSED if token or not url else EXIT_USAGE)


def _printed(facts: Facts, *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode(facts).decode())
    elif text := _of_another_version(facts):
        return _complain(text, EXIT_FAILURE)
    else:
        console = Console(highlight=False)
        console.print(Screen(facts, console.width, None).draw())
    return EXIT_OK


def _of_another_version(facts: Facts) -> str:
    theirs = facts["overview"].get("version", "of another kind")
    text = f"the bot there is socbot {theirs} and this is {VERSION}: use the other's, or --json"
    return "" if theirs == VERSION else text


class _Looking:
    """Looks again and again on a thread, so that a key is heard while an answer is waited for."""

    def __init__(self, source: Source, facts: Facts, anew: Callable[[], Source], interval: float) -> None:
        self._source, self._anew, self._interval = source, anew, max(SHORTEST, interval)
        self.facts, self.trouble = facts, ""
        self.changed, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="top", daemon=True)

    def __enter__(self) -> "_Looking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(0.5)  # whoever pressed q does not wait for an answer that does not come
        self._source.close()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self.facts, self.trouble = self._source.look(), ""
            except (NotServed, TokenRefused):
                self.trouble = self.trouble or f"no connection since {datetime.fromtimestamp(_CLOCK.time()):%H:%M:%S}"
                self._begin_anew()
            except RuntimeError:
                if not self._ended.is_set():  # it was closed under this thread's hands
                    raise
            self.changed.set()

    def _begin_anew(self) -> None:
        """A bot that was restarted has another token for this machine, and may have another port."""
        try:
            source = self._anew()
        except (NotServed, TokenRefused):
            return
        self._source.close()
        self._source = source


def _live(facts: Facts, looking: _Looking) -> int:
    if text := _of_another_version(facts):
        return _complain(text, EXIT_FAILURE)
    console = Console(highlight=False)
    with _keys() as pressed, looking, Live(console=console, screen=True, auto_refresh=False) as live:
        drawn = (0, 0)
        while True:
            size = (console.width, console.height)
            if looking.changed.is_set() or size != drawn:
                looking.changed.clear()
                drawn = size
                live.update(Group(Screen(looking.facts, *size, looking.trouble).draw()), refresh=True)
            if pressed(0.2) in ("q", "Q", "\x03", "\x1b"):
                return EXIT_OK


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """What waits so many seconds for a key, and gives it or an empty text."""
    try:
        import termios
        import tty
    except ImportError:  # not on Windows, where Ctrl-C ends it
        yield _wait
        return
    if not sys.stdin.isatty():
        yield _wait
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return os.read(descriptor, 1).decode("latin-1") if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _complain(text: str, code: int) -> int:
    print(f"socbot: {printable(text)}", file=sys.stderr)
    return code
