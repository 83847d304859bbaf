"""The log of a running bot: one line an event, without secrets, written by a thread of its own.

What any library logs, what Python warns of and what structlog is given goes one way: a handler of the standard
library's root logger makes an ``Event`` of it on the thread that logs, and the writer's thread makes the line.
"""

from socbot.logs.capture import logging_to, structlog_to_log, uncaught_to_log
from socbot.logs.files import RotatingFile
from socbot.logs.writer import LogWriter

__all__ = ["LogWriter", "RotatingFile", "logging_to", "structlog_to_log", "uncaught_to_log"]
