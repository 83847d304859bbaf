"""Probes, metrics, the API and the dashboard: one server on a thread of its own, which answers while the loop does not.

::

    async with Bot.from_config("config.yaml") as bot, Web(bot):
        ...
"""

from socbot.web.server import Web

__all__ = ["Web"]
