"""The ``…_config`` commands: views on one settings mechanism."""

from typing import Annotated, Literal

from socbot.dispatch.arguments import Completes, Rest
from socbot.dispatch.commands import Command, command
from socbot.dispatch.context import Context
from socbot.dispatch.errors import WITHHELD, InvalidArgument
from socbot.dispatch.replies import Reply, escape, moment
from socbot.documents import ConfigError
from socbot.systems.links import Links
from socbot.systems.settings import Setting, Settings, shown, why_fixed


def config_command(name: str, section: str) -> Command:
    """The command ``name`` over the settings of ``section``."""

    @command(name, permission="owner", group=section)
    async def view_set_reset(
        ctx: Context,
        settings: Settings,
        links: Links,
        action: Literal["view", "set", "reset"] = "view",
        key: Annotated[str, Completes(f"setting:{section}")] = "",
        value: Rest = "",
    ) -> Reply:
        """Show or change this system's settings.

        `view` shows each key, its value and where that comes from; `set KEY VALUE` changes one at once and keeps it;
        `reset KEY` returns it to config.yaml.
        """
        if action == "view":
            items = tuple(_line(each) for each in settings.view(section))
            return Reply(title=f"Settings of {section}", fields=links.field("settings"), items=items)
        if not key:
            raise InvalidArgument("key", "", f"the key to {action}; `{ctx.prefix}{name}` shows them")
        found = ""
        try:
            found = settings.find(section, key)
            if action == "reset":
                before, after = await settings.reset(found)
            elif value:
                before, after = await settings.set(found, value, ctx.message.author.name or ctx.message.author.id)
            else:
                raise InvalidArgument("value", "", f"the new value of {found}")
        except ConfigError as error:
            raise InvalidArgument(key, _told(found, value) or key, f"usable: {escape(str(error), 400)}") from None
        return Reply.ok(f"{after.key}: {_value(before)} → {_value(after)}")

    return view_set_reset


def _told(key: str, value: str) -> str:
    """What was given, unless it was for a key that takes nothing from chat: then it may be a secret."""
    return WITHHELD if value and (not key or why_fixed(key)) else value


def _line(setting: Setting) -> str:
    return f"{setting.key} = {_value(setting)}  ({origin(setting)})"


def _value(setting: Setting) -> str:
    return escape(shown(setting.key, setting.value), 300)


def origin(setting: Setting) -> str:
    """Where a setting's value comes from, in words."""
    if setting.override is None:
        return setting.origin
    return f"set by {escape(setting.override.set_by, 40)} {moment(setting.override.set_at)}"


COMMANDS = (
    config_command("analytics_config", "analytics"),
    config_command("backup_config", "backup"),
    config_command("error_config", "errors"),
    config_command("rate_limit_config", "rate_limit"),
)
