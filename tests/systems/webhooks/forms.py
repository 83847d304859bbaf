"""The forms in which receivers ask to be left alone for a while, with what each is to be taken for."""

import json
from email.utils import formatdate

from msgspec import Struct

NOW = 1_700_000_000.0


class Form(Struct, frozen=True):
    """:param wait: seconds; 0 where nothing usable was said"""

    wait: float
    header: str = ""
    content: object = None
    date: str = ""

    @property
    def headers(self) -> dict[str, str]:
        named = {"retry-after": self.header, "date": self.date}
        return {name: value for name, value in named.items() if value}

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else b"" if self.content is None else _json(self.content)

    def __str__(self) -> str:
        return f"{self.header or '-'} {self.content if self.content is not None else '-'} {self.date}".strip()[:60]


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


def _at(seconds: float) -> str:
    return formatdate(NOW + seconds, usegmt=True)


FORMS: tuple[Form, ...] = (
    # in the header, as a number
    Form(1.0, "1"), Form(5.0, "5"), Form(30.0, " 30 "), Form(1.5, "1.5"), Form(0.25, "0.25"), Form(120.0, "120.000"),
    Form(64.57, "64.57"), Form(7.0, "007"), Form(1e9, "1e9"), Form(1e9, "1E+9"), Form(1e9, "1000000000"),
    Form(1e10, "99999999999999"), Form(3.0, "3, 2"), Form(9.0, "2, 9"),
    # in the header, nothing usable
    Form(0.0, "0"), Form(0.0, "0.0"), Form(0.0, "-1"), Form(0.0, "-0.5"), Form(0.0, "NaN"), Form(0.0, "nan"),
    Form(0.0, "inf"), Form(0.0, "-inf"), Form(0.0, "1e999"), Form(0.0, "soon"), Form(0.0, "1_000"), Form(0.0, "٣"),
    Form(0.0, "0x10"), Form(0.0, "1 s"), Form(0.0, "10s"), Form(0.0, ""), Form(0.0, ";"), Form(0.0, "1.2.3"),
    # in the header, as a date
    Form(60.0, _at(60)), Form(1.0, _at(1)), Form(86_400.0, _at(86_400)),
    Form(20.0, "Tuesday, 14-Nov-23 22:13:40 GMT"), Form(20.0, "Tue Nov 14 22:13:40 2023"),
    Form(20.0, "Tue, 14 Nov 2023 23:13:40 +0100"), Form(10.0, _at(3_610), date=_at(3_600)),
    Form(40.0, _at(40), date="not a date"),
    # in the header, as a date that is of no use
    Form(0.0, _at(0)), Form(0.0, _at(-60)), Form(0.0, "Thu, 01 Jan 1970 00:00:00 GMT"), Form(0.0, _at(5), date=_at(9)),
    Form(0.0, "Tue, 99 Nov 2023 22:13:40 GMT"), Form(0.0, "Tue, 14 Nov 2023 99:99:99 GMT"), Form(0.0, "12:00"),
    # in the body
    Form(1.0, content={"retry_after": 1}), Form(64.57, content={"retry_after": 64.57, "global": False}),
    Form(0.3, content={"retry_after": 0.3}), Form(2.0, content={"retry_after": "2"}),
    Form(1e10, content={"retry_after": 1e300}),
    Form(0.0, content={"retry_after": 0}), Form(0.0, content={"retry_after": -3}),
    Form(0.0, content={"retry_after": None}), Form(0.0, content={"retry_after": True}),
    Form(0.0, content={"retry_after": [5]}), Form(0.0, content={"retry_after": "later"}),
    Form(0.0, content=b'{"retry_after": NaN}'), Form(0.0, content=b"[5]"), Form(0.0, content=b"{"),
    # in both
    Form(7.0, "5", {"retry_after": 7}), Form(7.0, "7", {"retry_after": 5}), Form(4.0, "soon", {"retry_after": 4}),
    Form(4.0, "4", {"retry_after": "soon"}), Form(60.0, _at(60), {"retry_after": 1.5}),
    Form(0.0, "-1", {"retry_after": 0}),
)  # fmt: skip
