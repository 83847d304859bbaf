"""Arguments as chat people type them: a signature becomes a parser, once, when its command is registered.

=========================  ==========================================================================
annotation                 what is accepted
=========================  ==========================================================================
``str``                    one word, or several in quotes
``Rest``                   the rest of the line as it stands
``int``, ``float``         a number; bounds by ``Annotated[int, Meta(ge=1, le=100)]``
``bool``                   on/off, yes/no, true/false
``Literal[...]``, ``Enum`` one of the choices, in any case
``UserRef`` and the like   a mention or an id
``Duration``               ``1h30m``; bounds and the unit of a bare number by ``DurationRange``
``Attachment``             a file that came with the message
``*words: T``              any number of ``T``
keyword-only ``bool``      a flag, ``--csv``
a default, ``T | None``    optional
anything else              a system, injected
=========================  ==========================================================================

``Annotated[str, Completes("job")]`` says what a word is the name of, so that a transport can offer names;
``Annotated[str, Secret()]`` that it is not to be seen: a form asks for it where there are forms.
"""

import enum
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct

from socbot.dispatch.errors import WITHHELD, InvalidArgument
from socbot.dispatch.messages import Attachment, ChannelRef, GuildRef, Message, UserRef

MAX_LENGTH = 4_000
"""Characters of a message that are read; a longer one is refused before anything looks at it."""

DAY = 86_400.0
YEAR = 365 * DAY

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": DAY, "w": 7 * DAY}
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?(?:ms|[smhdw]))+", re.ASCII)
_DURATION_PART = re.compile(r"([\d.]+)(ms|[smhdw])", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_ID = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f@#<>`\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]{1,64}"
)
_PLATFORM = re.compile(r"[a-z][a-z0-9_]{0,15}")
_MENTIONS = {
    "user": re.compile(r"<@!?(\d{1,20})>", re.ASCII),
    "channel": re.compile(r"<#(\d{1,20})>", re.ASCII),
    "guild": re.compile(r"(?!)"),
}
_BOOLEANS = {"on": True, "yes": True, "true": True, "y": True, "1": True} | {
    "off": False, "no": False, "false": False, "n": False, "0": False
}  # fmt: skip


class _RestOfLine:
    """Marks a ``str`` that takes the rest of the line."""


Rest: TypeAlias = Annotated[str, _RestOfLine()]
"""The rest of the line, as it was typed."""


class Completes(Struct, frozen=True):
    """Marks an argument whose values have names that can be offered: those of ``kind``."""

    kind: str


class Secret(Struct, frozen=True):
    """Marks an argument that nobody else is to see."""


class DurationRange(Struct, frozen=True):
    """Bounds of a ``Duration`` in seconds, and the unit that a bare number has."""

    minimum: float = 60.0
    maximum: float = 10 * YEAR
    bare: Literal["ms", "s", "m", "h", "d", "w"] = "h"


class Duration(float):
    """A length of time in seconds, written as people do: ``str(Duration(5400))`` is ``1h30m``."""

    def __str__(self) -> str:
        seconds = round(float(self), 6)
        if seconds < 0.9995:
            return f"{min(seconds * 1000, 999):.3g}ms"
        if seconds < 59.94 and seconds != round(seconds):
            return f"{seconds:.3g}s"
        parts, rest = [], round(seconds)
        for unit in ("w", "d", "h", "m", "s"):
            count, rest = divmod(rest, int(_UNITS[unit]))
            if count:
                parts.append(f"{count}{unit}")
        return "".join(parts)


class Parameter(Struct, frozen=True):
    """One argument of a command: enough to parse it, to describe it, and to make a slash option of it.

    :param kind: how it is filled: one word, the rest, any number of words, a flag
    :param expected: what is accepted, in words
    :param completes: of what its values are names, where they can be offered
    :param secret: not for others to see
    """

    name: str
    type: Any
    kind: Literal["word", "rest", "many", "flag", "attachment"]
    parse: Callable[[str, Message], object]
    expected: str
    example: str
    required: bool
    default: object = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    completes: str = ""
    secret: bool = False

    @property
    def usage(self) -> str:
        if self.kind == "flag":
            return f"[--{self.name}]"
        if self.kind == "attachment":
            return f"(attach {self.name})"
        shown = "|".join(self.choices) if self.choices and len(self.choices) <= 4 else self.name
        if self.kind == "rest":
            shown = f"*{shown}"
        elif self.kind == "many":
            shown += "…"
        return f"<{shown}>" if self.required else f"[{shown}]"


class Signature(Struct, frozen=True):
    """A handler's signature, compiled.

    :param injected: the systems it asks for, by parameter name
    """

    parameters: tuple[Parameter, ...]
    injected: dict[str, type]

    def bind(self, text: str, message: Message) -> tuple[list[object], dict[str, object]]:
        """Read ``text``, or the options of ``message``, into positional and keyword arguments; not the injected ones.

        :raises InvalidArgument: naming the first argument that is wrong; without what was given, where a secret may
            have been put in the wrong place
        """
        try:
            return self._read(text, message)
        except InvalidArgument as error:
            if not any(each.secret for each in self.parameters):
                raise
            told = InvalidArgument(error.argument, WITHHELD if error.value else "", error.expected)
        raise told  # out here, where the one that holds the value is no context of it

    def _read(self, text: str, message: Message) -> tuple[list[object], dict[str, object]]:
        if message.options is not None:
            return _from_options(self.parameters, message.options, message)
        if not self.parameters:
            if text and not text.isspace():
                raise InvalidArgument("arguments", text.strip(), "expected: this command takes none")
            return [], {}
        return _Reader(self.parameters, text, message).read()

    def lacking(self, options: Mapping[str, str]) -> tuple[Parameter, ...]:
        """What a form is to ask for beside ``options``: what is required, and what is secret."""
        return tuple(
            each
            for each in self.parameters
            if (each.required or each.secret) and each.name not in options and each.kind not in ("flag", "attachment")
        )


# -- reading a line -----------------------------------------------------------------------------------

_CLOSING = {'"': '"', "“": "”", "„": "“”", "”": "”", "«": "»"}
_DASHES = ("--", "—", "–")


class _Word(Struct):
    value: str
    start: int
    quoted: bool


def split(text: str) -> list[_Word]:
    """Split ``text`` into words; quotes keep words together where they stand at a word's edges.

    A quote that is never closed is an ordinary character. Linear in the length of ``text``.
    """
    words: list[_Word] = []
    unclosed: set[str] = set()  # what was not closed from here is not closed from further on either
    position, length = 0, len(text)
    while True:
        while position < length and text[position].isspace():
            position += 1
        if position >= length:
            return words
        start, quote = position, text[position]
        if quote in _CLOSING and quote not in unclosed:
            end = _closing(text, start + 1, _CLOSING[quote])
            if end >= 0:
                value = text[start + 1 : end]
                words.append(_Word(value.replace('\\"', '"') if quote == '"' else value, start, True))
                position = end + 1
                continue
            unclosed.add(quote)
        while position < length and not text[position].isspace():
            position += 1
        words.append(_Word(text[start:position], start, False))


def _closing(text: str, start: int, marks: str) -> int:
    """Where the quote that was opened before ``start`` closes: at a mark that ends a word, not escaped."""
    for position in range(start, len(text)):
        if (
            text[position] in marks
            and text[position - 1] != "\\"
            and (position + 1 == len(text) or text[position + 1].isspace())
        ):
            return position
    return -1


class _Reader:
    """Fills parameters from one line."""

    def __init__(self, parameters: tuple[Parameter, ...], text: str, message: Message) -> None:
        self._parameters, self._text, self._message = parameters, text, message
        self._words = split(text)
        self._flags = {parameter.name: parameter for parameter in parameters if parameter.kind == "flag"}
        self._keywords: dict[str, object] = dict.fromkeys(self._flags, False)

    def read(self) -> tuple[list[object], dict[str, object]]:
        values: list[object] = []
        files = iter(self._message.attachments)
        for parameter in self._parameters:
            if parameter.kind == "flag":
                continue
            if parameter.kind == "attachment":
                values.append(self._attachment(parameter, files))
                continue
            self._take_flags()
            if parameter.kind == "rest":
                values.append(self._rest(parameter))
            elif parameter.kind == "many":
                values.extend(self._many(parameter))
            elif self._words:
                values.append(parameter.parse(self._words.pop(0).value, self._message))
            else:
                values.append(_absent(parameter))
        self._take_flags()
        if self._words:
            raise InvalidArgument("arguments", self._words[0].value, "expected: that is one argument too many")
        return values, self._keywords

    def _take_flags(self) -> None:
        while self._flags and self._words and not self._words[0].quoted:
            word = self._words[0].value
            dash = next((dash for dash in _DASHES if word.startswith(dash)), None)
            if dash is None:
                return
            name = word[len(dash) :].lower().replace("-", "_")
            if name not in self._flags:
                known = " or ".join(f"--{flag}" for flag in self._flags)
                raise InvalidArgument("flags", word, f"a flag of this command ({known})")
            self._keywords[name] = True
            self._words.pop(0)

    def _rest(self, parameter: Parameter) -> object:
        if not self._words:
            return _absent(parameter)
        first = self._words[0]
        raw = (first.value if first.quoted and len(self._words) == 1 else self._text[first.start :]).strip()
        self._words.clear()
        return parameter.parse(raw, self._message) if raw else _absent(parameter)

    def _many(self, parameter: Parameter) -> list[object]:
        values = []
        while self._words:
            self._take_flags()
            if self._words:
                values.append(parameter.parse(self._words.pop(0).value, self._message))
        if parameter.required and not values:
            raise InvalidArgument(parameter.name, "", parameter.expected)
        return values

    def _attachment(self, parameter: Parameter, files: "typing.Iterator[Attachment]") -> object:
        file = next(files, None)
        return _absent(parameter) if file is None else file


# -- reading named options -----------------------------------------------------------------------------


def _from_options(
    parameters: tuple[Parameter, ...], options: Mapping[str, str], message: Message
) -> tuple[list[object], dict[str, object]]:
    """Bind arguments that came by name."""
    known = {each.name for each in parameters}
    for name, value in options.items():
        if name not in known:
            raise InvalidArgument("arguments", name, f"one of {', '.join(sorted(known)) or 'none'}")
        if len(value) > MAX_LENGTH:
            raise InvalidArgument(name, "", f"text of at most {MAX_LENGTH} characters")
    values: list[object] = []
    flags: dict[str, object] = {}
    files = iter(message.attachments)
    for parameter in parameters:
        given = options.get(parameter.name)
        if parameter.kind == "flag":
            flags[parameter.name] = given is not None and _BOOLEANS.get(given.lower(), False)
        elif parameter.kind == "attachment":
            values.append(next(files, None) or _absent(parameter))
        elif parameter.kind == "many":
            values.extend(parameter.parse(word.value, message) for word in split(given or ""))
            if parameter.required and not values:
                _absent(parameter)
        else:
            values.append(_absent(parameter) if given is None else parameter.parse(given, message))
    return values, flags


def _absent(parameter: Parameter) -> object:
    if parameter.required:
        raise InvalidArgument(parameter.name, "", parameter.expected)
    return parameter.default


# -- compiling a signature ----------------------------------------------------------------------------


def compile_signature(handler: Callable[..., Any], context_type: type | None = None) -> Signature:
    """Read a handler's signature; its first parameter is the context.

    :raises TypeError: if a parameter cannot be read, naming the handler, the parameter and what to do
    """
    try:
        hints = typing.get_type_hints(handler, include_extras=True)
    except NameError as error:
        raise TypeError(f"{_where(handler)}: an annotation cannot be resolved: {error}") from error
    parameters: list[Parameter] = []
    injected: dict[str, type] = {}
    own = list(inspect.signature(handler).parameters.values())
    if not own:
        raise TypeError(f"{_where(handler)}: a handler's first parameter is the context, and it has none")
    for parameter in own[1:]:
        if parameter.name not in hints:
            raise TypeError(f"{_where(handler)}: parameter {parameter.name!r} has no annotation; add its type")
        annotation, optional = _without_none(hints[parameter.name])
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            raise TypeError(f"{_where(handler)}: **{parameter.name} cannot be filled from chat; name each flag")
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            if annotation is not bool:
                raise TypeError(f"{_where(handler)}: keyword-only {parameter.name!r} is a flag, so it must be a bool")
            if parameter.default is True:
                raise TypeError(f"{_where(handler)}: flag {parameter.name!r} is on where it is given, off by default")
            parameters.append(_flag(parameter.name))
            continue
        made = _parameter(parameter, annotation, optional)
        if made is not None:
            parameters.append(made)
        elif isinstance(annotation, type) and not parameters:
            injected[parameter.name] = annotation
        else:
            raise TypeError(
                f"{_where(handler)}: parameter {parameter.name!r} is a {annotation}, which chat cannot fill; "
                "if it is a system, it goes before the arguments"
            )
    greedy = [parameter for parameter in parameters if parameter.kind in ("rest", "many")]
    words = [parameter for parameter in parameters if parameter.kind not in ("flag", "attachment")]
    if greedy and words[-1] is not greedy[0]:
        raise TypeError(f"{_where(handler)}: {greedy[0].name!r} takes all that is left, so it must come last")
    return Signature(tuple(parameters), injected)


def _where(handler: Callable[..., Any]) -> str:
    return f"handler {getattr(handler, '__qualname__', handler)!r}"


def _flag(name: str) -> Parameter:
    return Parameter(name, bool, "flag", lambda text, message: True, f"--{name}", f"--{name}", False, False)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        others = [part for part in typing.get_args(annotation) if part is not type(None)]
        if len(others) == 1 and len(others) < len(typing.get_args(annotation)):
            return others[0], True
    return annotation, False


def _parameter(parameter: inspect.Parameter, annotation: Any, optional: bool) -> Parameter | None:
    many = parameter.kind is inspect.Parameter.VAR_POSITIONAL
    has_default = parameter.default is not inspect.Parameter.empty
    base: Any = annotation
    extras: tuple[Any, ...] = ()
    if typing.get_origin(annotation) is Annotated:
        base, *rest = typing.get_args(annotation)
        extras = tuple(rest)
    reader = _reader_for(parameter.name, base, extras)
    if reader is None:
        return None
    meta = next((extra for extra in extras if isinstance(extra, Meta)), None)
    kind: Literal["word", "rest", "many", "flag", "attachment"] = "many" if many else "word"
    if any(isinstance(extra, _RestOfLine) for extra in extras):
        kind = "rest"
    elif base is Attachment:
        kind = "attachment"
    return Parameter(
        parameter.name,
        base,
        kind,
        reader.parse,
        reader.expected,
        reader.example,
        not (has_default or optional or many),
        parameter.default if has_default else None,
        reader.choices,
        None if meta is None else meta.ge if meta.ge is not None else meta.gt,
        None if meta is None else meta.le if meta.le is not None else meta.lt,
        next((extra.kind for extra in extras if isinstance(extra, Completes)), ""),
        any(isinstance(extra, Secret) for extra in extras),
    )


class _ReaderFor(Struct):
    parse: Callable[[str, Message], object]
    expected: str
    example: str
    choices: tuple[str, ...] = ()


def _reader_for(name: str, base: Any, extras: tuple[Any, ...]) -> _ReaderFor | None:
    meta = next((extra for extra in extras if isinstance(extra, Meta)), Meta())
    if base is str:
        return _text_reader(name, meta)
    if base is bool:
        return _choice_reader(name, _BOOLEANS, "on or off", "on")
    if base is int or base is float:
        return _number_reader(name, base, meta)
    if base is Duration:
        limits = next((extra for extra in extras if isinstance(extra, DurationRange)), DurationRange())
        return _duration_reader(name, limits)
    if base in (UserRef, GuildRef, ChannelRef):
        return _reference_reader(name, base)
    if base is Attachment:
        return _ReaderFor(lambda text, message: text, "a file attached to the message", "")
    if typing.get_origin(base) is Literal:
        return _choice_reader(name, {str(choice): choice for choice in typing.get_args(base)})
    if isinstance(base, type) and issubclass(base, enum.Enum):
        return _choice_reader(name, {member.name.lower(): member for member in base})
    return None


def _text_reader(name: str, meta: Meta) -> _ReaderFor:
    shortest, longest = meta.min_length or 0, meta.max_length or MAX_LENGTH
    pattern = re.compile(meta.pattern) if meta.pattern else None
    expected = meta.description or ("text" if longest == MAX_LENGTH else f"text of at most {longest} characters")

    def parse(text: str, message: Message) -> str:
        if not shortest <= len(text) <= longest or (pattern and not pattern.search(text)):
            raise InvalidArgument(name, text, expected)
        return text

    return _ReaderFor(parse, expected, str(meta.examples[0]) if meta.examples else name)


def _choice_reader(name: str, choices: Mapping[str, object], expected: str = "", example: str = "") -> _ReaderFor:
    names = tuple(choices)
    by_name = {choice.lower(): value for choice, value in choices.items()}
    expected = expected or "one of " + ", ".join(names)

    def parse(text: str, message: Message) -> object:
        try:
            return by_name[text.lower()]
        except KeyError:
            raise InvalidArgument(name, text, expected) from None

    return _ReaderFor(parse, expected, example or names[0], () if choices is _BOOLEANS else names)


_Number = TypeVar("_Number", int, float)


def _number_reader(name: str, base: type[_Number], meta: Meta) -> _ReaderFor:
    kind, pattern = ("a whole number", _INTEGER) if base is int else ("a number", _FLOAT)
    expected = f"{kind}{_bounds(meta)}"

    def parse(text: str, message: Message) -> _Number:
        if not pattern.fullmatch(text) or not math.isfinite(value := base(text)) or not _fits(value, meta):
            raise InvalidArgument(name, text, expected)
        return value

    limits: list[float] = [bound for bound in (meta.ge, meta.gt, meta.le, meta.lt) if bound is not None]
    between = sum(limits[:2]) / 2
    tried = (base(value) for value in (*limits, *(bound + step for bound in limits for step in (1, -1)), 10, between))
    return _ReaderFor(parse, expected, str(next((value for value in tried if _fits(value, meta)), 10)))


def _bounds(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    bounds = {"of at least": meta.ge, "above": meta.gt, "of at most": meta.le, "below": meta.lt}
    told = [f"{words} {bound}" for words, bound in bounds.items() if bound is not None]
    return " " + " and ".join(told) if told else ""


def _fits(value: float, meta: Meta) -> bool:
    return (
        (meta.ge is None or value >= meta.ge)
        and (meta.gt is None or value > meta.gt)
        and (meta.le is None or value <= meta.le)
        and (meta.lt is None or value < meta.lt)
    )


def _duration_reader(name: str, limits: DurationRange) -> _ReaderFor:
    def parse(text: str, message: Message) -> Duration:
        return parse_duration(text, limits, name)

    example = min(max(5_400.0, limits.minimum), limits.maximum)
    return _ReaderFor(parse, _duration_expected(limits), str(Duration(example)))


def _duration_expected(limits: DurationRange) -> str:
    return f"a duration like 90m, 2d or 1w3d, {Duration(limits.minimum)} to {Duration(limits.maximum)}"


def seconds_of(text: str) -> float | None:
    """The seconds in ``1h30m``, in any case; None if it is no length of time with units."""
    written = text.lower()
    if not _DURATION.fullmatch(written):
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in _DURATION_PART.findall(written))


def parse_duration(text: str, limits: DurationRange = DurationRange(), name: str = "duration") -> Duration:  # noqa: B008 (frozen)
    """Read a duration such as ``1h30m``; a bare number has the unit that ``limits`` says.

    :raises InvalidArgument: if it is no duration, or outside ``limits``
    """
    written = text.strip().lower()
    seconds = seconds_of(written)
    if seconds is None and _NUMBER.fullmatch(written):
        seconds = float(written) * _UNITS[limits.bare]
    if seconds is None or not limits.minimum <= seconds <= limits.maximum:
        raise InvalidArgument(name, text, _duration_expected(limits))
    return Duration(seconds)


_Reference = TypeVar("_Reference", bound=UserRef | GuildRef | ChannelRef)


def _reference_reader(name: str, base: type[UserRef | GuildRef | ChannelRef]) -> _ReaderFor:
    noun = base.__name__.removesuffix("Ref").lower()

    def parse(text: str, message: Message) -> object:
        return parse_reference(base, text, message.platform, name)

    return _ReaderFor(parse, f"a {noun}: a mention, or an id", {"user": "@42", "channel": "#general"}.get(noun, "42"))


def parse_reference(base: type[_Reference], text: str, platform: str, name: str = "") -> _Reference:
    """Read a mention (``<@42>``, ``@42``), an id, or an id of another platform (``discord:42``).

    ``@alice:example.org`` is an id as a whole.

    :raises InvalidArgument: if it is none of these
    """
    noun = base.__name__.removesuffix("Ref").lower()
    text = text.strip()
    mention = _MENTIONS[noun].fullmatch(text)
    if mention:
        return base(platform, mention[1])
    sigil = "#" if noun == "channel" else "@"
    plain = text.removeprefix(sigil)
    prefix, colon, rest = plain.partition(":")
    if not _ID.fullmatch(plain):
        raise InvalidArgument(name or noun, text, f"a {noun}: a mention, or an id")
    if colon and text.startswith(sigil):
        return base(platform, text)  # Matrix writes its ids so: @alice:example.org
    if colon and rest and _PLATFORM.fullmatch(prefix):
        return base(prefix, rest)
    return base(platform, plain)
