"""Discord, standing in for itself on this machine: its gateway and REST routes over real sockets, with people in it.

async with Standin() as discord_:
    discord_.point_discord_py(monkeypatch)
    alice = discord_.user("alice")
    guild = discord_.guild("g", owner=alice)
    ...                                           # the bot connects
    await alice.says("!ping", in_=guild.general)
    reply = await discord_.message(in_=guild.general)
"""

from tests.standin.people import Answer, Person, Use
from tests.standin.standin import Standin
from tests.standin.world import Channel, Guild, Interaction, Message, Modal, Permission

__all__ = ["Answer", "Channel", "Guild", "Interaction", "Message", "Modal", "Permission", "Person", "Standin", "Use"]
