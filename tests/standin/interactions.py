"""How an interaction may be answered: once, in time, by what fits it; and then by its token for fifteen minutes."""

import time

from aiohttp import web

from tests.standin import schema
from tests.standin.rest import Call, Refusal, Rest
from tests.standin.world import EPHEMERAL, LOADING, Interaction, Json, Message, Modal

COMMAND, COMPONENT, AUTOCOMPLETE, SUBMIT = 2, 3, 4, 5
MESSAGE, DEFER, DEFER_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9

_FITTING = {
    COMMAND: {MESSAGE, DEFER, MODAL},
    COMPONENT: {MESSAGE, DEFER, DEFER_UPDATE, UPDATE, MODAL},
    AUTOCOMPLETE: {CHOICES},
    SUBMIT: {MESSAGE, DEFER},
}


class Interactions:
    """The routes of interactions; ``ack_seconds`` is the time for the first answer, ``token_seconds`` for all."""

    def __init__(self, rest: Rest, ack_seconds: float) -> None:
        self._rest, self._world = rest, rest.world
        self.ack_seconds = ack_seconds
        self.token_seconds = 900.0

    def routes(self) -> list[web.RouteDef]:
        hook, message = "/webhooks/{webhook}/{token}", "/webhooks/{webhook}/{token}/messages/{message}"
        table = [
            ("POST", "/interactions/{interaction}/{token}/callback", self._callback),
            ("POST", hook, self._post),
            ("GET", hook, lambda call: self._rest.webhook(call).payload()),
            ("GET", message, lambda call: self._found(call).payload()),
            ("PATCH", message, self._patch),
            ("DELETE", message, self._delete),
        ]
        return [self._rest.route(*entry, open_to_all=True) for entry in table]

    # The first answer

    def _callback(self, call: Call) -> Json | None:
        interaction = self._waiting(call)
        kind = call.body.get("type")
        self._rest.refuse_if(schema.check_callback(call.body, call.file_names), call)
        self._rest.refuse_if(_misfits(interaction, kind), call)
        interaction.acknowledged, interaction.callback = time.monotonic(), kind
        self._answer(interaction, kind, call)
        interaction.bell.ring()
        return _with_response(interaction, kind) if call.query.get("with_response") in ("1", "true") else None

    def _waiting(self, call: Call) -> Interaction:
        interaction = self._world.interactions.get(call.params["token"])
        if interaction is None or interaction.id != call.params["interaction"]:
            raise Refusal(404, 10062, "Unknown interaction")
        if interaction.acknowledged is not None:
            raise Refusal(400, 40060, "Interaction has already been acknowledged.")
        if interaction.expired or time.monotonic() - interaction.created > self.ack_seconds:
            raise Refusal(404, 10062, "Unknown interaction")
        return interaction

    def _answer(self, interaction: Interaction, kind: int, call: Call) -> None:
        data = call.body.get("data") or {}
        if kind == CHOICES:
            interaction.choices = data["choices"]
        elif kind == MODAL:
            interaction.modal = Modal(interaction, data["custom_id"], data["title"], data["components"])
        elif kind in (DEFER_UPDATE, UPDATE):
            interaction.original = interaction.message
            interaction.deferred = kind == DEFER_UPDATE
            self._update(interaction, data, call, kind)
        else:
            interaction.deferred = kind == DEFER
            interaction.original = self._said(interaction, data, call, LOADING if kind == DEFER else 0)
            if kind == MESSAGE:
                interaction.show(interaction.original)

    def _update(self, interaction: Interaction, data: Json, call: Call, kind: int) -> None:
        if kind == UPDATE and interaction.message:
            self._rest.change(interaction.message, data, call.files)
            interaction.show(interaction.message)

    def _said(self, interaction: Interaction, data: Json, call: Call, flags: int) -> Message:
        fields = self._rest.fields(data, call.files, interaction.channel)
        fields["flags"] |= flags
        fields["kind"] = 20 if interaction.kind == COMMAND else 0
        return self._world.post(interaction.channel, self._world.bot, by_bot=True, interaction=interaction, **fields)

    # What comes after it, by the token

    def _acknowledged(self, call: Call) -> Interaction:
        interaction = self._world.interactions.get(call.params["token"])
        if interaction is None or interaction.acknowledged is None:
            raise Refusal(404, 10015, "Unknown Webhook")
        if interaction.expired or time.monotonic() - interaction.created > self.token_seconds:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        return interaction

    def _post(self, call: Call) -> Json | None:
        if call.params["webhook"] != self._world.application.id:
            return self._rest.execute_webhook(call)
        interaction = self._acknowledged(call)
        self._rest.refuse_if(schema.check_message(call.body, call.file_names, interaction=True), call)
        return self._follow_up(interaction, call).payload()

    def _follow_up(self, interaction: Interaction, call: Call) -> Message:
        """The first one after a deferral is what the deferral waited for, with the deferral's privacy."""
        original = interaction.original
        if original and original.loading and not original.deleted:
            self._rest.change(original, call.body, call.files)
            interaction.show(original)
            return original
        message = self._said(interaction, call.body, call, 0)
        interaction.followups.append(message)
        interaction.show(message)
        return message

    def _found(self, call: Call) -> Message:
        interaction = self._acknowledged(call)
        if call.params["message"] == "@original":
            found = interaction.original
        else:
            candidates = [*interaction.followups, *filter(None, [interaction.original])]
            found = next((message for message in candidates if message.id == call.params["message"]), None)
        if found is None or found.deleted:
            raise Refusal(404, 10008, "Unknown Message")
        return found

    def _patch(self, call: Call) -> Json:
        message = self._found(call)
        checked = schema.check_message(call.body, call.file_names, edit=True, interaction=True)
        self._rest.refuse_if(checked, call)
        self._rest.change(message, call.body, call.files)
        self._acknowledged(call).show(message)
        return message.payload()

    def _delete(self, call: Call) -> None:
        self._world.delete(self._found(call))
        self._acknowledged(call).bell.ring()


def _misfits(interaction: Interaction, kind: int) -> list[str]:
    fitting = _FITTING[interaction.kind]
    if interaction.kind == SUBMIT and interaction.message:
        fitting = fitting | {DEFER_UPDATE, UPDATE}
    return [] if kind in fitting else [f"type: {kind} answers no interaction of type {interaction.kind}"]


def _with_response(interaction: Interaction, kind: int) -> Json:
    about: Json = {"id": interaction.id, "type": interaction.kind}
    message = interaction.original
    if message is None:
        return {"interaction": about}
    about["response_message_id"] = message.id
    about["response_message_loading"] = message.loading
    about["response_message_ephemeral"] = bool(message.flags & EPHEMERAL)
    return {"interaction": about, "resource": {"type": kind, "message": message.payload()}}
