"""Everything that can be seen, one module for each page of the navigation."""

from typing import Any

from socbot.web.view import View
from socbot.web.views import (
    abuse,
    access,
    audit,
    backups,
    chain,
    commands,
    errors,
    health,
    jobs,
    logs,
    overview,
    performance,
    settings,
    signals,
    traces,
    webhooks,
)

_MODULES = (
    overview,
    chain,
    traces,
    commands,
    performance,
    errors,
    abuse,
    signals,
    health,
    jobs,
    webhooks,
    backups,
    logs,
    settings,
    audit,
    access,
)

VIEWS: tuple[View[Any, Any], ...] = tuple(view for module in _MODULES for view in module.VIEWS)
