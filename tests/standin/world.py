"""Discord's world in memory: who and what there is, and who may do what where."""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import anyio

Json: TypeAlias = dict[str, Any]
Emit: TypeAlias = Callable[[str, Json, "Guild | None"], None]

EPOCH_MS = 1_420_070_400_000
# Divisible by every number up to 16: guild n is on shard n % shards.
_FIRST_GUILD_MS = 720_720 * 200_000
_USER_MENTION = re.compile(r"<@!?(\d+)>")
_ROLE_MENTION = re.compile(r"<@&(\d+)>")

TEXT, DM, NEWS, PUBLIC_THREAD, PRIVATE_THREAD = 0, 1, 5, 11, 12
EPHEMERAL, LOADING, SUPPRESS_EMBEDS = 64, 128, 4


class Permission:
    """The bits that anybody here asks about."""

    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_APPLICATION_COMMANDS = 1 << 31
    SEND_MESSAGES_IN_THREADS = 1 << 38
    MODERATE_MEMBERS = 1 << 40

    NONE = 0
    ALL = (1 << 50) - 1
    READ = VIEW_CHANNEL | READ_MESSAGE_HISTORY
    EVERYONE = (
        READ
        | SEND_MESSAGES
        | SEND_MESSAGES_IN_THREADS
        | EMBED_LINKS
        | ATTACH_FILES
        | ADD_REACTIONS
        | USE_APPLICATION_COMMANDS
    )
    BOT = EVERYONE | MANAGE_MESSAGES | MODERATE_MEMBERS


class Bell:
    """Wakes everybody who waits for something to have changed."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        event, self._event = self._event, anyio.Event()
        event.set()

    async def until(self, holds: Callable[[], object], seconds: float, waiting_for: Callable[[], str]) -> None:
        """Return once ``holds()``; what does not ring is looked at too, fifty times a second.

        :raises AssertionError: if it does not within so many seconds; it quotes ``waiting_for()``
        """
        try:
            with anyio.fail_after(seconds):
                while not holds():
                    with anyio.move_on_after(0.02):
                        await self._event.wait()
        except TimeoutError:
            raise AssertionError(f"waited {seconds:g} s for {waiting_for()}") from None


@dataclass(slots=True, eq=False)
class User:
    id: str
    name: str
    bot: bool = False
    dms_open: bool = True

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    def payload(self) -> Json:
        return {
            "id": self.id,
            "username": self.name,
            "global_name": None if self.bot else self.name.title(),
            "discriminator": "0",
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
        }


AnyUser = TypeVar("AnyUser", bound=User)


@dataclass(slots=True, eq=False)
class Role:
    id: str
    name: str
    permissions: int
    position: int
    managed: bool = False

    def payload(self) -> Json:
        return {
            "id": self.id,
            "name": self.name,
            "permissions": str(self.permissions),
            "position": self.position,
            "managed": self.managed,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "mentionable": False,
            "flags": 0,
        }


@dataclass(slots=True, eq=False)
class Member:
    user: User
    joined_at: str
    roles: list[Role] = field(default_factory=list)
    nick: str | None = None
    timed_out_until: str | None = None

    def payload(self, *, user: bool = True) -> Json:
        payload: Json = {
            "roles": [role.id for role in self.roles],
            "joined_at": self.joined_at,
            "nick": self.nick,
            "avatar": None,
            "premium_since": None,
            "communication_disabled_until": self.timed_out_until,
            "deaf": False,
            "mute": False,
            "pending": False,
            "flags": 0,
        }
        return payload | {"user": self.user.payload()} if user else payload


@dataclass(slots=True, eq=False)
class Overwrite:
    """What a channel allows or denies one role or member."""

    id: str
    of_member: bool
    allow: int = 0
    deny: int = 0

    def payload(self) -> Json:
        return {"id": self.id, "type": int(self.of_member), "allow": str(self.allow), "deny": str(self.deny)}


@dataclass(slots=True, eq=False)
class Attachment:
    id: str
    name: str
    content: bytes
    url: str

    def payload(self) -> Json:
        return {
            "id": self.id,
            "filename": self.name,
            "size": len(self.content),
            "url": self.url,
            "proxy_url": self.url,
            "content_type": "application/octet-stream",
        }


@dataclass(slots=True, eq=False)
class Message:
    """One message with all it ever was: ``history`` has its earlier states, oldest first.

    ``by_bot`` is set on what came in over REST: the bot's own, and what it says through webhooks. ``pings`` names
    whom it notified (user ids, role ids, "everyone"); ``index`` is its place in the channel, -1 for an ephemeral one.
    """

    world: "World"
    id: str
    channel: "Channel"
    author: User
    created_at: str
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    kind: int = 0
    reference: "Message | None" = None
    forwarded: "Message | None" = None
    webhook_id: str | None = None
    interaction: "Interaction | None" = None
    nonce: str | None = None
    tts: bool = False
    by_bot: bool = False
    edited_at: str | None = None
    deleted: bool = False
    index: int = -1
    pings: list[str] = field(default_factory=list)
    history: list[Json] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        return bool(self.flags & LOADING)

    @property
    def files(self) -> dict[str, bytes]:
        return {attachment.name: attachment.content for attachment in self.attachments}

    @property
    def text(self) -> str:
        """All that a reader sees, line by line: the content, the embeds and the text of components; no buttons."""
        return "\n".join(filter(None, [self.content, *_embed_lines(self.embeds), *_component_lines(self.components)]))

    @property
    def buttons(self) -> list[str]:
        """The labels of the buttons that can be pressed."""
        return [button.get("label", "") for button in self.parts(2) if not button.get("disabled")]

    def parts(self, *kinds: int) -> list[Json]:
        """The components of these kinds, wherever they are nested."""
        return [part for part in flattened(self.components) if part["type"] in kinds]

    def payload(self) -> Json:
        payload: Json = {
            "id": self.id,
            "channel_id": self.channel.id,
            "author": self.author.payload(),
            "content": self.content,
            "timestamp": self.created_at,
            "edited_timestamp": self.edited_at,
            "tts": self.tts,
            "mention_everyone": "everyone" in self.pings,
            "mentions": self._mentions(),
            "mention_roles": [ping for ping in self.pings if self.channel.guild and ping in self.channel.guild.roles],
            "attachments": [attachment.payload() for attachment in self.attachments],
            "embeds": self.embeds,
            "components": self.components,
            "pinned": False,
            "type": self.kind,
            "flags": self.flags,
        }
        if self.nonce is not None:
            payload["nonce"] = self.nonce
        if self.webhook_id:
            payload["webhook_id"] = self.webhook_id
        self._add_references(payload)
        if self.interaction:
            payload["application_id"] = self.world.application.id
            payload["interaction_metadata"] = self.interaction.metadata()
        return payload

    def event(self) -> Json:
        """The payload with what the gateway adds."""
        payload = self.payload()
        if guild := self.channel.guild:
            payload["guild_id"] = guild.id
            if member := guild.members.get(self.author.id):
                payload["member"] = member.payload(user=False)
        return payload

    def _mentions(self) -> list[Json]:
        users = self.world.users
        return [users[ping].payload() for ping in self.pings if ping in users]

    def _add_references(self, payload: Json) -> None:
        if original := self.reference:
            payload["message_reference"] = {"type": 0, "channel_id": original.channel.id, "message_id": original.id}
            payload["referenced_message"] = None if original.deleted else original.payload()
        if original := self.forwarded:
            payload["message_reference"] = {"type": 1, "channel_id": original.channel.id, "message_id": original.id}
            payload["message_snapshots"] = [{"message": original.payload()}]


def flattened(components: Iterable[Json]) -> Iterable[Json]:
    """Every component, a parent before what is in it."""
    for part in components:
        yield part
        yield from flattened(part.get("components", ()))
        yield from flattened(part[key] for key in ("component", "accessory") if key in part)


def _embed_lines(embeds: Iterable[Json]) -> Iterable[str]:
    for embed in embeds:
        yield embed.get("author", {}).get("name", "")
        yield embed.get("title", "")
        yield embed.get("description", "")
        for shown in embed.get("fields", ()):
            yield shown["name"]
            yield shown["value"]
        yield embed.get("footer", {}).get("text", "")


def _component_lines(components: Iterable[Json]) -> Iterable[str]:
    return (part["content"] for part in flattened(components) if part["type"] == 10)


@dataclass(slots=True, eq=False)
class Channel:
    world: "World"
    id: str
    name: str
    kind: int = TEXT
    guild: "Guild | None" = None
    parent: "Channel | None" = None
    recipient: User | None = None
    overwrites: dict[str, Overwrite] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    by_id: dict[str, Message] = field(default_factory=dict)
    by_nonce: dict[tuple[str, str], Message] = field(default_factory=dict)
    bell: Bell = field(default_factory=Bell)
    read_up_to: int = 0

    @property
    def is_dm(self) -> bool:
        return self.kind == DM

    @property
    def is_thread(self) -> bool:
        return self.kind in (PUBLIC_THREAD, PRIVATE_THREAD)

    @property
    def mention(self) -> str:
        return f"<#{self.id}>"

    def denies(self, whom: "User | Role", permissions: int) -> None:
        """Take permissions away in this channel."""
        overwrite = self._overwrite(whom)
        overwrite.deny |= permissions
        overwrite.allow &= ~permissions
        self._changed()

    def allows(self, whom: "User | Role", permissions: int) -> None:
        overwrite = self._overwrite(whom)
        overwrite.allow |= permissions
        overwrite.deny &= ~permissions
        self._changed()

    def _overwrite(self, whom: "User | Role") -> Overwrite:
        return self.overwrites.setdefault(whom.id, Overwrite(whom.id, of_member=isinstance(whom, User)))

    def _changed(self) -> None:
        self.world.emit("CHANNEL_UPDATE", self.payload(), self.guild)

    def permissions_of(self, user: User) -> int:
        """What a user may do here, by Discord's documented order of roles and overwrites."""
        if self.guild is None:
            return Permission.BOT if user.bot or user is self.recipient else Permission.NONE
        place = self.parent or self
        return self.guild.permissions_of(user, place.overwrites)

    def may_write(self, user: User) -> bool:
        needed = Permission.SEND_MESSAGES_IN_THREADS if self.is_thread else Permission.SEND_MESSAGES
        needed |= Permission.VIEW_CHANNEL
        return self.permissions_of(user) & needed == needed

    def payload(self) -> Json:
        if self.is_dm:
            assert self.recipient
            return {
                "id": self.id,
                "type": DM,
                "recipients": [self.recipient.payload()],
                "last_message_id": self._last_id(),
                "flags": 0,
            }
        assert self.guild
        common: Json = {
            "id": self.id,
            "type": self.kind,
            "guild_id": self.guild.id,
            "name": self.name,
            "parent_id": self.parent.id if self.parent else None,
            "last_message_id": self._last_id(),
            "rate_limit_per_user": 0,
            "flags": 0,
        }
        return common | (self._thread_part() if self.is_thread else self._text_part())

    def _last_id(self) -> str | None:
        return self.messages[-1].id if self.messages else None

    def _thread_part(self) -> Json:
        return {
            "owner_id": self.guild.owner_id if self.guild else "0",
            "message_count": len(self.messages),
            "total_message_sent": len(self.messages),
            "member_count": 1,
            "thread_metadata": {
                "archived": False,
                "locked": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": self.world.iso_now(),
            },
        }

    def _text_part(self) -> Json:
        return {
            "position": 0,
            "topic": None,
            "nsfw": False,
            "permission_overwrites": [overwrite.payload() for overwrite in self.overwrites.values()],
        }


@dataclass(slots=True, eq=False)
class Guild:
    world: "World"
    id: str
    name: str
    owner_id: str
    roles: dict[str, Role] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    has_bot: bool = True

    @property
    def everyone(self) -> Role:
        return self.roles[self.id]

    @property
    def general(self) -> Channel:
        """The first text channel."""
        return next(iter(self.channels.values()))

    @property
    def bot(self) -> Member:
        return self.members[self.world.bot.id]

    def channel(self, name: str) -> Channel:
        """Create a text channel."""
        channel = self._add(Channel(self.world, self.world.snowflake(), name, guild=self))
        self.world.emit("CHANNEL_CREATE", channel.payload(), self)
        return channel

    def thread(self, name: str, in_: Channel | None = None) -> Channel:
        """Create a public thread."""
        parent = in_ or self.general
        thread = Channel(self.world, self.world.snowflake(), name, PUBLIC_THREAD, guild=self, parent=parent)
        self._add(thread)
        self.world.emit("THREAD_CREATE", thread.payload() | {"newly_created": True}, self)
        return thread

    def role(self, name: str, permissions: int = 0, *members: User) -> Role:
        """Create a role above all others, and give it."""
        role = Role(self.world.snowflake(), name, permissions, position=len(self.roles))
        self.roles[role.id] = role
        self.world.emit("GUILD_ROLE_CREATE", {"guild_id": self.id, "role": role.payload()}, self)
        for user in members:
            self.gives(user, role)
        return role

    def gives(self, user: User, role: Role) -> None:
        member = self.members[user.id]
        member.roles.append(role)
        self.member_changed(member)

    def takes(self, user: User, role: Role) -> None:
        member = self.members[user.id]
        member.roles.remove(role)
        self.member_changed(member)

    def bot_may(self, permissions: int) -> None:
        """Set what the bot's own role allows; what @everyone may, the bot may too (see ``Channel.denies``)."""
        self.role_may(self.bot.roles[0], permissions)

    def role_may(self, role: Role, permissions: int) -> None:
        role.permissions = permissions
        self.world.emit("GUILD_ROLE_UPDATE", {"guild_id": self.id, "role": role.payload()}, self)

    def member_changed(self, member: Member) -> None:
        self.world.emit("GUILD_MEMBER_UPDATE", member.payload() | {"guild_id": self.id}, self)

    def joined_by(self, user: User) -> Member:
        member = Member(user, self.world.iso_now())
        self.members[user.id] = member
        self.world.emit("GUILD_MEMBER_ADD", member.payload() | {"guild_id": self.id}, self)
        return member

    def left_by(self, user: User) -> None:
        del self.members[user.id]
        self.world.emit("GUILD_MEMBER_REMOVE", {"guild_id": self.id, "user": user.payload()}, self)

    def loses_bot(self) -> None:
        """The bot was kicked, or left."""
        self.world.emit("GUILD_DELETE", {"id": self.id, "unavailable": False}, self)
        self.has_bot = False
        del self.members[self.world.bot.id]

    def webhook(self, channel: Channel | None = None, name: str = "hook") -> "Webhook":
        webhook = Webhook(self.world, self.world.snowflake(), self.world.secret(), name, channel or self.general)
        self.world.webhooks[webhook.id] = webhook
        return webhook

    def permissions_of(self, user: User, overwrites: Mapping[str, Overwrite] | None = None) -> int:
        member = self.members.get(user.id)
        if member is None:
            return Permission.NONE
        if user.id == self.owner_id:
            return Permission.ALL
        granted = self.everyone.permissions
        for role in member.roles:
            granted |= role.permissions
        if granted & Permission.ADMINISTRATOR:
            return Permission.ALL
        granted = self._overwritten(granted, member, overwrites) if overwrites else granted
        return granted & Permission.READ if self.is_timed_out(member) else granted

    def is_admin(self, user: User) -> bool:
        return bool(self.permissions_of(user) & Permission.ADMINISTRATOR)

    def is_timed_out(self, member: Member) -> bool:
        until = member.timed_out_until
        return until is not None and datetime.fromisoformat(until).timestamp() > self.world.now()

    def outranks(self, one: Member, other: Member) -> bool:
        """Whether ``one`` may moderate ``other``: never the owner, nor an equal."""
        if other.user.id == self.owner_id:
            return False
        return one.user.id == self.owner_id or _rank(one) > _rank(other)

    def _overwritten(self, granted: int, member: Member, overwrites: Mapping[str, Overwrite]) -> int:
        if everyone := overwrites.get(self.id):
            granted = granted & ~everyone.deny | everyone.allow
        of_roles = [overwrites[role.id] for role in member.roles if role.id in overwrites]
        for overwrite in of_roles:
            granted &= ~overwrite.deny
        for overwrite in of_roles:
            granted |= overwrite.allow
        if own := overwrites.get(member.user.id):
            granted = granted & ~own.deny | own.allow
        return granted

    def _add(self, channel: Channel) -> Channel:
        self.channels[channel.id] = channel
        self.world.channels[channel.id] = channel
        return channel

    def partial(self) -> Json:
        return {"id": self.id, "locale": "en-US", "features": []}

    def payload(self, members: Iterable[Member]) -> Json:
        """GUILD_CREATE's payload, with these of its members."""
        places = self.channels.values()
        return {
            "id": self.id,
            "name": self.name,
            "icon": None,
            "owner_id": self.owner_id,
            "unavailable": False,
            "large": len(self.members) > 250,
            "member_count": len(self.members),
            "joined_at": self.bot.joined_at,
            "roles": [role.payload() for role in self.roles.values()],
            "channels": [channel.payload() for channel in places if not channel.is_thread],
            "threads": [channel.payload() for channel in places if channel.is_thread],
            "members": [member.payload() for member in members],
            "emojis": [],
            "stickers": [],
            "features": [],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
            "preferred_locale": "en-US",
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "premium_tier": 0,
            "system_channel_flags": 0,
        }


def _rank(member: Member) -> int:
    return max((role.position for role in member.roles), default=0)


@dataclass(slots=True, eq=False)
class Webhook:
    """A webhook of a channel; what is POSTed to ``url`` is said by it."""

    world: "World"
    id: str
    token: str
    name: str
    channel: Channel
    deleted: bool = False

    @property
    def url(self) -> str:
        return f"{self.world.api}/webhooks/{self.id}/{self.token}"

    @property
    def author(self) -> User:
        return User(self.id, self.name, bot=True)

    def says(self, content: str) -> Message:
        """What somebody else's program says through it."""
        return self.world.post(self.channel, self.author, content=content, webhook_id=self.id)

    def payload(self) -> Json:
        return {
            "id": self.id,
            "type": 1,
            "name": self.name,
            "avatar": None,
            "token": self.token,
            "channel_id": self.channel.id,
            "guild_id": self.channel.guild.id if self.channel.guild else None,
            "application_id": None,
        }


@dataclass(slots=True, eq=False)
class Modal:
    """A form that the bot showed."""

    interaction: "Interaction"
    custom_id: str
    title: str
    components: list[Json]
    closed: bool = False

    @property
    def inputs(self) -> list[Json]:
        """The text inputs; ``custom_id``, ``label``, ``value``, ``required`` and so on as the bot sent them."""
        return [part for part in flattened(self.components) if part["type"] == 4]

    def label_of(self, custom_id: str) -> str:
        for part in flattened(self.components):
            if part["type"] == 18 and part["component"].get("custom_id") == custom_id:
                return str(part["label"])
            if part["type"] == 4 and part["custom_id"] == custom_id and "label" in part:
                return str(part["label"])
        raise AssertionError(f"the form {self.title!r} has no input {custom_id!r}")


@dataclass(slots=True, eq=False)
class Interaction:
    """Somebody used a command, a component, or a form; and how the bot answered.

    ``callback`` is the type of the first answer (None until there is one), ``original`` the message that stands for
    it, ``shown`` the last message that the user got to see as an answer, ``followups`` what was sent besides;
    ``choices`` are those of an autocompletion.
    """

    world: "World"
    id: str
    token: str
    kind: int
    user: User
    channel: Channel
    data: Json
    message: Message | None = None
    created: float = field(default_factory=time.monotonic)
    acknowledged: float | None = None
    callback: int | None = None
    original: Message | None = None
    shown: Message | None = None
    followups: list[Message] = field(default_factory=list)
    deferred: bool = False
    modal: Modal | None = None
    choices: list[Json] | None = None
    expired: bool = False
    bell: Bell = field(default_factory=Bell)

    @property
    def is_answered(self) -> bool:
        """Whether the user sees more than that the bot is thinking."""
        return bool(self.modal or self.shown or self.choices is not None)

    def show(self, message: Message) -> None:
        """Let the user see this as the answer."""
        self.shown = message
        self.bell.ring()

    def expire(self) -> None:
        """Let its fifteen minutes be over."""
        self.expired = True

    def metadata(self) -> Json:
        return {
            "id": self.id,
            "type": self.kind,
            "user": self.user.payload(),
            "authorizing_integration_owners": self._owners(),
        }

    def _owners(self) -> Json:
        return {"0": self.channel.guild.id if self.channel.guild else "0"}

    def payload(self) -> Json:
        guild, world = self.channel.guild, self.world
        payload: Json = {
            "id": self.id,
            "application_id": world.application.id,
            "type": self.kind,
            "data": self.data,
            "channel_id": self.channel.id,
            "channel": self.channel.payload(),
            "token": self.token,
            "version": 1,
            "locale": "en-US",
            "app_permissions": str(self.channel.permissions_of(world.bot)),
            "entitlements": [],
            "authorizing_integration_owners": self._owners(),
            "context": 0 if guild else 1,
            "attachment_size_limit": 10 * 1024 * 1024,
        }
        if guild:
            payload |= {"guild_id": guild.id, "guild": guild.partial(), "guild_locale": "en-US"}
            payload["member"] = resolved_member(self.channel, self.user) | {"user": self.user.payload()}
        else:
            payload["user"] = self.user.payload()
        if self.message:
            payload["message"] = self.message.payload()
        return payload


def resolved_member(channel: Channel, user: User) -> Json:
    """A member as interactions show it: without the user, with the permissions in the channel."""
    assert channel.guild
    member = channel.guild.members[user.id]
    return member.payload(user=False) | {"permissions": str(channel.permissions_of(user))}


@dataclass(slots=True, eq=False)
class Application:
    """The registered application; ``message_content`` and ``members`` are its privileged intents' switches.

    The first of its team owns it; ``read_only`` names those of the team who may change nothing.
    """

    id: str
    name: str
    owner: User
    message_content: bool = True
    members: bool = True
    presences: bool = False
    verified: bool = False
    team: list[User] = field(default_factory=list)
    invited_to_team: list[User] = field(default_factory=list)
    read_only: list[User] = field(default_factory=list)

    @property
    def flags(self) -> int:
        """The pairs of flags, verified and not, in which Discord shows the switches."""
        shift = 0 if self.verified else 1
        presences, members, content = 12 + shift, 14 + shift, 18 + shift
        return self.presences << presences | self.members << members | self.message_content << content

    def payload(self) -> Json:
        return {
            "id": self.id,
            "name": self.name,
            "description": "",
            "icon": None,
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": self.owner.payload(),
            "team": self._team() if self.team else None,
            "flags": self.flags,
            "integration_types_config": {"0": {}},
            "redirect_uris": [],
        }

    def _team(self) -> Json:
        members = [(user, 2) for user in self.team] + [(user, 1) for user in self.invited_to_team]
        return {
            "id": self.id,
            "name": f"{self.name}'s team",
            "icon": None,
            "owner_user_id": self.team[0].id,
            "members": [
                {
                    "membership_state": state,
                    "role": "read_only" if user in self.read_only else "developer",
                    "team_id": self.id,
                    "permissions": ["*"],
                    "user": user.payload(),
                }
                for user, state in members
            ],
        }


class World:
    """Everything there is. Whatever changes is told to ``emit``, for the gateway to pass on.

    ``commands`` has the registered application commands, by guild id ("" for the global ones).
    """

    def __init__(self, now: Callable[[], float], secret: Callable[[], str]) -> None:
        self.now, self.secret = now, secret
        self.api = ""
        self.cdn = ""
        self.emit: Emit = lambda event, payload, guild: None
        self.changed = Bell()
        self._last_id = 0
        self.users: dict[str, User] = {}
        self.guilds: dict[str, Guild] = {}
        self.channels: dict[str, Channel] = {}
        self.dms: dict[str, Channel] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.attachments: dict[str, Attachment] = {}
        self.interactions: dict[str, Interaction] = {}
        self.commands: dict[str, list[Json]] = {}
        self.bot = self.add(User(self.snowflake(), "socbot", bot=True))
        self.application = Application(self.bot.id, "socbot", self.add(User(self.snowflake(), "maker")))

    def snowflake(self) -> str:
        """The next id; it tells the time, and later ones are greater."""
        self._last_id = max(self._last_id + 1, (int(self.now() * 1000) - EPOCH_MS) << 22)
        return str(self._last_id)

    def iso_now(self) -> str:
        return datetime.fromtimestamp(self.now(), UTC).isoformat()

    def add(self, user: AnyUser) -> AnyUser:
        self.users[user.id] = user
        return user

    def guild(self, name: str, owner: User, members: Iterable[User] = ()) -> Guild:
        """Create a guild that the bot is in, with one text channel."""
        guild = Guild(self, str((_FIRST_GUILD_MS + len(self.guilds)) << 22), name, owner.id)
        guild.roles[guild.id] = Role(guild.id, "@everyone", Permission.EVERYONE, position=0)
        own_role = Role(self.snowflake(), self.bot.name, Permission.BOT, position=1, managed=True)
        guild.roles[own_role.id] = own_role
        for user in dict.fromkeys([self.bot, owner, *members]):
            guild.members[user.id] = Member(user, self.iso_now())
        guild.bot.roles.append(own_role)
        guild.channel("general")
        self.guilds[guild.id] = guild
        news = guild.payload([guild.bot])
        del news["unavailable"]  # as for a guild that the bot has just joined
        self.emit("GUILD_CREATE", news, guild)
        return guild

    def dm(self, user: User) -> Channel:
        """The bot's conversation with a user."""
        if user.id not in self.dms:
            channel = Channel(self, self.snowflake(), f"@{user.name}", DM, recipient=user)
            self.dms[user.id] = self.channels[channel.id] = channel
        return self.dms[user.id]

    def attachment(self, channel: Channel, name: str, content: bytes) -> Attachment:
        id = self.snowflake()
        attachment = Attachment(id, name, content, f"{self.cdn}/attachments/{channel.id}/{id}/{name}")
        self.attachments[id] = attachment
        return attachment

    def post(self, channel: Channel, author: User, **fields: Any) -> Message:
        """Say something; ephemeral messages are in no channel and on no gateway."""
        message = Message(self, self.snowflake(), channel, author, self.iso_now(), **fields)
        if not message.by_bot:
            message.pings = mentioned(message.content)
            if message.reference:
                message.pings.append(message.reference.author.id)
        if not message.ephemeral:
            self._append(message)
            self.emit("MESSAGE_CREATE", message.event(), channel.guild)
        self.changed.ring()
        return message

    def _append(self, message: Message) -> None:
        channel = message.channel
        message.index = len(channel.messages)
        channel.messages.append(message)
        channel.by_id[message.id] = message
        if message.nonce:
            channel.by_nonce[message.author.id, message.nonce] = message
        channel.bell.ring()

    def edit(self, message: Message, **fields: Any) -> None:
        message.history.append(message.payload())
        for name, value in fields.items():
            setattr(message, name, value)
        message.edited_at = self.iso_now()
        if not message.ephemeral:
            self.emit("MESSAGE_UPDATE", message.event(), message.channel.guild)
        message.channel.bell.ring()
        self.changed.ring()

    def delete(self, message: Message) -> None:
        message.deleted = True
        message.channel.by_id.pop(message.id, None)
        gone: Json = {"id": message.id, "channel_id": message.channel.id}
        if message.channel.guild:
            gone["guild_id"] = message.channel.guild.id
        if not message.ephemeral:
            self.emit("MESSAGE_DELETE", gone, message.channel.guild)
        message.channel.bell.ring()
        self.changed.ring()

    def interact(
        self, kind: int, user: User, channel: Channel, data: Json, message: Message | None = None
    ) -> Interaction:
        interaction = Interaction(self, self.snowflake(), self.secret(), kind, user, channel, data, message)
        self.interactions[interaction.token] = interaction
        self.emit("INTERACTION_CREATE", interaction.payload(), channel.guild)
        return interaction


def mentioned(content: str) -> list[str]:
    """Whom a text would ping, if everything in it did."""
    everyone = ["everyone"] if "@everyone" in content or "@here" in content else []
    return [*dict.fromkeys(_USER_MENTION.findall(content)), *_ROLE_MENTION.findall(content), *everyone]
