"""YAML within bounds: read in one piece, or refused with the line."""

from typing import Any, Final, NoReturn

import msgspec

MAX_DEPTH = 16
MAX_NODES = 20_000

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what is expected: its own error for most, Python's for some."""


class ConfigError(Exception):
    """A configuration cannot be used; the text says line, path and what was expected."""


def parse_yaml(text: str, name: str = "YAML") -> tuple[Any, dict[str, int]]:
    """Read YAML within bounds of size, depth and nodes; anchors, tags and duplicate keys are refused.

    :returns: plain values, and the line on which each key stands
    :raises ConfigError: with the line
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    reader = _Nodes(name)
    try:
        for event in yaml.parse(text, Loader=loader):  # bounded before anything recursive sees it
            reader.check(event)
        node = yaml.compose(text, Loader=loader)
        return (reader.value(node, "") if node is not None else None), reader.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{name}{where}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {' '.join(str(error).split())}") from None


class _Nodes:
    """Makes plain values of YAML nodes, remembering lines."""

    def __init__(self, name: str) -> None:
        self._name, self._depth, self._nodes = name, 0, 0
        self.lines: dict[str, int] = {}

    def check(self, event: Any) -> None:
        import yaml

        line = event.start_mark.line + 1
        self._nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            self._depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
        if self._depth > MAX_DEPTH:
            self._refuse(line, f"nested more than {MAX_DEPTH} deep")
        if self._nodes > MAX_NODES:
            self._refuse(line, f"more than {MAX_NODES} values")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse(line, "anchors and aliases are not read; write the value out")
        if tag := getattr(event, "tag", None):
            written = tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(line, f"the tag {written!r} is not read; write the value without it")

    def value(self, node: Any, path: str) -> Any:
        import yaml

        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            values: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)
                key_line = key_node.start_mark.line + 1
                inner = f"{path}.{key}" if path else key
                if key in values:
                    self._refuse(key_line, f"{inner}: written twice, first on line {self.lines[inner]}")
                self.lines[inner] = key_line
                values[key] = self.value(value_node, inner)
            return values
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                inner = f"{path}[{index}]"
                self.lines[inner] = item.start_mark.line + 1
                items.append(self.value(item, inner))
            return items
        return self._scalar(node, line, path)

    def _scalar(self, node: Any, line: int, path: str) -> Any:
        text = node.value
        kind = node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("true", "yes", "on")
        if kind in ("int", "float"):
            try:
                return int(text.replace("_", ""), 0) if kind == "int" else float(text.replace("_", ""))
            except ValueError:
                if len(text) > 64:
                    self._refuse(line, f"{path}: a number of {len(text)} digits is not read")
        return text

    def _refuse(self, line: int, what: str) -> NoReturn:
        raise ConfigError(f"{self._name} line {line}: {what}")
