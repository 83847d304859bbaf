"""Discord, through discord.py: the one place that imports it."""
