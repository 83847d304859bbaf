"""Backups: one moment of the store and of the operator's files, packed into one file that can be trusted."""
