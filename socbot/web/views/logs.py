"""The logs."""

from typing import Any

from socbot.web.view import View

VIEWS: tuple[View[Any, Any], ...] = ()
