"""One request to one webhook: what is sent, how the answer is read."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import printable
from socbot.egress import Answer, EgressError
from socbot.systems.signals import Signal
from socbot.systems.webhooks import payloads
from socbot.systems.webhooks.answers import Verdict, decoded, judge
from socbot.systems.webhooks.endpoint import Endpoint
from socbot.systems.webhooks.gates import Gates
from socbot.systems.webhooks.model import UNREADABLE, Attempt
from socbot.systems.webhooks.signing import signed
from socbot.tracebacks import Redact

MOST_SHOWN = 300
"""Characters of an answer that are kept."""

SHORTEST_SECRET = 8
"""Characters of a part of an address that is looked for in answers: a shorter one is an ordinary word."""

_HEADERS = {"content-type": "application/json", "user-agent": "socbot"}
_MESSAGE_ID = re.compile(r"[0-9]{15,25}", re.ASCII)


class Client(Protocol):
    """What sends a request; see ``socbot.egress.Client``."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str] = {}, *, type: str = "") -> Answer: ...

    async def patch(self, url: str, body: bytes, headers: Mapping[str, str] = {}, *, type: str = "") -> Answer: ...


class Parcel(Struct, frozen=True):
    """What goes out together: a signal, or several as a digest.

    :param id: the event's, the same on every try
    :param edits: the message of Discord's that it replaces
    """

    signals: tuple[Signal, ...]
    id: str
    edits: str = ""


class Sent(Struct, frozen=True):
    attempt: Attempt
    verdict: Verdict
    message_id: str = ""


class Sender:
    """Sends parcels, and takes note of the limits that answers speak of."""

    def __init__(self, client: Client, clock: Clock, gates: Gates, redact: Redact, apprise: "Apprise") -> None:
        self._client, self._clock, self.gates, self._redact, self._apprise = client, clock, gates, redact, apprise

    async def send(self, endpoint: Endpoint, parcel: Parcel) -> Sent:
        """Send it once. Nothing is raised but cancellation: what went wrong is in the attempt."""
        address = endpoint.address
        if address is None:
            return Sent(Attempt(False, 0, UNREADABLE, 0.0), Verdict("never"))
        if endpoint.type == "apprise":
            return await self._by_apprise(address, parcel)
        began = self._clock.monotonic()
        try:
            answer = await self._request(endpoint, address, parcel)
        except EgressError as error:
            attempt = Attempt(False, 0, self._shown(str(error), address), self._clock.monotonic() - began)
            return Sent(attempt, Verdict("never" if error.permanent else "again"))
        return self._read(endpoint, address, parcel, answer)

    async def _request(self, endpoint: Endpoint, address: str, parcel: Parcel) -> Answer:
        if endpoint.type == "custom":
            body = payloads.custom(parcel.signals[0])
            headers = _HEADERS | signed(endpoint.secrets, parcel.id, self._clock.time(), body)
            return await self._client.post(address, body, headers)
        if endpoint.type == "slack":
            return await self._client.post(address, payloads.slack(parcel.signals), _HEADERS, type="slack")
        body = payloads.discord(parcel.signals, edit=bool(parcel.edits))
        if parcel.edits:
            return await self._client.patch(edit_url(address, parcel.edits), body, _HEADERS, type="discord")
        return await self._client.post(waiting_url(address), body, _HEADERS, type="discord")

    def _read(self, endpoint: Endpoint, address: str, parcel: Parcel, answer: Answer) -> Sent:
        verdict = judge(endpoint.type, answer.status, answer.headers, answer.body, self._clock.time())
        self.gates.learn(route(endpoint, parcel), service(endpoint), answer.headers, verdict)
        taken = verdict.meaning == "taken"
        shown = "" if taken else self._shown(answer.text, address)
        message_id = _message_id(answer.body) if taken and endpoint.type == "discord" else ""
        return Sent(Attempt(taken, answer.status, shown, answer.seconds), verdict, message_id or parcel.edits)

    async def _by_apprise(self, address: str, parcel: Parcel) -> Sent:
        began = self._clock.monotonic()
        problem = await self._apprise.notify(address, parcel.signals)
        attempt = Attempt(not problem, 0 if problem else 200, problem, self._clock.monotonic() - began)
        return Sent(attempt, Verdict("again" if problem else "taken"))

    def _shown(self, text: str, address: str) -> str:
        """What was answered, without the address and its parts, should they be in it."""
        for secret in sorted(_secret_parts(address), key=len, reverse=True):
            text = text.replace(secret, "…")
        return printable(self._redact(text, 4 * MOST_SHOWN), "").strip()[:MOST_SHOWN]


class Apprise(Protocol):
    """Sends by the library of that name."""

    async def notify(self, address: str, signals: Sequence[Signal]) -> str:
        """What went wrong; nothing if it was taken."""


def waiting_url(address: str) -> str:
    """Where Discord answers once the message is there, with its id."""
    path, query = _split(address)
    return f"{path}?{'&'.join(('wait=true', *query))}"


def edit_url(address: str, message_id: str) -> str:
    path, query = _split(address)
    return f"{path}/messages/{message_id}" + (f"?{'&'.join(query)}" if query else "")


def _split(address: str) -> tuple[str, list[str]]:
    path, _, query = address.partition("?")
    return path.rstrip("/"), [part for part in query.split("&") if part and not part.startswith("wait=")]


def route(endpoint: Endpoint, parcel: Parcel | None = None) -> str:
    """What its limits are counted by: what is done, and where, whatever the webhook is called here."""
    if endpoint.type != "discord":
        return f"send {endpoint.name}"
    place = hashlib.sha256(_split(endpoint.address or "")[0].encode()).hexdigest()[:16]
    return f"{'edit' if parcel is not None and parcel.edits else 'send'} {place}"


def service(endpoint: Endpoint) -> str:
    """The service that all webhooks of its type share; nothing where there is none."""
    return "discord" if endpoint.type == "discord" else ""


def _message_id(body: bytes) -> str:
    found = decoded(body).get("id")
    return found if isinstance(found, str) and _MESSAGE_ID.fullmatch(found) else ""


def _secret_parts(address: str) -> list[str]:
    """The address, and each part of its path and query that is long enough to be a secret."""
    _, _, path = address.partition("://")[2].partition("/")
    return [address, *(part for part in (path, *re.split(r"[/?&=]", path)) if len(part) >= SHORTEST_SECRET)]
