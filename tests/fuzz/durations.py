"""Lengths of time, as people write them and as they are written back."""

from socbot.dispatch.arguments import YEAR, Duration, DurationRange, parse_duration, seconds_of
from socbot.dispatch.errors import InvalidArgument

PIECES = (
    *"0123456789", "00", "59", "60", "999", "999999999", ".", ".5", "0.9999", "ms", "s", "m", "h", "d", "w", "S", "M",
    "-", "+", " ", "e", "1e9w", "1h30m", "inf", "nan", "٣", "\u2028", "\udc80", "\u017f", "\u212a",
)  # fmt: skip
FRAMES = ("…", "…h…m", "…s", "……ms")
LIMITS = (
    DurationRange(),
    DurationRange(minimum=0, maximum=10 * YEAR, bare="ms"),
    DurationRange(minimum=0, maximum=10 * YEAR, bare="s"),
    DurationRange(minimum=0.25, maximum=100 * YEAR, bare="w"),
)


def fuzz(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for limits in LIMITS:
        try:
            length = parse_duration(text, limits)
        except InvalidArgument:
            continue
        assert limits.minimum <= length <= limits.maximum
        check_written(length)
        units = seconds_of(text.strip())
        assert units is None or units == length


def check_written(length: Duration) -> None:
    """What is written is read again as the same, to the three figures that are written of a fraction."""
    written = str(length)
    again = seconds_of(written)
    assert again is not None, written
    if length >= 1 and length.is_integer():
        assert again == length
    else:
        assert abs(again - length) <= max(0.005 * length, 0.0005) if length < 60 else abs(again - length) <= 0.5
    assert str(Duration(again)) == written
