"""``socbot demo``: some played days of a community, through a real bot on a store of their own, then live."""

from socbot.demo.playing import Demo, Options, playing

__all__ = ["Demo", "Options", "playing"]
