"""The operations layer for chat bots."""
