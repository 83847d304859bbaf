"""One message to Discord, as data, and as what discord.py takes."""

import io
from typing import Any

import discord
from msgspec import Struct

from socbot.dispatch.replies import File
from socbot.transports.discord.books import JSON
from socbot.transports.discord.cutting import pieces
from socbot.transports.discord.rendering import CONTENT


class Letter(Struct, frozen=True):
    """One message: ``embed`` and ``components`` as Discord writes them."""

    content: str = ""
    embed: JSON | None = None
    files: tuple[File, ...] = ()
    components: tuple[JSON, ...] = ()

    def without_embed(self) -> "Letter":
        """The same for a channel in which the bot may not embed: the embed's words as text, as far as they fit."""
        if self.embed is None:
            return self
        embed = self.embed
        lines = [self.content, f"**{embed['title']}**" if "title" in embed else "", embed.get("description", "")]
        lines += [f"{each['name']}: {each['value']}" for each in embed.get("fields", ())]
        text = "\n".join(line for line in lines if line)
        return Letter(next(iter(pieces(text, CONTENT)), ""), None, self.files, self.components)

    def to_send(self) -> dict[str, Any]:
        """Keywords for a message that is sent."""
        made: dict[str, Any] = {}
        if self.content:
            made["content"] = self.content
        if self.embed is not None:
            made["embed"] = discord.Embed.from_dict(self.embed)
        if self.files:
            made["files"] = [_attached(file) for file in self.files]
        if self.components:
            made["view"] = view_of(self.components)
        return made

    def to_edit(self) -> dict[str, Any]:
        """Keywords for a message in whose place this is shown; files that it has stay with it."""
        made: dict[str, Any] = {
            "content": self.content or None,
            "embed": None if self.embed is None else discord.Embed.from_dict(self.embed),
            "view": view_of(self.components) if self.components else None,
        }
        if self.files:
            made["attachments"] = [_attached(file) for file in self.files]
        return made


def _attached(file: File) -> discord.File:
    return discord.File(io.BytesIO(file.content), file.name)


def view_of(components: tuple[JSON, ...]) -> discord.ui.View:
    """Buttons as discord.py sends them. It keeps no view that has stopped: clicks come to us as they are."""
    view = discord.ui.View(timeout=None)
    for row, shown in enumerate(components):
        for button in shown["components"]:
            view.add_item(
                discord.ui.Button(
                    style=discord.ButtonStyle(button["style"]),
                    label=button.get("label"),
                    custom_id=button["custom_id"],
                    disabled=button.get("disabled", False),
                    row=row,
                )
            )
    view.stop()
    return view


def modal_of(modal: JSON) -> discord.ui.Modal:
    """A form as discord.py sends it."""
    made = discord.ui.Modal(title=modal["title"], custom_id=modal["custom_id"], timeout=None)
    for labelled in modal["components"]:
        field = labelled["component"]
        made.add_item(
            discord.ui.Label(
                text=labelled["label"],
                description=labelled.get("description"),
                component=discord.ui.TextInput(
                    style=discord.TextStyle(field["style"]),
                    custom_id=field["custom_id"],
                    required=field.get("required", True),
                    min_length=field.get("min_length"),
                    max_length=field.get("max_length"),
                ),
            )
        )
    made.stop()
    return made
