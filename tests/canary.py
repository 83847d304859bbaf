"""Secrets made up for the tests, and a look for them in everything that leaves the bot (promise P11)."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

# Put together here, so that no scanner takes this file for a leak.
CANARIES: Mapping[str, str] = {
    "bot token": "MTk4NjIyNDgzNDcxOTI1MjQ4" + ".GcAnAr." + "y1-tokenZnCjm1XVW7vRze4b7Cq4se7",
    "discord webhook": "https://discord.com/api/webhooks/" + "198622483471925248/" + "cAnAry2-AbCdEfGhIjKlMnOpQrStUv",
    "slack webhook": "https://hooks.slack.com/services/" + "T0CANARY3/B0CANARY3/" + "cAnAry3abcdefghijklmnopqr",
    "signing secret": "whsec_" + "cAnAry4AbCdEfGhIjKlMnOpQrStUv0123",
    "database URL": "postgresql://socbot:" + "cAnAry5%2Fp%40ssword" + "@db.example.org:5432/socbot",
    "database password": "cAnAry6/p@ss+word",
    "ops token": "ops_" + "cAnAry7-Kj8sLq2mWx9vBn4z",
    "authorization": "Bearer " + "cAnAry8.AbCdEfGhIjKlMnOpQrStUv",
    "API key": "sk-" + "cAnAry9AbCdEfGhIjKlMnOpQrStUvWxYz",
    "JWT": "eyJhbGciOiJIUzI1NiJ9" + ".eyJjYW5hcnkiOiIxMCJ9." + "cAnAry10-dozjgNryP4J3jVmNHl0w5N_XgL0n3I9",
    "private key": "-----BEGIN PRIVATE KEY-----\n" + "MIIcAnAry11BADANBg\nw0BAQEFAASC" + "\n-----END PRIVATE KEY-----",
    "e-mail address": "canary.twelve" + "@mail.example.org",
}  # fmt: skip

_SHORTEST_PART = 12


def leaks(text: str | bytes, canaries: Mapping[str, str] = CANARIES) -> list[str]:
    """Which of ``canaries`` stand in ``text``, and in which form: raw, URL-encoded, in base64, JSON-escaped, or with
    line breaks inside. Of a URL its secret part is looked for as well.
    """
    content = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    joined = _without_breaks(content)
    return [
        f"{name} ({form})"
        for name, secret in canaries.items()
        for part in _parts(secret)
        for form, shown in _forms(part)
        if shown in content or _without_breaks(shown) in joined
    ]


def _parts(secret: str) -> Iterator[str]:
    yield secret
    for part in re.split(r"[\s/@]|Bearer ", secret):
        if "anary" in part.lower() and len(part) >= _SHORTEST_PART:
            yield part


def _forms(secret: str) -> Iterator[tuple[str, str]]:
    yield "raw", secret
    yield "JSON-escaped", json.dumps(secret)[1:-1]
    yield "JSON-escaped twice", json.dumps(json.dumps(secret)[1:-1])[1:-1]
    yield "JSON-escaped with slashes", json.dumps(secret)[1:-1].replace("/", r"\/")
    yield "URL-encoded", quote(secret, safe="")
    yield "URL-encoded path", quote(secret)
    yield "URL-encoded form", quote_plus(secret)
    for offset in range(3):
        encoded = base64.b64encode(b"x" * offset + secret.encode()).decode().rstrip("=")
        inner = encoded[(0, 2, 3)[offset] : -1]
        yield "base64", inner
        yield "base64 for URLs", inner.replace("+", "-").replace("/", "_")


def _without_breaks(text: str) -> str:
    return re.sub(r"[\r\n]|\\[rn]", "", text)
