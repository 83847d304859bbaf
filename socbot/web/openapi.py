"""The API described as OpenAPI 3.1, made from what is served: it cannot say anything else than that."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from socbot.dispatch.arguments import MAX_LENGTH
from socbot.dispatch.commands import Registry
from socbot.dispatch.summaries import Summary
from socbot.version import VERSION
from socbot.web.actions import ACTIONS, KEY, Action, Asked, Option, Running
from socbot.web.problems import TYPE, Problem
from socbot.web.reading import JSON
from socbot.web.reports import Alerts, Report, Taken, TakenAlerts
from socbot.web.view import LONGEST, MOST_INTEGER, View
from socbot.web.views import VIEWS

Object: TypeAlias = dict[str, Any]

_TEMPLATE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\n\s*:param (\w+): ((?:(?!\n\s*:|\n\s*\n)[\s\S])*)")
_WHY = {
    400: "The body is not JSON.",
    401: "No token was shown, or one that is not known.",
    403: "The token's role does not allow it, or the bot refuses it.",
    404: "There is nothing of that name.",
    409: "An action with this key was run before.",
    413: "The body is too large.",
    415: "The body is of another content type.",
    422: "What was given is not what is expected; the problem names the argument.",
    429: "Too much of it: `Retry-After` says in how many seconds it is taken.",
    500: "It failed; the problem has the error's id.",
    503: "The bot, or its store, does not answer, or is shutting down.",
}


def document(registry: Registry) -> Object:
    """The whole document.

    :param registry: of the commands that the actions are
    """
    structs: list[type] = [Problem, Summary, Asked, Running, Report, Taken, Alerts, TakenAlerts]
    structs += [each for view in VIEWS for each in (view.query, view.result)]
    kinds = list(dict.fromkeys(structs))
    references, schemas = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    made = _Document(dict(zip(kinds, references, strict=True)), schemas, registry)
    paths: dict[str, Object] = {}
    for path, method, operation in made.operations():
        paths.setdefault(path, {})[method] = operation
    for kind in {view.query for view in VIEWS}:  # they are written out as parameters
        schemas.pop(references[kinds.index(kind)]["$ref"].rpartition("/")[2], None)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "socbot",
            "version": VERSION,
            "description": "What the dashboard shows, as JSON; what can be done there; and signals from outside. "
            "Moments are seconds since 1970, durations seconds, sizes bytes, shares between 0 and 1.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name} for name in ("facts", "actions", "signals", "about")],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the bot: one of a viewer reads, one of an owner acts too, one of a "
                    "sender raises signals and nothing else.",
                }
            },
            "schemas": {name: _explained(schema) for name, schema in sorted(schemas.items())},
            "responses": {f"Problem{status}": _problem(status) for status in _WHY},
        },
    }
    plain: Object = msgspec.json.decode(msgspec.json.encode(whole))  # tuples and other defaults as JSON has them
    return plain


class _Document:
    def __init__(self, references: Mapping[type, Object], schemas: Mapping[str, Object], registry: Registry) -> None:
        self._references, self._schemas, self._registry = references, schemas, registry

    def operations(self) -> Iterable[tuple[str, str, Object]]:
        for view in VIEWS:
            yield _plain(view.api_path), "get", self._reading(view)
        for action in ACTIONS:
            yield f"/api/v1/actions/{action.name}", "post", self._acting(action)
        yield "/api/v1/signals", "post", self._reporting("raise_signal", "Raise a signal.", Report, Taken)
        summary = "Take a notification of Alertmanager's: each alert is a signal."
        yield "/api/v1/signals/alertmanager", "post", self._reporting("take_alerts", summary, Alerts, TakenAlerts)
        yield "/api/v1/openapi.json", "get", self._describing()

    def _reading(self, view: View[Any, Any]) -> Object:
        schema = self._schemas[self._references[view.query]["$ref"].rpartition("/")[2]]
        told = _parameters(view.query)
        parameters = [
            self._parameter(name, each, name in view.path_fields, told.get(name, ""))
            for name, each in schema["properties"].items()
        ]
        return {
            "operationId": "read_" + _identifier(view.api_path),
            "tags": ["facts"],
            "summary": view.summary,
            "description": f"Needs the role {view.needs}.",
            "parameters": parameters,
            "responses": {
                "200": _content("The facts.", self._references[view.result]),
                **_problems(401, 403, 404, 422, 500, 503),
            },
        }

    def _parameter(self, name: str, schema: Object, in_path: bool, told: str) -> Object:
        place = "path" if in_path else "query"
        return {
            "name": name,
            "in": place,
            "required": in_path,
            "description": told or name.replace("_", " "),
            "schema": _bounded(schema, in_path),
        }

    def _acting(self, action: Action) -> Object:
        needed = [option.name for option in action.options if option.required]
        options = {
            "type": "object",
            "properties": {option.name: self._option(action, option) for option in action.options},
            "required": needed,
            "additionalProperties": False,
        }
        answer = {
            "type": "object",
            "description": "Yes to the question that was asked.",
            "properties": {"confirm": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
            "required": ["confirm"],
            "additionalProperties": False,
        }
        asked = {"anyOf": [self._references[Asked], self._references[Running]]}
        return {
            "operationId": action.name,
            "tags": ["actions"],
            "summary": action.summary,
            "description": f"Runs the command `{action.command}` as an owner. Needs the role owner.",
            "parameters": [
                {
                    "name": KEY,
                    "in": "header",
                    "required": False,
                    "description": "An action that is sent twice with one key runs once.",
                    "schema": {"type": "string", "pattern": "^[!-~]{1,64}$"},
                }
            ],
            "requestBody": {
                "required": bool(needed),
                "content": {JSON: {"schema": {"anyOf": [options, answer]}}},
            },
            "responses": {
                "200": _content("It was done.", self._references[Summary]),
                "202": _content("It asks before it is done, or it goes on.", asked),
                **_problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
            },
        }

    def _option(self, action: Action, option: Option) -> Object:
        found = option.describes(self._registry, action.command) if option.passed else None
        schema: Object = {"type": ["string", "integer", "number", "boolean"], "maxLength": MAX_LENGTH}
        if option.required:
            schema["minLength"] = 1
        if found is not None and found.choices:
            schema = {"type": "string", "enum": list(found.choices)}
        schema["description"] = option.description or (found.expected if found is not None else option.name)
        return schema

    def _reporting(self, name: str, summary: str, taken: type[Struct], answered: type[Struct]) -> Object:
        return {
            "operationId": name,
            "tags": ["signals"],
            "summary": summary,
            "description": "Needs the role sender or owner.",
            "requestBody": {"required": True, "content": {JSON: {"schema": self._references[taken]}}},
            "responses": {
                "202": _content("It was written down, and is sent to whom it concerns.", self._references[answered]),
                **_problems(400, 401, 403, 413, 415, 422, 429, 500, 503),
            },
        }

    def _describing(self) -> Object:
        return {
            "operationId": "read_openapi",
            "tags": ["about"],
            "summary": "This document.",
            "responses": {"200": _content("The document.", {"type": "object"}), **_problems(401, 403, 500, 503)},
        }


def _content(description: str, schema: Object) -> Object:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _problem(status: int) -> Object:
    found = {
        "description": f"{HTTPStatus(status).phrase}. {_WHY[status]}",
        "content": {TYPE: {"schema": {"$ref": _TEMPLATE.format(name="Problem")}}},
    }
    if status in (429, 503):
        found["headers"] = {
            "Retry-After": {
                "description": "Seconds after which it may be tried again.",
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return found


def _problems(*statuses: int) -> Object:
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}


def _plain(path: str) -> str:
    """``path`` without what its fields are made of."""
    return re.sub(r"{(\w+):[^{}]*}", r"{\1}", path)


def _identifier(path: str) -> str:
    return re.sub(r"\W+", "_", _plain(path).removeprefix("/api/v1/")).strip("_")


def _bounded(schema: Object, in_path: bool) -> Object:
    """``schema`` of what is written as text: nobody can write null, and nothing is longer than so much."""
    found = {key: value for key, value in schema.items() if key != "anyOf"}
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if found.get("default", ...) is None:
        del found["default"]
    if len(kinds) == 1:
        found |= kinds[0]
    elif kinds:
        found["anyOf"] = kinds
    if found.get("type") == "integer":
        found = {"minimum": -MOST_INTEGER, "maximum": MOST_INTEGER} | found
    if found.get("type") == "string":
        found.setdefault("pattern", r"^[^\u0000]*$")
        found["maxLength"] = min(found.get("maxLength", LONGEST), LONGEST)
        if in_path:
            found["minLength"] = max(1, found.get("minLength", 1))
    return found


def _parameters(kind: type) -> dict[str, str]:
    """What a struct's docstring says of each of its fields."""
    return {name: " ".join(text.split()) for name, text in _PARAMETER.findall("\n" + (kind.__doc__ or ""))}


def _explained(schema: Object) -> Object:
    """``schema``, with what its description says of each property beside that property."""
    told = schema.get("description", "")
    for name, text in _PARAMETER.findall("\n" + told):
        named = schema.get("properties", {})
        found = named.get(name) or named.get(_camel(name))
        if found is not None and "$ref" not in found:
            found.setdefault("description", " ".join(text.split()))
    if told:
        schema["description"] = " ".join(_PARAMETER.split("\n" + told)[0].split())
    return schema


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(each.capitalize() for each in rest)
