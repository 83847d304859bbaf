"""The REST routes that a bot needs: who may do what, what Discord answers, and a record of what was asked."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

import msgspec
from aiohttp import BodyPartReader, web
from msgspec import Struct

from tests.standin import schema
from tests.standin.gateway import Gateway
from tests.standin.world import (
    EPHEMERAL,
    LOADING,
    Attachment,
    Channel,
    Guild,
    Json,
    Message,
    Permission,
    User,
    Webhook,
    World,
    mentioned,
)

PREFIX = "/api/v10"
_encode = msgspec.json.encode


class Request(Struct, frozen=True):
    """One request as it came; ``at`` is monotonic, ``path`` without the version's prefix.

    ``reason`` is what it gives for the audit log.
    """

    at: float
    method: str
    path: str
    body: Any
    files: tuple[str, ...]
    status: int
    reason: str = ""


class Refusal(Exception):
    """What Discord says no with."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(slots=True, eq=False)
class Call:
    """A request, taken apart. ``files`` are names and contents in the order of their numbers."""

    method: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    authorization: str
    reason: str = ""
    body: Any = None
    files: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def file_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.files)


Route: TypeAlias = Callable[[Call], Json | list[Json] | None]


class Rest:
    """The routes, over the world. ``complaints`` collects what no bot should have sent."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        self.world, self._gateway = world, gateway
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.typing: list[Channel] = []

    def routes(self) -> list[web.RouteDef]:
        channel, messages = "/channels/{channel}", "/channels/{channel}/messages"
        commands, guild = "/applications/{application}/commands", "/applications/{application}/guilds/{guild}/commands"
        table: list[tuple[str, str, Route]] = [
            ("GET", "/users/@me", lambda call: self.world.bot.payload()),
            ("GET", "/oauth2/applications/@me", lambda call: self.world.application.payload()),
            ("GET", "/applications/@me", lambda call: self.world.application.payload()),
            ("GET", "/gateway", lambda call: {"url": f"{self._gateway.url}/gateway"}),
            ("GET", "/gateway/bot", lambda call: self._gateway.limits()),
            ("POST", "/users/@me/channels", self._open_dm),
            ("DELETE", "/users/@me/guilds/{guild}", self._leave),
            ("GET", "/users/{user}", lambda call: self._user(call.params["user"]).payload()),
            ("GET", "/guilds/{guild}", lambda call: self._guild(call).payload(())),
            ("GET", "/guilds/{guild}/members/{user}", self._get_member),
            ("PATCH", "/guilds/{guild}/members/{user}", self._edit_member),
            ("GET", channel, lambda call: self.channel(call).payload()),
            ("POST", channel + "/typing", self._type),
            ("POST", messages, self._send),
            ("GET", messages + "/{message}", lambda call: self._message(call).payload()),
            ("PATCH", messages + "/{message}", self._edit),
            ("DELETE", messages + "/{message}", self._delete),
            ("GET", commands, self._get_commands),
            ("PUT", commands, self._put_commands),
            ("GET", guild, self._get_commands),
            ("PUT", guild, self._put_commands),
        ]
        return [self.route(*entry) for entry in table]

    def route(self, method: str, path: str, answer: Route, *, open_to_all: bool = False) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            call = await _taken_apart(request)
            response = self._answered(answer, call, open_to_all)
            self._record(call, response.status)
            return response

        return web.route(method, PREFIX + path, handle)

    async def unknown(self, request: web.Request) -> web.Response:
        call = await _taken_apart(request)
        self._record(call, 404)
        self.complaints.append(f"{call.method} {call.path}: no such route")
        return _error(Refusal(404, 0, "404: Not Found"))

    async def attachment(self, request: web.Request) -> web.Response:
        """What the CDN serves."""
        found = self.world.attachments.get(request.match_info["attachment"])
        return web.Response(body=found.content) if found else web.Response(status=404)

    def _answered(self, answer: Route, call: Call, open_to_all: bool) -> web.Response:
        try:
            if not open_to_all:
                self._authorize(call)
            result = answer(call)
        except Refusal as refusal:
            return _error(refusal)
        if result is None:
            return web.Response(status=204)
        return web.Response(body=_encode(result), content_type="application/json")

    def _authorize(self, call: Call) -> None:
        if call.authorization != f"Bot {self._gateway.token}" or self._gateway.token_was_reset:
            raise Refusal(401, 0, "401: Unauthorized")

    def _record(self, call: Call, status: int) -> None:
        seen = Request(time.monotonic(), call.method, call.path, call.body, call.file_names, status, call.reason)
        self.requests.append(seen)
        self.world.changed.ring()

    def refuse_if(self, complaints: Sequence[str], call: Call) -> None:
        """Refuse a body, and remember why."""
        if complaints:
            self.complaints += [f"{call.method} {call.path}: {complaint}" for complaint in complaints]
            raise Refusal(400, 50035, "Invalid Form Body: " + "; ".join(complaints))

    # People, guilds and members

    def _user(self, id: str) -> User:
        if id not in self.world.users:
            raise Refusal(404, 10013, "Unknown User")
        return self.world.users[id]

    def _guild(self, call: Call) -> Guild:
        guild = self.world.guilds.get(call.params["guild"])
        if guild is None or not guild.has_bot:
            raise Refusal(404, 10004, "Unknown Guild")
        return guild

    def _open_dm(self, call: Call) -> Json:
        user = self._user(str(call.body["recipient_id"]))
        if user is self.world.bot:
            raise Refusal(400, 50007, "Cannot send messages to this user")
        return self.world.dm(user).payload()

    def _leave(self, call: Call) -> None:
        self._guild(call).loses_bot()

    def _get_member(self, call: Call) -> Json:
        member = self._guild(call).members.get(call.params["user"])
        if member is None:
            raise Refusal(404, 10007, "Unknown Member")
        return member.payload()

    def _edit_member(self, call: Call) -> Json:
        self.refuse_if(schema.check_member_edit(call.body, self.world.now()), call)
        guild = self._guild(call)
        member = guild.members.get(call.params["user"])
        if member is None:
            raise Refusal(404, 10007, "Unknown Member")
        may = guild.permissions_of(self.world.bot) & Permission.MODERATE_MEMBERS
        if not may or not guild.outranks(guild.bot, member) or guild.is_admin(member.user):
            raise Refusal(403, 50013, "Missing Permissions")
        if "communication_disabled_until" in call.body:
            member.timed_out_until = call.body["communication_disabled_until"]
        member.nick = call.body.get("nick", member.nick)
        guild.member_changed(member)
        return member.payload()

    # Channels and messages

    def channel(self, call: Call) -> Channel:
        channel = self.world.channels.get(call.params["channel"])
        if channel is None:
            raise Refusal(404, 10003, "Unknown Channel")
        if channel.guild and not channel.guild.has_bot:
            raise Refusal(403, 50001, "Missing Access")
        if not channel.permissions_of(self.world.bot) & Permission.VIEW_CHANNEL:
            raise Refusal(403, 50001, "Missing Access")
        return channel

    def _message(self, call: Call) -> Message:
        message = self.channel(call).by_id.get(call.params["message"])
        if message is None:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def _type(self, call: Call) -> None:
        self.typing.append(self._writable(call))

    def _writable(self, call: Call) -> Channel:
        channel = self.channel(call)
        if channel.recipient and not channel.recipient.dms_open:
            raise Refusal(403, 50007, "Cannot send messages to this user")
        if not channel.may_write(self.world.bot):
            raise Refusal(403, 50013, "Missing Permissions")
        return channel

    def _send(self, call: Call) -> Json:
        self.refuse_if(schema.check_message(call.body, call.file_names), call)
        channel = self._writable(call)
        self._refuse_what_is_not_granted(channel, call)
        if said_before := self._said_before(channel, call.body):
            return said_before.payload()
        reference = self._referenced(channel, call.body)
        fields = self.fields(call.body, call.files, channel, reference)
        message = self.world.post(channel, self.world.bot, by_bot=True, **fields)
        return message.payload()

    def _refuse_what_is_not_granted(self, channel: Channel, call: Call) -> None:
        granted = channel.permissions_of(self.world.bot)
        if call.files and not granted & Permission.ATTACH_FILES:
            raise Refusal(403, 50013, "Missing Permissions")
        if call.body.get("embeds") and not granted & Permission.EMBED_LINKS:
            raise Refusal(403, 50013, "Missing Permissions")
        if call.body.get("message_reference") and not granted & Permission.READ_MESSAGE_HISTORY:
            raise Refusal(403, 160002, "You cannot reply without permission to read message history")

    def _said_before(self, channel: Channel, body: Json) -> Message | None:
        if not body.get("enforce_nonce"):
            return None
        return channel.by_nonce.get((self.world.bot.id, str(body["nonce"])))

    def _referenced(self, channel: Channel, body: Json) -> Message | None:
        asked = body.get("message_reference")
        if not asked:
            return None
        found = channel.by_id.get(str(asked["message_id"]))
        if found is None and asked.get("fail_if_not_exists", True):
            raise Refusal(400, 50035, "Invalid Form Body: message_reference: Unknown message")
        return found

    def fields(
        self, body: Json, files: Sequence[tuple[str, bytes]], channel: Channel, reference: Message | None = None
    ) -> Json:
        """What a body says about a new message."""
        attachments = [self.world.attachment(channel, name, content) for name, content in files]
        return {
            "content": body.get("content") or "",
            "embeds": [{"type": "rich"} | embed for embed in body.get("embeds") or ()],
            "components": body.get("components") or [],
            "attachments": attachments,
            "flags": body.get("flags") or 0,
            "nonce": None if body.get("nonce") is None else str(body["nonce"]),
            "tts": body.get("tts", False),
            "reference": reference,
            "kind": 19 if reference else 0,
            "pings": _pings(body, reference),
        }

    def _edit(self, call: Call) -> Json:
        message = self._message(call)
        if message.author is not self.world.bot:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        self.refuse_if(schema.check_message(call.body, call.file_names, edit=True), call)
        self._refuse_what_is_not_granted(message.channel, call)
        self.change(message, call.body, call.files)
        return message.payload()

    def change(self, message: Message, body: Json, files: Sequence[tuple[str, bytes]]) -> None:
        """Edit a message by a body: what it does not name stays; attachments that it does not list go."""
        fields: Json = {key: body[key] or [] for key in ("embeds", "components") if key in body}
        if "content" in body:
            fields["content"] = body["content"] or ""
        if "attachments" in body or files:
            fields["attachments"] = self._kept(message, body) + [
                self.world.attachment(message.channel, name, content) for name, content in files
            ]
        fields["flags"] = message.flags & EPHEMERAL | body.get("flags", message.flags) & ~EPHEMERAL & ~LOADING
        self.world.edit(message, **fields)

    def _kept(self, message: Message, body: Json) -> list[Attachment]:
        if "attachments" not in body:
            return message.attachments
        kept = {str(entry["id"]) for entry in body["attachments"]}
        return [attachment for attachment in message.attachments if attachment.id in kept]

    def _delete(self, call: Call) -> None:
        message = self._message(call)
        if message.author is not self.world.bot:
            if message.channel.is_dm:
                raise Refusal(403, 50003, "Cannot execute action on a DM channel")
            if not message.channel.permissions_of(self.world.bot) & Permission.MANAGE_MESSAGES:
                raise Refusal(403, 50013, "Missing Permissions")
        self.world.delete(message)

    # Application commands

    def _scope(self, call: Call) -> str:
        if call.params["application"] != self.world.application.id:
            raise Refusal(403, 20012, "You are not authorized to perform this action on this application")
        if "guild" in call.params and call.params["guild"] not in self.world.guilds:
            raise Refusal(403, 50001, "Missing Access")
        return call.params.get("guild", "")

    def _get_commands(self, call: Call) -> list[Json]:
        return self.world.commands.get(self._scope(call), [])

    def _put_commands(self, call: Call) -> list[Json]:
        """Replace all; one that stays by type and name keeps its id."""
        scope = self._scope(call)
        self.refuse_if(schema.check_commands(call.body), call)
        ids = {(old["type"], old["name"]): old["id"] for old in self.world.commands.get(scope, ())}
        self.world.commands[scope] = [self._registered(asked, scope, ids) for asked in call.body]
        self.world.changed.ring()
        return self.world.commands[scope]

    def _registered(self, asked: Json, scope: str, ids: dict[tuple[int, str], str]) -> Json:
        kind = asked.get("type", 1)
        known: Json = {
            "id": ids.get((kind, asked["name"])) or self.world.snowflake(),
            "application_id": self.world.application.id,
            "version": self.world.snowflake(),
            "type": kind,
            "description": "",
            "default_member_permissions": None,
            "nsfw": False,
        }
        if scope:
            known["guild_id"] = scope
        return known | asked

    # Webhooks of channels

    def webhook(self, call: Call) -> Webhook:
        webhook = self.world.webhooks.get(call.params["webhook"])
        if webhook is None or webhook.deleted:
            raise Refusal(404, 10015, "Unknown Webhook")
        if webhook.token != call.params["token"]:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        return webhook

    def execute_webhook(self, call: Call) -> Json | None:
        webhook = self.webhook(call)
        self.refuse_if(schema.check_message(call.body, call.file_names, webhook=True), call)
        fields = self.fields(call.body, call.files, webhook.channel)
        message = self.world.post(webhook.channel, webhook.author, by_bot=True, webhook_id=webhook.id, **fields)
        return message.payload() if call.query.get("wait") in ("true", "1", "True") else None


def _pings(body: Json, reference: Message | None) -> list[str]:
    """Whom a message from the API notifies, after its ``allowed_mentions``."""
    named = mentioned(body.get("content") or "")
    allowed = body.get("allowed_mentions")
    if allowed is None:
        return named + ([reference.author.id] if reference else [])
    parse = allowed.get("parse", ())
    listed = {*map(str, allowed.get("users", ())), *map(str, allowed.get("roles", ()))}
    everyone = ["everyone"] if "everyone" in named and "everyone" in parse else []
    replied = [reference.author.id] if reference and allowed.get("replied_user") else []
    all_of_them = {"users", "roles"} & {*parse}
    return [ping for ping in named if ping in listed or (all_of_them and ping != "everyone")] + everyone + replied


def _error(refusal: Refusal) -> web.Response:
    body = _encode({"message": str(refusal), "code": refusal.code})
    return web.Response(status=refusal.status, body=body, content_type="application/json")


async def _taken_apart(request: web.Request) -> Call:
    path = request.path.removeprefix(PREFIX)
    authorization = request.headers.get("Authorization", "")
    reason = unquote(request.headers.get("X-Audit-Log-Reason", ""))
    call = Call(request.method, path, {**request.match_info}, {**request.query}, authorization, reason)
    if request.content_type.startswith("multipart/"):
        await _read_parts(request, call)
    elif text := await request.read():
        call.body = json.loads(text)
    return call


async def _read_parts(request: web.Request, call: Call) -> None:
    files: dict[int, tuple[str, bytes]] = {}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        content, name = bytes(await part.read()), part.name or ""
        if name == "payload_json":
            call.body = json.loads(content)
        else:
            files[int(name.removeprefix("files[").removesuffix("]"))] = (part.filename or "", content)
    call.files = [files[number] for number in sorted(files)]
