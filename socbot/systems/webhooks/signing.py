"""Signatures by the Standard Webhooks scheme, version 1: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret, as the scheme has it."""


def parse_secret(text: str) -> str | None:
    """A secret as it is kept, from base64 with or without its prefix; None if it is none."""
    encoded = text.strip().removeprefix(PREFIX)
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return PREFIX + encoded if SHORTEST <= len(secret) <= LONGEST else None


def signed(secrets: Sequence[str], id: str, at: float, body: bytes) -> dict[str, str]:
    """The headers that let a receiver verify ``body``; one signature for each secret.

    :param at: seconds since 1970, of this try: receivers refuse what is old
    """
    stamp = str(int(at))
    content = f"{id}.{stamp}.".encode() + body
    signatures = (hmac.digest(base64.b64decode(each.removeprefix(PREFIX)), content, "sha256") for each in secrets)
    shown = " ".join(f"v1,{base64.b64encode(signature).decode()}" for signature in signatures)
    headers = {"webhook-id": id, "webhook-timestamp": stamp}
    return headers | {"webhook-signature": shown} if shown else headers
