"""The pipeline: the chain as config.yaml arranges it, built and put in force."""

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from socbot.config import Config, MiddlewareConfig
from socbot.dispatch.chain import Layer, Placement
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.order import Finding, check_order
from socbot.dispatch.outcomes import Mode
from socbot.documents import ConfigError
from socbot.systems.counters import Counters, Part
from socbot.systems.profiler import Profiler
from socbot.systems.sketch import Sketch

REQUIRED = ("blacklist", "rate_limit")
"""The guards that may be switched off, but not left out unnoticed."""


class Figures(Struct):
    """What one middleware did since the start; ``mean`` and ``p99`` are its own cost over a day, in seconds."""

    calls: int = 0
    refusals: int = 0
    would_refuse: int = 0
    faults: int = 0
    mean: float = 0.0
    p99: float = 0.0


class Pipeline:
    """Builds the chain's layers from the configuration and hands them to the dispatcher.

    :param builtins: import paths (``module:attribute``) of the built-in middleware by name
    :param systems: what the middleware may ask for by annotation
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        builtins: Mapping[str, str],
        systems: Mapping[type, object],
        profiler: Profiler,
        counters: Counters,
    ) -> None:
        self._dispatcher, self._builtins, self._systems = dispatcher, builtins, systems
        self._profiler, self._counters = profiler, counters
        self._entries: tuple[MiddlewareConfig, ...] = ()
        self.findings: tuple[Finding, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self._dispatcher.chain.layers

    @property
    def generation(self) -> int:
        return self._dispatcher.chain.generation

    def prepare(self, config: Config) -> Callable[[], None]:
        """Build the chain of ``config`` beside the one in force; the result swaps them in one step.

        :raises ConfigError: if it cannot be built, or cannot work
        """
        entries = config.middleware
        if entries == self._entries:
            return lambda: None
        layers = [self._layer(entry, position) for position, entry in enumerate(entries)]
        findings = check_order(layers, REQUIRED)
        errors = [finding.text for finding in findings if finding.level == "error"]
        if errors:
            raise ConfigError("middleware: " + "; ".join(errors))

        def swap() -> None:
            self._dispatcher.use(layers)
            self._entries, self.findings = entries, findings

        return swap

    async def figures(self) -> dict[str, Figures]:
        """What each middleware of the chain did since the start, and what it cost in the last day."""
        costs = await self._profiler.parts()
        found, parts = {}, self._counters.counts.parts
        for layer in self.layers:
            part = parts.get(layer.name, Part())
            cost = costs.get(layer.name, Sketch())
            mean, p99 = (cost.mean, cost.quantile(0.99)) if cost.count else (0.0, 0.0)
            found[layer.name] = Figures(part.calls, part.refusals, part.would_refuse, part.faults, mean, p99)
        return found

    def _layer(self, entry: MiddlewareConfig, position: int) -> Layer:
        key = f"middleware[{position}]"
        made = self._found(entry.use, key)
        placement = getattr(made, "placement", None) or Placement()
        if entry.kind is not None:
            if entry.use in self._builtins and entry.kind != placement.kind:
                raise ConfigError(f"{key}: {entry.use} is a {placement.kind}; `kind` is for middleware of your own")
            placement = Placement(entry.kind, placement.may_refuse, placement.sees_refusals)
        if inspect.isclass(made):
            made = self._instance(made, entry, key)
        elif entry.options:
            raise ConfigError(f"{key}.with: {entry.use} is a function, which takes no options; use a class")
        if not callable(made):
            raise ConfigError(f"{key}: {entry.use} is not callable; a middleware is `async def (ctx, call_next)`")
        return Layer(entry.use.rpartition(":")[2], made, placement, entry.mode)

    def _found(self, use: str, key: str) -> Any:
        path = self._builtins.get(use, use)
        module, colon, attribute = path.partition(":")
        if not colon:
            import difflib

            near = difflib.get_close_matches(use, self._builtins, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"built in are {', '.join(self._builtins)}"
            raise ConfigError(f"{key}: there is no middleware {use!r}; {hint} (your own: `module:name`)")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            raise ConfigError(f"{key}: {use} cannot be imported: {error}") from error
        except AttributeError:
            raise ConfigError(f"{key}: module {module} has no {attribute!r}") from None
        except Exception as error:  # the operator's own module runs here: whatever it raises is theirs to mend
            raise ConfigError(f"{key}: importing {module} raised {type(error).__name__}: {error}") from error

    def _instance(self, made: type, entry: MiddlewareConfig, key: str) -> Any:
        given = dict(entry.options)
        hints = typing.get_type_hints(getattr(made, "__init__"))  # noqa: B009 (a class from anywhere)
        for name, parameter in inspect.signature(made).parameters.items():
            if name in given:
                continue
            kind = hints.get(name)
            if name == "mode" and kind == Mode:
                given[name] = entry.mode
            elif isinstance(kind, type) and kind in self._systems:
                given[name] = self._systems[kind]
            elif parameter.default is inspect.Parameter.empty:
                raise ConfigError(f"{key}.with: {entry.use} needs the option {name!r}")
        try:
            return made(**given)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{key}.with: {entry.use} does not take these options: {error}") from error
