"""What Discord would refuse of a body that a bot sends, by the limits and types of its documentation.

Each check returns the complaints, in order of the body, as ``path: what is wrong``; none means that it would be taken.
Lengths are counted in code points, as Discord does. Where it is vague the check is strict: white space counts towards a
limit although Discord trims it, and a key that is not documented is a complaint although Discord would ignore it.

Two things are asked that Discord would not: ``allowed_mentions`` is always there and allows nobody, and components are
those of the first kind (rows of buttons or one select).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Json: TypeAlias = Any
Rule: TypeAlias = Callable[[str, Json], Iterator[str]]

COMPONENT, AUTOCOMPLETE, FORM = 3, 4, 5  # kinds of interaction, as far as an answer depends on them

SUPPRESS_EMBEDS = 1 << 2
EPHEMERAL = 1 << 6
SUPPRESS_NOTIFICATIONS = 1 << 12

LONGEST_TIME_OUT = timedelta(days=28)


def check_message(
    body: Json, files: Sequence[str] = (), *, edit: bool = False, interaction: bool = False, webhook: bool = False
) -> list[str]:
    """Complaints about a message that is sent, or one that is edited.

    :param files: the file names that came with it, in order of ``files[n]``
    :param interaction: it answers or follows up an interaction, so it may be ephemeral
    :param webhook: it is sent by a plain webhook, so it may name its author
    """
    return list(_message(_message_shape(edit, interaction, webhook), files, edit)("", body))


def check_callback(body: Json, files: Sequence[str] = (), *, kind: int | None = None) -> list[str]:
    """Complaints about the first answer to an interaction.

    :param kind: the interaction's type, to say as well which answers it does not take
    """
    if not isinstance(body, dict) or body.get("type") not in _CALLBACKS:
        return [f"type: one of {', '.join(map(str, _CALLBACKS))} is needed"]
    answer: int = body["type"]
    complaints = list(shape({"type": one_of(answer), "data": _callback_data(answer, files)})("", body))
    if answer in _NEED_DATA and "data" not in body:
        complaints.append("data: missing")
    if files and answer not in _MESSAGES:
        complaints.append(f"files: not with an answer of type {answer}")
    if kind is not None and not _answers(answer, kind):
        complaints.append(f"type: {answer} does not answer an interaction of type {kind}")
    return complaints


def check_commands(body: Json) -> list[str]:
    """Complaints about the list of application commands that replaces those of the application or of a guild."""
    return list(_COMMANDS("commands", body))


def check_member_edit(body: Json, now: float) -> list[str]:
    """Complaints about a change of a guild's member.

    :param now: seconds since 1970, from which the 28 days of a time-out count
    """
    return list(then(_MEMBER, lambda at, member: _time_out(at, member, now))("", body))


# -- rules ------------------------------------------------------------------------------------------------


def under(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def text(most: int, least: int = 0) -> Rule:
    """A string of so many characters, of which white space alone is none."""

    def check(at: str, value: Json) -> Iterator[str]:
        if not isinstance(value, str):
            yield f"{at}: a string is needed"
        elif any("\ud800" <= letter <= "\udfff" for letter in value):
            yield f"{at}: a lone surrogate"
        elif len(value) > most:
            yield f"{at}: {len(value)} characters, at most {most}"
        elif least and len(value.strip()) < least:
            yield f"{at}: empty"

    return check


def whole(least: int, most: int) -> Rule:
    def check(at: str, value: Json) -> Iterator[str]:
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"{at}: a whole number is needed"
        elif not least <= value <= most:
            yield f"{at}: {value} is not within {least} and {most}"

    return check


def number(at: str, value: Json) -> Iterator[str]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield f"{at}: a number is needed"
    elif not -(2**53) <= value <= 2**53:
        yield f"{at}: {value} is out of range"


def flag(at: str, value: Json) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{at}: true or false is needed"


def bits(mask: int) -> Rule:
    def check(at: str, value: Json) -> Iterator[str]:
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"{at}: a whole number is needed"
        elif value & ~mask:
            yield f"{at}: {value & ~mask} cannot be set here"

    return check


def one_of(*allowed: Json) -> Rule:
    def check(at: str, value: Json) -> Iterator[str]:
        if isinstance(value, bool) or value not in allowed:
            yield f"{at}: one of {', '.join(map(str, allowed))} is needed"

    return check


def nothing(at: str, value: Json) -> Iterator[str]:
    if value is not None:
        yield f"{at}: not here"


def maybe(rule: Rule) -> Rule:
    """Null, or what ``rule`` takes."""
    return lambda at, value: iter(()) if value is None else rule(at, value)


def each(rule: Rule, most: int, least: int = 0) -> Rule:
    def check(at: str, value: Json) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{at}: a list is needed"
            return
        if not least <= len(value) <= most:
            yield f"{at}: {len(value)} of them, " + (f"at most {most}" if value else f"at least {least}")
        for index, item in enumerate(value):
            yield from rule(f"{at}[{index}]", item)

    return check


def shape(rules: Mapping[str, Rule], *required: str) -> Rule:
    """An object of these keys and no others."""

    def check(at: str, value: Json) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{at or 'body'}: an object is needed"
            return
        for key, item in value.items():
            rule = rules.get(key)
            yield from rule(under(at, key), item) if rule else [f"{under(at, str(key))}: unknown key"]
        for key in required:
            if key not in value:
                yield f"{under(at, key)}: missing"

    return check


def mapping(rule: Rule) -> Rule:
    """An object of whatever keys."""

    def check(at: str, value: Json) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{at}: an object is needed"
            return
        for key, item in value.items():
            yield from rule(under(at, str(key)), item)

    return check


def by_type(rules: Mapping[int, Rule]) -> Rule:
    """An object whose ``type`` says which rule holds for it."""

    def check(at: str, value: Json) -> Iterator[str]:
        kind = value.get("type") if isinstance(value, dict) else None
        if isinstance(kind, int) and kind in rules:
            yield from rules[kind](at, value)
        else:
            yield f"{under(at, 'type')}: one of {', '.join(map(str, rules))} is needed"

    return check


def then(rule: Rule, *more: Rule) -> Rule:
    """What ``rule`` says, and if that is nothing what ``more`` say, who can then rely on the types."""

    def check(at: str, value: Json) -> Iterator[str]:
        complaints = list(rule(at, value))
        yield from complaints
        if not complaints:
            for other in more:
                yield from other(at, value)

    return check


def unique(key: str) -> Rule:
    """A list of objects that differ by ``key``."""

    def check(at: str, value: Json) -> Iterator[str]:
        yield from _twice(f"{at}[].{key}", (item[key] for item in value if key in item))

    return check


def distinct(at: str, value: Json) -> Iterator[str]:
    yield from _twice(at, value)


def _twice(at: str, values: Iterable[Json]) -> Iterator[str]:
    yield from (f"{at}: {value!r} twice" for value, times in Counter(values).items() if times > 1)


def snowflake(at: str, value: Json) -> Iterator[str]:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,20}", str(value)) or int(value) >= 2**64:
        yield f"{at}: an id is needed"


def timestamp(at: str, value: Json) -> Iterator[str]:
    if not isinstance(value, str) or "T" not in value or _time(value) is None:
        yield f"{at}: an ISO 8601 time is needed"


def _time(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def address(most: int = 2048) -> Rule:
    return then(text(most, 1), _http)


def _http(at: str, value: Json) -> Iterator[str]:
    if not re.fullmatch(r"https?://[^/\s?#]\S*", value):
        yield f"{at}: an http or https address is needed"


def picture(at: str, value: Json) -> Iterator[str]:
    """An address on the web, or a picture among the files; whether it is there is asked for the whole message."""
    if isinstance(value, str) and value.startswith(_ATTACHED):
        if not re.fullmatch(r"[\w.-]+\.(jpg|jpeg|png|webp|gif)", value.removeprefix(_ATTACHED), re.IGNORECASE):
            yield f"{at}: the file cannot be shown as a picture"
    else:
        yield from _WEB(at, value)


_ATTACHED = "attachment://"
_WEB = address()
_SIZE = whole(0, 2**31 - 1)
_EMOJI = shape({"id": maybe(snowflake), "name": maybe(text(32, 1)), "animated": flag})


# -- embeds -----------------------------------------------------------------------------------------------

_IMAGE = shape(
    {
        "url": picture,
        "proxy_url": _WEB,
        "width": _SIZE,
        "height": _SIZE,
        "content_type": text(100),
        "placeholder": text(200),
        "placeholder_version": _SIZE,
        "description": text(1024),
        "flags": _SIZE,
    },
    "url",
)
_EMBED = shape(
    {
        "type": one_of("rich"),
        "flags": _SIZE,
        "title": text(256),
        "description": text(4096),
        "url": _WEB,
        "timestamp": timestamp,
        "color": whole(0, 0xFFFFFF),
        "footer": shape({"text": text(2048, 1), "icon_url": picture, "proxy_icon_url": _WEB}, "text"),
        "image": _IMAGE,
        "thumbnail": _IMAGE,
        "author": shape({"name": text(256, 1), "url": _WEB, "icon_url": picture, "proxy_icon_url": _WEB}, "name"),
        "fields": each(shape({"name": text(256, 1), "value": text(1024, 1), "inline": flag}, "name", "value"), 25),
    }
)


def _shows_something(at: str, embed: Json) -> Iterator[str]:
    if not any(embed.get(key) for key in ("title", "description", "footer", "image", "thumbnail", "author", "fields")):
        yield f"{at}: an empty embed"


def _embeds_together(at: str, embeds: Json) -> Iterator[str]:
    together = sum(len(part) for embed in embeds for part in _parts(embed))
    if together > 6000:
        yield f"{at}: {together} characters together, at most 6000"


def _parts(embed: Json) -> Iterator[str]:
    yield embed.get("title", "")
    yield embed.get("description", "")
    yield embed.get("footer", {}).get("text", "")
    yield embed.get("author", {}).get("name", "")
    for field in embed.get("fields", ()):
        yield field["name"]
        yield field["value"]


def _pictures(embeds: Json) -> Iterator[tuple[str, str]]:
    """Where in the embeds a file is shown, and its name."""
    for index, embed in enumerate(embeds):
        for part, key in (("image", "url"), ("thumbnail", "url"), ("author", "icon_url"), ("footer", "icon_url")):
            shown = embed.get(part, {}).get(key, "")
            if shown.startswith(_ATTACHED):
                yield f"embeds[{index}].{part}.{key}", shown.removeprefix(_ATTACHED)


# -- components -------------------------------------------------------------------------------------------

_ID = whole(0, 2**31 - 1)
_CUSTOM_ID = text(100, 1)
_NEEDED = {5: "url", 6: "sku_id"}  # by a button's style; all others need a custom_id


def _button(at: str, button: Json) -> Iterator[str]:
    style = button["style"]
    needed = _NEEDED.get(style, "custom_id")
    for key in ("custom_id", "url", "sku_id"):
        if key in button and key != needed:
            yield f"{at}.{key}: not on a button of style {style}"
    if needed not in button:
        yield f"{at}.{needed}: missing"
    yield from _face(at, button)


def _face(at: str, button: Json) -> Iterator[str]:
    has_face = bool(button.get("label", "").strip() or button.get("emoji"))
    if button["style"] == 6 and has_face:
        yield f"{at}.label: not on a button of style 6"
    elif button["style"] != 6 and not has_face:
        yield f"{at}.label: empty, and no emoji"


def _choosing(at: str, select: Json) -> Iterator[str]:
    least, most = select.get("min_values", 1), select.get("max_values", 1)
    if least > most:
        yield f"{at}.min_values: {least}, more than max_values"
    if most > len(select.get("options", range(25))):
        yield f"{at}.max_values: {most}, more than there are options"


def _select(**own: Rule) -> Rule:
    common = {
        "type": _ID,
        "id": _ID,
        "custom_id": _CUSTOM_ID,
        "placeholder": text(150),
        "min_values": whole(0, 25),
        "max_values": whole(1, 25),
        "disabled": flag,
        "required": flag,
    }
    return then(shape(common | own, "custom_id", *own.keys() & {"options"}), _choosing)


_OPTION = shape(
    {"label": text(100, 1), "value": text(100, 1), "description": text(100), "emoji": _EMOJI, "default": flag},
    "label",
    "value",
)
_DEFAULTS = each(shape({"id": snowflake, "type": one_of("user", "role", "channel")}, "id", "type"), 25)
_SELECTS = {
    3: _select(options=then(each(_OPTION, 25, 1), unique("value"))),
    5: _select(default_values=_DEFAULTS),
    6: _select(default_values=_DEFAULTS),
    7: _select(default_values=_DEFAULTS),
    8: _select(default_values=_DEFAULTS, channel_types=each(whole(0, 16), 16)),
}
_BUTTON = then(
    shape(
        {
            "type": _ID,
            "id": _ID,
            "style": whole(1, 6),
            "label": text(80),
            "emoji": _EMOJI,
            "custom_id": _CUSTOM_ID,
            "url": address(512),
            "sku_id": snowflake,
            "disabled": flag,
        },
        "style",
    ),
    _button,
)


def _row(rules: Mapping[int, Rule], most: int) -> Rule:
    return shape({"type": one_of(1), "id": _ID, "components": each(by_type(rules), most, 1)}, "type", "components")


def _alone(at: str, row: Json) -> Iterator[str]:
    if len(row["components"]) > 1 and any(part["type"] in _SELECTS for part in row["components"]):
        yield f"{at}.components: a select stands alone in its row"


def _custom_ids(at: str, rows: Json) -> Iterator[str]:
    parts = (part for row in rows for part in (row.get("components") or [row.get("component", {})]))
    yield from _twice(f"{at}[].custom_id", (part["custom_id"] for part in parts if "custom_id" in part))


_ROW = then(_row({2: _BUTTON, **_SELECTS}, 5), _alone)


# -- messages ---------------------------------------------------------------------------------------------


def _nobody(at: str, value: Json) -> Iterator[str]:
    if value:
        yield f"{at}: would ping somebody"


_ATTACHMENT = shape(
    {
        "id": snowflake,
        "filename": text(260, 1),
        "title": text(1024),
        "description": text(1024),
        "is_spoiler": flag,
        # What discord.py repeats of a file that an edit keeps
        "proxy_url": _WEB,
        "url": _WEB,
        "size": _SIZE,
        "spoiler": flag,
        "width": _SIZE,
        "height": _SIZE,
        "content_type": text(255),
    },
    "id",
)
_COMMON: dict[str, Rule] = {
    "content": maybe(text(2000)),
    "tts": flag,
    "embeds": maybe(then(each(then(_EMBED, _shows_something), 10), _embeds_together)),
    "components": maybe(then(each(_ROW, 5), _custom_ids)),
    "attachments": maybe(then(each(_ATTACHMENT, 10), unique("id"))),
    "allowed_mentions": shape({"parse": _nobody, "users": _nobody, "roles": _nobody, "replied_user": _nobody}, "parse"),
}
_REPLY = shape(
    {
        "type": one_of(0),
        "message_id": snowflake,
        "channel_id": snowflake,
        "guild_id": snowflake,
        "fail_if_not_exists": flag,
    },
    "message_id",
)
_CHANNEL_ALONE: dict[str, Rule] = {
    "nonce": lambda at, value: text(25, 1)(at, str(value) if isinstance(value, int) else value),
    "enforce_nonce": flag,
    "message_reference": _REPLY,
    "sticker_ids": each(snowflake, 3),
}


def _author(at: str, value: Json) -> Iterator[str]:
    if re.search("clyde|discord", value, re.IGNORECASE):
        yield f"{at}: a name that is reserved"


_WEBHOOK_ALONE: dict[str, Rule] = {
    "username": then(text(80, 1), _author),
    "avatar_url": _WEB,
    "thread_name": text(100, 1),
}


def _message_shape(edit: bool, interaction: bool, webhook: bool) -> Rule:
    if edit:
        return _EDIT
    if interaction:
        return _ANSWER
    return _WEBHOOK if webhook else _SENT


def _with(mask: int, more: Mapping[str, Rule] | None = None) -> Rule:
    return shape(_COMMON | {"flags": bits(mask)} | dict(more or {}), "allowed_mentions")


_SENT = _with(SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS, _CHANNEL_ALONE)
_WEBHOOK = _with(SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS, _WEBHOOK_ALONE)
_ANSWER = _with(SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | EPHEMERAL)
_EDIT = _with(SUPPRESS_EMBEDS)


def _message(rule: Rule, files: Sequence[str], edit: bool) -> Rule:
    return then(
        rule,
        lambda at, body: _says_something(at, body, files, edit),
        lambda at, body: _attached(at, body, files, edit),
        lambda at, body: _shown(at, body, files, edit),
    )


def _says_something(at: str, body: Json, files: Sequence[str], edit: bool) -> Iterator[str]:
    shown = ("embeds", "components", "sticker_ids")
    if edit or files or (body.get("content") or "").strip() or any(body.get(key) for key in shown):
        return
    yield under(at, "content") + ": an empty message"


def _attached(at: str, body: Json, files: Sequence[str], edit: bool) -> Iterator[str]:
    at = under(at, "attachments")
    if len(files) > 10:
        yield f"{at}: {len(files)} files, at most 10"
    listed = {int(attachment["id"]): attachment.get("filename") for attachment in body.get("attachments") or ()}
    for index, name in listed.items():
        if index < len(files):
            if name not in (None, files[index]):
                yield f"{at}: files[{index}] is called {files[index]!r}, not {name!r}"
        elif not edit or index < 100:
            yield f"{at}: there is no files[{index}]"
    if edit:
        yield from (f"{at}: files[{index}] is not in it" for index in range(len(files)) if index not in listed)


def _shown(at: str, body: Json, files: Sequence[str], edit: bool) -> Iterator[str]:
    if edit and "attachments" not in body:
        return  # the files of the message stay, and only the message knows them
    kept = {attachment.get("filename") for attachment in body.get("attachments") or ()}
    for where, name in _pictures(body.get("embeds") or ()):
        if name not in kept and name not in files:
            yield f"{under(at, where)}: there is no file {name!r}"


# -- answers to interactions ------------------------------------------------------------------------------

_CALLBACKS = (1, 4, 5, 6, 7, 8, 9)
_MESSAGES = (4, 7)
_NEED_DATA = (4, 7, 8, 9)


def _answers(answer: int, kind: int) -> bool:
    if (answer == 8) != (kind == AUTOCOMPLETE):
        return False
    if answer in (6, 7):
        return kind in (COMPONENT, FORM)
    return answer != 9 or kind != FORM


def _callback_data(answer: int, files: Sequence[str]) -> Rule:
    if answer == 4:
        return _message(_ANSWER, files, edit=False)
    if answer == 7:
        return _message(_EDIT, files, edit=True)
    return _DATA[answer]


_INPUT: dict[str, Rule] = {
    "type": one_of(4),
    "id": _ID,
    "custom_id": _CUSTOM_ID,
    "style": one_of(1, 2),
    "min_length": whole(0, 4000),
    "max_length": whole(1, 4000),
    "required": flag,
    "value": text(4000),
    "placeholder": text(100),
}


def _lengths(at: str, field: Json) -> Iterator[str]:
    least, most = field.get("min_length", 0), field.get("max_length", 4000)
    if least > most:
        yield f"{at}.min_length: {least}, more than max_length"
    if "value" in field and not least <= len(field["value"]) <= most:
        yield f"{at}.value: {len(field['value'])} characters, which the input itself does not take"


_LABELLED_INPUT = then(shape(_INPUT | {"label": text(45, 1)}, "custom_id", "style", "label"), _lengths)
_BARE_INPUT = then(shape(_INPUT | {"label": nothing}, "custom_id", "style"), _lengths)
_LABEL = shape(
    {
        "type": one_of(18),
        "id": _ID,
        "label": text(45, 1),
        "description": maybe(text(100)),
        "component": by_type({4: _BARE_INPUT, **_SELECTS}),
    },
    "label",
    "component",
)
_MODAL = shape(
    {
        "custom_id": _CUSTOM_ID,
        "title": text(45, 1),
        "components": then(each(by_type({1: _row({4: _LABELLED_INPUT}, 1), 18: _LABEL}), 5, 1), _custom_ids),
    },
    "custom_id",
    "title",
    "components",
)


def _suggested(at: str, value: Json) -> Iterator[str]:
    yield from (text(100)(at, value) if isinstance(value, str) else number(at, value))


_LOCALES = maybe(mapping(text(100, 1)))


def _choices(value: Rule) -> Rule:
    choice = shape({"name": text(100, 1), "name_localizations": _LOCALES, "value": value}, "name", "value")
    return each(choice, 25)


_DATA: dict[int, Rule] = {
    1: nothing,
    5: maybe(shape({"flags": bits(EPHEMERAL)})),
    6: maybe(shape({})),
    8: shape({"choices": _choices(_suggested)}, "choices"),
    9: _MODAL,
}


# -- application commands ---------------------------------------------------------------------------------

_MOST_COMMANDS = {1: 100, 2: 5, 3: 5}
_KINDS = {1: "slash commands", 2: "user menu entries", 3: "message menu entries"}
_SUBCOMMAND, _GROUP = 1, 2


def _lower_name(at: str, name: Json) -> Iterator[str]:
    if not all(_is_name_letter(letter) for letter in name):
        yield f"{at}: {name!r} has what a name cannot have"
    elif name != name.lower():
        yield f"{at}: {name!r} is not lower case"


def _is_name_letter(letter: str) -> bool:
    if letter in "-_'" or unicodedata.category(letter)[0] in "LN":
        return True
    return unicodedata.name(letter, "").startswith(("DEVANAGARI", "THAI CHARACTER"))


_NAME = then(text(32, 1), _lower_name)
_NAMED: dict[str, Rule] = {
    "type": _ID,
    "name": _NAME,
    "description": text(100, 1),
    "name_localizations": _LOCALES,
    "description_localizations": _LOCALES,
}


def _parameter(**own: Rule) -> Rule:
    return then(shape(_NAMED | {"required": flag} | own, "name", "description"), _bounds, _completion)


def _bounds(at: str, option: Json) -> Iterator[str]:
    for least, most in (("min_value", "max_value"), ("min_length", "max_length")):
        if least in option and most in option and option[least] > option[most]:
            yield f"{at}.{least}: more than {most}"


def _completion(at: str, option: Json) -> Iterator[str]:
    if option.get("autocomplete") and option.get("choices"):
        yield f"{at}.autocomplete: not beside choices"


def _chosen(value: Rule) -> Rule:
    return then(_choices(value), unique("name"), unique("value"))


_INTEGER = whole(1 - 2**53, 2**53 - 1)
_PARAMETERS: dict[int, Rule] = {
    3: _parameter(
        choices=_chosen(text(100, 1)), autocomplete=flag, min_length=whole(0, 6000), max_length=whole(1, 6000)
    ),
    4: _parameter(choices=_chosen(_INTEGER), autocomplete=flag, min_value=_INTEGER, max_value=_INTEGER),
    5: _parameter(),
    6: _parameter(),
    7: _parameter(channel_types=each(whole(0, 16), 16)),
    8: _parameter(),
    9: _parameter(),
    10: _parameter(choices=_chosen(number), autocomplete=flag, min_value=number, max_value=number),
    11: _parameter(file_types=each(text(32, 1), 10)),
}


def _required_first(at: str, options: Json) -> Iterator[str]:
    required = [option.get("required", False) for option in options]
    if required != sorted(required, reverse=True):
        yield f"{at}: one that is required after one that is not"


def _not_mixed(at: str, options: Json) -> Iterator[str]:
    nested = [option["type"] in (_SUBCOMMAND, _GROUP) for option in options]
    if any(nested) and not all(nested):
        yield f"{at}: subcommands beside parameters"


def _nested(options: Rule, *required: str) -> Rule:
    return shape(_NAMED | {"options": options}, "name", "description", *required)


_OPTIONS = then(each(by_type(_PARAMETERS), 25), unique("name"), _required_first)
_SUBCOMMANDS = {_SUBCOMMAND: _nested(_OPTIONS)}
_GROUPS = {_GROUP: _nested(then(each(by_type(_SUBCOMMANDS), 25, 1), unique("name")), "options")}
_TOP = then(each(by_type(_SUBCOMMANDS | _GROUPS | _PARAMETERS), 25), unique("name"), _not_mixed, _required_first)


def _permissions(at: str, value: Json) -> Iterator[str]:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,20}", value):
        yield f"{at}: a number in a string is needed"


_COMMAND: dict[str, Rule] = {
    "id": snowflake,
    "type": one_of(*_MOST_COMMANDS),
    "name_localizations": _LOCALES,
    "description_localizations": _LOCALES,
    "default_member_permissions": maybe(_permissions),
    "dm_permission": flag,
    "nsfw": flag,
    "contexts": maybe(then(each(one_of(0, 1, 2), 3, 1), distinct)),
    "integration_types": then(each(one_of(0, 1), 2, 1), distinct),
}


def _length(at: str, command: Json) -> Iterator[str]:
    if (length := _characters(command)) > 8000:
        yield f"{at}: {length} characters together, at most 8000"


def _characters(part: Json) -> int:
    own = _longest(part, "name") + _longest(part, "description") + len(str(part.get("value", "")))
    return own + sum(map(_characters, [*part.get("options", ()), *part.get("choices", ())]))


def _longest(part: Json, key: str) -> int:
    return max(map(len, (part.get(key, ""), *(part.get(f"{key}_localizations") or {}).values())))


_SLASH = then(
    shape(_COMMAND | {"name": _NAME, "description": text(100, 1), "options": _TOP}, "name", "description"),
    _length,
)
_MENU = shape(_COMMAND | {"name": text(32, 1), "description": text(0)}, "name")


def _command(at: str, command: Json) -> Iterator[str]:
    kind = command.get("type", 1) if isinstance(command, dict) else 1
    yield from (_MENU if kind in (2, 3) else _SLASH)(at, command)


def _how_many(at: str, commands: Json) -> Iterator[str]:
    for kind, times in Counter(command.get("type", 1) for command in commands).items():
        if times > _MOST_COMMANDS[kind]:
            yield f"{at}: {times} {_KINDS[kind]}, at most {_MOST_COMMANDS[kind]}"


def _names_differ(at: str, commands: Json) -> Iterator[str]:
    names = Counter((command.get("type", 1), command["name"]) for command in commands)
    yield from (f"{at}: {name!r} twice among the {_KINDS[kind]}" for (kind, name), times in names.items() if times > 1)


_COMMANDS = then(each(_command, sum(_MOST_COMMANDS.values())), _how_many, _names_differ)


# -- members ----------------------------------------------------------------------------------------------

_MEMBER = shape(
    {
        "nick": maybe(text(32)),
        "roles": maybe(each(snowflake, 250)),
        "mute": maybe(flag),
        "deaf": maybe(flag),
        "channel_id": maybe(snowflake),
        "communication_disabled_until": maybe(timestamp),
        "flags": maybe(_SIZE),
    }
)


def _time_out(at: str, member: Json, now: float) -> Iterator[str]:
    until = _time(member.get("communication_disabled_until") or "")
    if until and until.timestamp() - now > LONGEST_TIME_OUT.total_seconds():
        yield f"{under(at, 'communication_disabled_until')}: more than 28 days ahead"
