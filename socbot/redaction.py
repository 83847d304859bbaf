"""Secrets and personal traces taken out of text before it is stored, logged or shown.

By shape (tokens, webhook URLs, passwords in URLs, e-mail addresses, home folders, keys), by the name beside a
value (``password=…``), and by value (``Redactor``, which knows the configuration's own secrets). Runs in time linear
in the text, of which no more than ``MAX_LENGTH`` characters are kept.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeAlias

MAX_LENGTH = 65_536
HIDDEN = "[redacted]"
SHORTEST = 6
"""Characters of the shortest secret that is looked for by value: a shorter one would blank out ordinary words."""

_LONGEST_SHAPE = 1_024  # what may be cut in half at the end of a text, and so is dropped with it

_Rule: TypeAlias = tuple[Callable[[str], bool], "re.Pattern[str]", "str | Callable[[re.Match[str]], str]"]

_SLASH = r"(?:/|\\{1,4}/|%2[Ff])"
_COLON = r"(?::|%3[Aa])"
_QUOTE = r"(?:\\{0,3}[\"']|%22|&quot;|&#39;)"
_KEYS = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key"
    r"|encryption[_-]?key|credentials?|authorization|x-auth|cookie|session[_-]?id|dsn|webhook[_-]?url"
)
_SCHEMES = r"(?:bearer|basic|bot|token|digest|negotiate)"


def redact(text: str, limit: int = MAX_LENGTH) -> str:
    """``text`` without what looks like a secret, an e-mail address or somebody's home folder.

    :param limit: characters kept
    """
    return _within(limit, _LONGEST_SHAPE, text, _by_shape)


class Redactor:
    """``redact``, and the given secrets wherever they stand.

    They are found raw, URL-encoded, in base64, in escaped JSON, and with line breaks inside. Of a URL its password
    is a secret by itself too.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(dict.fromkeys(secrets))
        self._forms: tuple[str, ...] | None = None

    def __call__(self, text: str, limit: int = MAX_LENGTH) -> str:
        """``text`` without them, and no more than ``limit`` characters of it."""
        forms = self._known_forms()
        longest = 2 * len(forms[0]) if forms else 0
        return _within(limit, max(_LONGEST_SHAPE, longest), text, lambda part: _by_shape(_by_value(part, forms)))

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    def _known_forms(self) -> tuple[str, ...]:
        if self._forms is None:
            forms = {form for secret in self._secrets for part in _parts(secret) for form in _forms(part)}
            self._forms = tuple(sorted(forms, key=len, reverse=True))
        return self._forms


def _within(limit: int, slack: int, text: str, clean: Callable[[str], str]) -> str:
    """``clean`` the beginning of ``text``, and drop what of it may end in half a secret."""
    if len(text) <= limit:
        return clean(text)
    cut_off = text[: limit + slack]
    cleaned = clean(cut_off)
    return (cleaned[:-slack] if len(cut_off) < len(text) else cleaned)[:limit] + "…"


# -- by value -----------------------------------------------------------------------------------------

_BREAK = r"(?:[\r\n]|\\{1,4}[rn]|%0[AaDd]){0,4}"
_BREAKS = re.compile(r"[\r\n]|\\{1,4}[rn]|%0[AaDd]")


def _joined(text: str) -> str:
    """``text`` without its line breaks, written out or escaped."""
    return _BREAKS.sub("", text) if "\n" in text or "\r" in text or "\\" in text or "%0" in text else text


@cache
def _broken(form: str) -> "re.Pattern[str]":
    """Finds ``form``, whose line breaks were taken out, with any in it."""
    return re.compile(_BREAK.join(re.escape(character) for character in form))


def _by_value(text: str, forms: tuple[str, ...]) -> str:
    joined = _joined(text) if forms else ""
    for form in forms:
        if form in joined:
            text = _broken(form).sub(HIDDEN, text)
    return text


def _parts(secret: str) -> Iterable[str]:
    yield secret
    match = re.match(r"[a-z][a-z0-9+.-]*://[^/?#]*?:([^/?#]*)@", secret, re.IGNORECASE)
    if match:
        from urllib.parse import unquote

        yield match[1]
        yield unquote(match[1])


def _forms(secret: str) -> Iterable[str]:
    import json
    from urllib.parse import quote, quote_plus

    if len(secret) < SHORTEST:
        return
    raw = secret.encode("utf-8", "surrogatepass")
    plain = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]]
    plain += [text.replace("/", r"\/") for text in plain[:2]]
    plain += [json.dumps(text)[1:-1] for text in plain[1:3]]
    encoded = [quote(raw, safe=""), quote(raw), quote(raw, safe="/:@"), quote_plus(raw)]
    encoded += [re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), text) for text in encoded]
    for form in (*plain, *encoded, *_base64_forms(raw)):
        joined = _joined(form)
        if len(joined) >= SHORTEST:
            yield joined


def _base64_forms(raw: bytes) -> Iterable[str]:
    """What of ``raw`` shows in base64, wherever in the encoded bytes it begins."""
    from base64 import b64encode

    for offset in range(3):
        encoded = b64encode(bytes(offset) + raw).decode().rstrip("=")
        whole = (offset + len(raw)) % 3 == 0
        inner = encoded[(0, 2, 3)[offset] : None if whole else -1]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")
        yield inner.replace("+", "%2B").replace("/", "%2F")


# -- by shape -----------------------------------------------------------------------------------------


def _by_shape(text: str) -> str:
    lowered = text.lower()
    for applies, pattern, replacement in _rules():
        if applies(lowered):
            text = pattern.sub(replacement, text)
    return text


@cache
def _rules() -> tuple[_Rule, ...]:
    """Each rule: whether lower-case text can hold it at all, what to find, what to put there.

    Compiled when first needed, since a start that logs nothing must not pay for it. Every repetition is bounded or
    begins at a border, which keeps the whole linear.
    """
    flags = re.IGNORECASE

    def has(*needles: str) -> Callable[[str], bool]:
        return lambda text: any(needle in text for needle in needles)

    def always(text: str) -> bool:
        return True

    return (
        (
            has("private key"),
            re.compile(
                r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----))*"
                r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
            ),
            HIDDEN,
        ),
        (
            has("webhooks", "hooks.", "webhook.office", "outlook.office"),
            re.compile(
                rf"https?{_COLON}{_SLASH}{{2}}[\w.-]{{0,60}}(?:discord(?:app)?\.com{_SLASH}api{_SLASH}"
                rf"(?:v\d{{1,3}}{_SLASH})?webhooks|hooks\.slack(?:-gov)?\.com|webhook\.office\.com|outlook\.office\.com"
                rf"|hooks\.zapier\.com)[^\s\"'<>`|)\]}}]{{0,1000}}",
                flags,
            ),
            "[redacted webhook URL]",
        ),
        (
            has("webhooks/", r"webhooks\/", "webhooks%2f"),
            re.compile(rf"webhooks{_SLASH}\d{{5,25}}{_SLASH}[\w-]{{1,200}}", flags),
            "[redacted webhook URL]",
        ),
        (
            has("services/t", "/services/"),
            re.compile(r"services/T[A-Z0-9]{5,15}/B[A-Z0-9]{5,15}/[A-Za-z0-9]{8,64}"),
            HIDDEN,
        ),
        (
            has("@"),
            re.compile(r"(?<=://)([^\s/:@\"'<>?#]{0,200}):[^\s\"'<>]{0,500}@"),
            rf"\1:{HIDDEN}@",
        ),
        (
            has("authorization"),
            re.compile(
                rf"(authorization{_QUOTE}?\s{{0,3}}[:=,]\s{{0,3}}(?:b?{_QUOTE})?)(?!\[redacted)"
                rf"(?:{_SCHEMES}(?:\s|%20|\+){{1,3}})?[^\s\"',;)\]}}\\]{{1,4096}}",
                flags,
            ),
            rf"\1{HIDDEN}",
        ),
        (
            has("bearer", "basic", "bot"),
            re.compile(r"\b((?:bearer|basic|bot)(?: |%20|\+))[\w.~+/=-]{20,4096}", flags),
            rf"\1{HIDDEN}",
        ),
        (
            has("eyj"),
            re.compile(r"(?<![\w-])eyJ[\w-]{5,4096}\.[\w-]{2,8192}(?:\.[\w-]{0,1024}){0,3}"),
            HIDDEN,
        ),
        (always, re.compile(r"(?<![\w-])[\w-]{18,40}\.[\w-]{5,8}\.[\w-]{25,100}(?![\w-])"), HIDDEN),
        (has(":"), re.compile(r"(?<!\d)\d{6,12}:[\w-]{30,50}(?![\w-])"), HIDDEN),
        (
            always,
            re.compile(
                r"(?<![A-Za-z0-9])(?:xox[a-z]-[\w-]{8,200}|xapp-[\w-]{8,200}|gh[pousr]_\w{16,255}"
                r"|github_pat_\w{16,255}|glpat-[\w-]{16,100}|AKIA[A-Z0-9]{12,20}|AIza[\w-]{30,50}"
                r"|sk-[\w-]{16,200}|[sr]k_(?:live|test)_\w{10,200}|whsec_[\w+/=-]{16,200}|npm_\w{30,50}"
                r"|pypi-[\w-]{16,300}|soc_[0-9a-f]{16,64}|syt_\w{6,300}|SG\.[\w.-]{20,100})"
            ),
            HIDDEN,
        ),
        (has(*_needles()), _by_key(), _hide_value),
        (
            has("--"),
            re.compile(rf"(--[\w-]{{0,30}}?(?:{_KEYS})[\w-]{{0,30}}[ =])(?!\[redacted)[^\s]{{1,4096}}", flags),
            rf"\1{HIDDEN}",
        ),
        (
            has("@", "%40"),
            re.compile(r"(?<![\w.+%-])[\w.+%-]+?(?:@|%40)(?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24}"),
            "[redacted e-mail]",
        ),
        (
            has("home", "users", "/root"),
            re.compile(
                r"(?:/home|/Users|\b[A-Z]:(?:\\{1,4}|/)Users)(?:/|\\{1,4})"
                r"(?:[^/\\:\"'<>|\r\n]{1,64}(?=\\)|[^\s/\\:\"'<>|,;)\]}]{1,64})"
                r"|(?<![\w./])/root(?![\w-])",
                flags,
            ),
            "~",
        ),
        (always, re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{32,}={0,2}"), _hide_secret),
    )


def _needles() -> tuple[str, ...]:
    return (
        "pass", "pwd", "secret", "token", "key", "credential", "authorization", "x-auth", "cookie", "session",
        "dsn", "webhook",
    )  # fmt: skip


def _by_key() -> "re.Pattern[str]":
    character = r"(?:(?!(?P=open))(?:[^\\]|\\.))"
    value = (
        rf"(?P<open>\\{{0,3}}[\"'])(?:{character}{{0,8192}}(?P=open)|[^\r\n]{{0,8192}})"  # in quotes, closed or not
        r"|[^\s\"',;&)\]}\\][^\s\"',;&)\]}]{0,8192}"  # bare
    )
    return re.compile(
        rf"(?P<key>(?:{_KEYS})[\w-]{{0,30}}(?:{_QUOTE})?\s{{0,3}}(?::|=>|=|,(?=\s?b?[\"'])|%3[Dd])\s{{0,3}}(?:b(?=[\"']))?)"
        rf"(?!{re.escape(HIDDEN)})(?P<value>{value})",
        re.IGNORECASE | re.DOTALL,
    )


def _hide_value(match: "re.Match[str]") -> str:
    mark = match["open"] or ""
    return f"{match['key']}{mark}{HIDDEN}{mark}"


def _hide_secret(match: "re.Match[str]") -> str:
    return HIDDEN if _is_random(match[0]) else match[0]


_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_STAMP = re.compile(r"_\d{8}_\d{6}$")
_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)


def _is_random(run: str) -> bool:
    """Whether an unbroken run of characters is a key rather than words, a path, a rule or a number."""
    sample = _STAMP.sub("", run[:512])  # a backup's name ends so, and its digits are many
    letters = sum(character.isalpha() for character in sample)
    digits = sum(character.isdigit() for character in sample)
    if not letters or not digits or _UUID.fullmatch(run):
        return False
    if _HEX.fullmatch(sample):
        return True
    return digits >= 3 and _bits(sample) >= (4.5 if "/" in sample else 4.0)


def _bits(text: str) -> float:
    """The entropy of ``text``, in bits for each character."""
    from collections import Counter
    from math import log2

    return -sum(count / len(text) * log2(count / len(text)) for count in Counter(text).values())
