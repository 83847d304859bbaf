"""socbot: chat commands flow through a chain of middleware that an operator arranges."""

TYPE_CHECKING = False  # as mypy understands it: importing typing would take longer than all of this file
if TYPE_CHECKING:
    from socbot.bot import Bot
    from socbot.config import Config
    from socbot.dispatch.arguments import Completes, Duration, DurationRange, Rest, Secret
    from socbot.dispatch.chain import Layer, Placement
    from socbot.dispatch.commands import Command, Concurrency, Registry, command
    from socbot.dispatch.context import Confirm, Context, Handler, Middleware
    from socbot.dispatch.dispatcher import Dispatcher
    from socbot.dispatch.errors import InvalidArgument, Refused, UserError
    from socbot.dispatch.messages import Answer, Attachment, ChannelRef, GuildRef, Identity, Message, User, UserRef
    from socbot.dispatch.order import Finding, check_order
    from socbot.dispatch.outcomes import Mode, Outcome, Status, Step, Trace
    from socbot.dispatch.replies import Chart, Field, File, Question, Reply, escape, moment
    from socbot.documents import ConfigError
    from socbot.storage.errors import StoreError

__all__ = [
    "Answer",
    "Attachment",
    "Bot",
    "ChannelRef",
    "Chart",
    "Command",
    "Completes",
    "Concurrency",
    "Config",
    "ConfigError",
    "Confirm",
    "Context",
    "Dispatcher",
    "Duration",
    "DurationRange",
    "Field",
    "File",
    "Finding",
    "GuildRef",
    "Handler",
    "Identity",
    "InvalidArgument",
    "Layer",
    "Message",
    "Middleware",
    "Mode",
    "Outcome",
    "Placement",
    "Question",
    "Refused",
    "Registry",
    "Reply",
    "Rest",
    "Secret",
    "Status",
    "Step",
    "StoreError",
    "Trace",
    "User",
    "UserError",
    "UserRef",
    "check_order",
    "command",
    "escape",
    "moment",
]

_HOMES = {
    "socbot.bot": "Bot",
    "socbot.config": "Config",
    "socbot.dispatch.arguments": "Completes Duration DurationRange Rest Secret",
    "socbot.dispatch.chain": "Layer Placement",
    "socbot.dispatch.commands": "Command Concurrency Registry command",
    "socbot.dispatch.context": "Confirm Context Handler Middleware",
    "socbot.dispatch.dispatcher": "Dispatcher",
    "socbot.dispatch.errors": "InvalidArgument Refused UserError",
    "socbot.dispatch.messages": "Answer Attachment ChannelRef GuildRef Identity Message User UserRef",
    "socbot.dispatch.order": "Finding check_order",
    "socbot.dispatch.outcomes": "Mode Outcome Status Step Trace",
    "socbot.dispatch.replies": "Chart Field File Question Reply escape moment",
    "socbot.documents": "ConfigError",
    "socbot.storage.errors": "StoreError",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:  # a type checker that saw it would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Import a public name's module when the name is first asked for: a bare dispatcher needs no database."""
        if name not in _HOME_OF:
            raise AttributeError(f"module 'socbot' has no attribute {name!r}")
        import importlib

        found = globals()[name] = getattr(importlib.import_module(_HOME_OF[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
