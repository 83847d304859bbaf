"""Actions: what can be done from a page or by a program. Each is a command, and goes the way of every command."""

import re
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
from aiohttp import web
from msgspec import Struct, structs

from socbot.dispatch.arguments import MAX_LENGTH, Parameter
from socbot.dispatch.commands import Registry
from socbot.dispatch.messages import Answer, Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.dispatch.summaries import Summary, summary
from socbot.systems.access import PLATFORM
from socbot.systems.identities import storable
from socbot.web.board import Notice, notice_of, parts
from socbot.web.gate import Gate, own_path
from socbot.web.host import Host
from socbot.web.problems import Turned
from socbot.web.reading import answered, decoded
from socbot.web.view import Viewer

if TYPE_CHECKING:
    from socbot.web.app import Ask
    from socbot.web.rendering import Pages

PATIENCE = 8.0
"""Seconds that an answer is waited for; what takes longer goes on."""

MOST_BODY = 16 * 1024
"""Bytes of an action's options."""

KEY = "Idempotency-Key"
"""The header under which a program may send the same action twice, so that it runs once."""

_OWN = ("csrf", "back", "confirm", "answer")  # what a form sends beside the options
_TOKEN = re.compile(r"[0-9a-f]{32}")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,64}")
_NUMBERS = count(1)

Given: TypeAlias = Mapping[str, str]


class Option(Struct, frozen=True):
    """One thing that an action takes.

    :param argument: the command's name for it, if that is another
    :param passed: False for what only decides which command it is
    """

    name: str
    required: bool = True
    argument: str = ""
    description: str = ""
    passed: bool = True

    def describes(self, registry: Registry, command: str) -> Parameter | None:
        """The argument of the command that it becomes."""
        found = registry.get(command)
        wanted = self.argument or self.name
        return next((each for each in found.parameters if each.name == wanted), None) if found else None


class Action(Struct, frozen=True):
    """What can be done.

    :param command: what does it
    :param fixed: arguments that are always the same
    :param variant: another command for some options, with what it takes instead of ``fixed``
    """

    name: str
    summary: str
    command: str
    options: tuple[Option, ...] = ()
    fixed: dict[str, str] = {}
    variant: Callable[[Given], str | None] | None = None

    def command_for(self, given: Given) -> str:
        return (self.variant(given) if self.variant is not None else None) or self.command

    def arguments(self, given: Given) -> dict[str, str]:
        """The command's arguments by name."""
        passed = (each for each in self.options if each.passed and each.name in given)
        named = {(each.argument or each.name): given[each.name] for each in passed}
        return {**self.fixed, **named}


def _of_person(given: Given) -> str | None:
    return "blacklist_temp" if given.get("duration") else None


def _of_section(given: Given) -> str | None:
    try:
        return SECTIONS[given["section"]]
    except KeyError:
        known = ", ".join(SECTIONS)
        raise Turned(422, f"section: one of {known} is expected; all others are set in config.yaml.") from None


SECTIONS: Final = {
    "analytics": "analytics_config",
    "backup": "backup_config",
    "errors": "error_config",
    "health": "health_config",
    "logs": "log_config",
    "rate_limit": "rate_limit_config",
}
"""The sections of config.yaml whose settings can be changed while the bot runs, and the command of each."""

_PERSON = "a person as `platform:id`; without a platform it is a Discord id"
_GROUP = (Option("group"),)
_JOB = (Option("name", argument="job"),)
_HOOK = (Option("name"),)
_SETTING = (
    Option("section", description=f"one of {', '.join(SECTIONS)}", passed=False),
    Option("key", description="the key, with or without its section"),
)
_LISTED = (
    Option("user", argument="id", description=_PERSON),
    Option("kind", required=False, description="user, which it is unless given, or guild"),
)

ACTIONS: Final = (
    Action("retry_delivery", "Send again what is dead: a delivery by its number, or all of a webhook.", "webhook_retry",
           (Option("what"),)),
    Action("test_webhook", "Send a test message to a webhook now.", "test_webhook", _HOOK),
    Action("resume_webhook", "Use a webhook again that was paused or switched off.", "webhook_config", _HOOK,
           {"key": "enabled", "value": "on"}),
    Action("run_job", "Run a job once now, whatever its schedule.", "run_task", _JOB),
    Action("stop_job", "Stop a job, until it is started.", "stop_task", _JOB),
    Action("start_job", "Let a job run again that was stopped or has failed.", "start_task", _JOB),
    Action("blacklist_add", "Shut a person or guild out, for a time if a duration is given.", "blacklist_add",
           (*_LISTED, Option("reason", required=False),
            Option("duration", required=False, description="how long, such as 12h; for good unless given")),
           {"kind": "user"}, _of_person),
    Action("blacklist_remove", "Let a person or guild in again.", "blacklist_remove",
           (*_LISTED, Option("reason", required=False)), {"kind": "user"}),
    Action("clear_violations", "Let nothing count against a person any more; lifts a timeout.", "reset_violations",
           (Option("user", description=_PERSON),)),
    Action("mute_group", "Be told nothing of a group of errors for a time.", "error_mute",
           (*_GROUP, Option("duration"))),
    Action("resolve_group", "Mark a group of errors as resolved; the next one reopens it.", "error_resolve", _GROUP),
    Action("backup_now", "Make a backup, and verify it.", "backup_now"),
    Action("verify_backup", "Verify a backup, by restoring it on trial.", "verify_backup", (Option("name"),)),
    Action("check_health", "Look at everything now.", "health"),
    Action("set_mode", "Set a middleware to enforce, shadow or off.", "pipeline_mode",
           (Option("middleware"), Option("mode"))),
    Action("set_setting", "Change a setting at once, and keep it.", "health_config",
           (*_SETTING, Option("value")), {"action": "set"}, _of_section),
    Action("reset_setting", "Return a setting to what config.yaml says.", "health_config", _SETTING,
           {"action": "reset"}, _of_section),
    Action("maintenance", "Let nobody but owners in, and tell everybody else why; or let all in again.", "maintenance",
           (Option("state", description="on or off"), Option("message", required=False))),
    Action("token_add", "Make a token for the dashboard; it is shown this once.", "token_add",
           (Option("name"), Option("role", required=False))),
    Action("token_remove", "Take a token away, and end what was begun with it.", "token_remove", (Option("name"),)),
)  # fmt: skip

PEOPLE: Final = frozenset(("clear_violations", "blacklist_add", "blacklist_remove"))


class Asked(Struct, frozen=True):
    """A question that the command asks before it does anything.

    :param question: what is asked
    :param confirm: what is sent to the same address, as ``{"confirm": …}``, to say yes
    :param expires_in: seconds in which that can be done
    """

    question: str
    confirm: str
    expires_in: float
    outcome: Summary


class Running(Struct, frozen=True):
    """The action takes longer than an answer waits for: it goes on, and the audit trail tells how it ended."""

    detail: str


class Actions:
    """Runs actions, for forms and for programs."""

    def __init__(self, host: Host, ask: "Ask", gate: Gate, pages: "Pages") -> None:
        self._host, self._ask, self._gate, self._pages = host, ask, gate, pages

    def add_to(self, app: web.Application) -> None:
        """Serve them."""
        for action in ACTIONS:
            app.router.add_post(f"/api/v1/actions/{action.name}", self._for_programs(action))
            app.router.add_post(f"/actions/{action.name}", self._for_forms(action))

    # -- for programs ---------------------------------------------------------------------------------

    def _for_programs(self, action: Action) -> Callable[[web.Request], Any]:
        async def act(request: web.Request) -> web.Response:
            viewer = self._owner(request)
            given = await decoded(request, dict[str, str | int | float | bool], MOST_BODY, empty=b"{}")
            message = message_of(action, _texts(given), viewer, request.headers.get(KEY))
            return _answer(await self._ask(_run, self._host, message, None))

        return act

    def _owner(self, request: web.Request) -> Viewer:
        viewer = self._gate.viewer(request)
        if not viewer.is_owner:
            raise Turned(403, f"This needs the role owner; you have the role {viewer.role}. Nothing was done.")
        return viewer

    # -- for forms ------------------------------------------------------------------------------------

    def _for_forms(self, action: Action) -> Callable[[web.Request], Any]:
        async def act(request: web.Request) -> web.StreamResponse:
            viewer = self._owner(request)
            form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
            given = {name: value for name, value in form.items() if name not in _OWN}
            if "confirm" in form:
                given = {"confirm": form["confirm"]}
            message = message_of(action, given, viewer, yes=form.get("answer") != "no")
            session, back = self._gate.session(request), own_path(form.get("back", ""))

            def later(outcome: Outcome) -> None:
                if session is not None:
                    self._pages.board.put(session, _notice(outcome, self._host.links.base))

            outcome = await self._ask(_run, self._host, message, later)
            if session is None:
                return _answer(outcome)
            if outcome is not None and outcome.reply is not None and outcome.reply.question is not None:
                return self._pages.plain(
                    request, "confirm.html", action.summary.rstrip("."), action=action, back=back,
                    question=outcome.reply.question, asked=[parts(line) for line in outcome.reply.text.split("\n")],
                )  # fmt: skip
            base = self._host.links.base
            self._pages.board.put(session, _STILL_RUNNING if outcome is None else _notice(outcome, base))
            return web.Response(status=303, headers={"Location": back})

        return act


_STILL_RUNNING = Notice(
    "info", "Still running", (parts("It goes on. What comes of it is shown on the next page that you open."),)
)


async def _run(host: Host, message: Message, later: Callable[[Outcome], None] | None) -> Outcome | None:
    """How it ended, or None if it takes longer; on the bot's loop.

    :param later: is told in that case, once it has ended
    """
    ended: list[Outcome] = []
    waiting, event = True, anyio.Event()

    async def done(outcome: Outcome) -> None:
        ended.append(outcome)
        event.set()
        if not waiting and later is not None:
            later(outcome)

    if message.answer is None:
        message = structs.replace(message, text=host.dispatcher.prefixes[0] + message.text)
    # Not awaited but submitted: a backup is not to be cancelled because nobody waits for its answer any more.
    if (at_once := host.dispatcher.submit(message, done)) is not None:
        return at_once
    with anyio.move_on_after(PATIENCE):
        await event.wait()
    waiting = False
    return ended[0] if ended else None


def message_of(action: Action, given: Given, viewer: Viewer, key: str | None = None, *, yes: bool = True) -> Message:
    """The command that does it, as if whoever holds the token had given it.

    :param key: under which it runs once
    :raises Turned: if something is given that it does not take, or lacking that it needs
    """
    message = Message(
        "",
        User(viewer.name, viewer.name),
        PLATFORM,
        channel=action.name,  # a question is answered where it was asked: by the same action
        id=f"{viewer.name}/{action.name}/{_checked(key)}" if key is not None else f"#{next(_NUMBERS)}",
    )
    if set(given) == {"confirm"}:
        if not _TOKEN.fullmatch(given["confirm"]):
            raise Turned(422, "confirm: what came with the question is expected.")
        return structs.replace(message, answer=Answer(given["confirm"], yes))
    given = _fitting(action, given)
    return structs.replace(message, text=action.command_for(given), options=action.arguments(given))


def _fitting(action: Action, given: Given) -> Given:
    """What was given, without what is empty."""
    known = {option.name for option in action.options}
    for name, value in given.items():
        if name not in known:
            shown = storable(name, 60)
            raise Turned(422, f"{shown}: not an option of {action.name}, which takes {', '.join(known) or 'none'}.")
        if len(value) > MAX_LENGTH or storable(value, MAX_LENGTH) != value:
            raise Turned(422, f"{name}: text of at most {MAX_LENGTH:,} characters is expected.")
    for option in action.options:
        if option.required and not given.get(option.name):
            raise Turned(422, f"{option.name}: this is needed.")
    given = {name: value for name, value in given.items() if value}
    if action.name in PEOPLE and ":" not in given["user"]:
        return {**given, "user": f"discord:{given['user'].strip(' <@!>')}"}
    return given


def _checked(key: str) -> str:
    if not _PRINTABLE.fullmatch(key):
        raise Turned(422, f"{KEY}: 1 to 64 printable characters are expected.")
    return key


def _texts(given: Mapping[str, str | float | bool]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


# -- from an outcome to an answer ---------------------------------------------------------------------

_CLOSED: Final = ("shutting down", "held")
_WAIT: Final = ("rate_limit", "cooldown", "concurrency")


def _answer(outcome: Outcome | None) -> web.Response:
    """How a program is told."""
    if outcome is None:
        return answered(202, Running("It goes on; the audit trail tells how it ended."))
    told, reply = summary(outcome), outcome.reply
    if outcome.status == "ok":
        question = reply.question if reply is not None else None
        if reply is None or question is None:
            return answered(200, told)
        return answered(202, Asked(reply.plain().partition("\n")[0], question.token, question.expires_in, told))
    status, retry_after = _status(outcome)
    if status == 409:
        raise Turned(409, f"An action with this {KEY} was run before.")
    detail = reply.plain() if reply is not None else outcome.reason or outcome.status
    more = {"error_id": outcome.error_id} if outcome.error_id else {}
    raise Turned(status, detail, retry_after=retry_after, outcome=told, **more)


def _status(outcome: Outcome) -> tuple[int, float | None]:
    """The HTTP status of an outcome that is not well, and after how many seconds it may be tried again."""
    if outcome.status != "refused":
        return {"invalid": 422, "unknown": 404, "failed": 500, "ignored": 409}[outcome.status], None
    if outcome.reason in _CLOSED:
        return 503, 5.0
    if outcome.refused_by in _WAIT or outcome.reason == "busy":
        return 429, float(getattr(outcome.error, "retry_after", 1.0))
    return 403, None


def _notice(outcome: Outcome, base: str) -> Notice:
    """How a person is told."""
    reply = outcome.reply
    if reply is None and outcome.status != "ok":
        reply = Reply.error(f"That was {outcome.status}: {outcome.reason or 'no reason is given'}.")
    elif reply is not None and outcome.status == "invalid":
        reply = structs.replace(reply, text=reply.text.partition("\n")[0])  # how it is typed in chat is of no use here
    return notice_of(reply, base)
