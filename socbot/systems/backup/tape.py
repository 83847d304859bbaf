"""The tar format, as far as it is needed: plain files, whose headers follow from the manifest byte for byte.

Because every header is known beforehand, a reader compares and never interprets: there is no link, device or path
that it could be talked into.
"""

from typing import Final

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
_OCTAL: Final = 8**11 - 1
_KINDS: Final = {
    "1": "a hard link", "2": "a symbolic link", "3": "a device", "4": "a device", "5": "a folder", "6": "a pipe",
    "x": "an extended header", "g": "an extended header", "L": "an extended header", "K": "an extended header",
    "S": "a sparse file",
}  # fmt: skip


def header(name: str, size: int, mode: int, moment: int) -> bytes:
    """What stands before a file's contents.

    :param moment: seconds since 1970
    """
    if (split := _split(name)) is not None and size <= _OCTAL:
        return _block(*split, size, mode, moment, b"0")
    record = _record("path", name) + _record("size", str(size))
    extended = _block("", "extended", len(record), mode, moment, b"x") + record + padding(len(record))
    return extended + _block("", name[-100:], min(size, _OCTAL), mode, moment, b"0")


def padding(size: int) -> bytes:
    """What fills the last block of ``size`` bytes."""
    return bytes(-size % BLOCK)


def described(block: bytes) -> str:
    """What stands in a header that is not the expected one, for the person who reads it."""
    if not any(block):
        return "nothing more"
    name = block[:100].rstrip(b"\0").decode("ascii", "replace")
    prefix = block[345:500].rstrip(b"\0").decode("ascii", "replace")
    kind = _KINDS.get(chr(block[156]), "a file")
    return f"{kind} called {prefix + '/' if prefix else ''}{name}" if block[257:262] == b"ustar" else "no header of tar"


def _block(prefix: str, name: str, size: int, mode: int, moment: int, kind: bytes) -> bytes:
    fields = [
        name.encode("ascii").ljust(100, b"\0"),
        _number(mode, 8), _number(0, 8), _number(0, 8), _number(size, 12), _number(max(0, min(moment, _OCTAL)), 12),
        b" " * 8, kind, bytes(100), b"ustar\x0000", bytes(64), _number(0, 8), _number(0, 8),
        prefix.encode("ascii").ljust(155, b"\0"), bytes(12),
    ]  # fmt: skip
    block = bytearray(b"".join(fields))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _number(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def _split(name: str) -> tuple[str, str] | None:
    """``name`` as its two fields take it; None if they do not."""
    if len(name) <= 100:
        return "", name
    at = name.find("/", len(name) - 101)
    return (name[:at], name[at + 1 :]) if 0 < at <= 155 else None


def _record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode("ascii")
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest
