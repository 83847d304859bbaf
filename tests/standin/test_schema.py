"""The checks take what Discord takes, and say exactly what is wrong with what it would not."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import discord
import pytest
from discord.http import handle_message_parameters
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.standin.schema import Json, check_callback, check_commands, check_member_edit, check_message

GONE = object()
NOBODY: Json = {"parse": []}
SAYS: Json = {"content": "hello", "allowed_mentions": NOBODY}


def changed(body: Json, path: str, value: Any) -> Json:
    """``body`` with another value at a path as complaints write it, or without it."""
    body = json.loads(json.dumps(body))  # no part shared with another, as a deep copy would keep it
    *way, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    at = body
    for step in way:
        at = at[step]
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return body


# -- messages ---------------------------------------------------------------------------------------------

words = st.text(max_size=12).map("w{}".format)
urls = st.sampled_from(["https://example.org/a?b=c", "http://127.0.0.1:80/"])
ids = st.integers(1, 2**64 - 1).flatmap(lambda number: st.sampled_from([number, str(number)]))
moments = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)


@st.composite
def embeds(draw: st.DrawFn) -> Json:
    field = st.fixed_dictionaries({"name": words, "value": words, "inline": st.booleans()})
    return {
        "type": "rich",
        "title": draw(words),
        "description": draw(words),
        "url": draw(urls),
        "timestamp": draw(moments),
        "color": draw(st.integers(0, 0xFFFFFF)),
        "footer": {"text": draw(words)},
        "author": {"name": draw(words), "url": draw(urls)},
        "image": {"url": draw(urls | st.just("attachment://chart.png"))},
        "fields": draw(st.lists(field, min_size=1, max_size=4)),
    }


@st.composite
def rows(draw: st.DrawFn) -> list[Json]:
    buttons = [
        {"type": 2, "style": draw(st.integers(1, 4)), "label": draw(words), "custom_id": f"b{index}"}
        for index in range(draw(st.integers(1, 4)))
    ]
    link = {"type": 2, "style": 5, "emoji": {"id": None, "name": "🔗"}, "url": draw(urls)}
    options = [
        {"label": label, "value": f"{index}"}
        for index, label in enumerate(draw(st.lists(words, min_size=1, max_size=25)))
    ]
    select = {"type": 3, "custom_id": "s", "options": options, "placeholder": draw(words), "max_values": len(options)}
    return [{"type": 1, "components": [*buttons, link]}, {"type": 1, "components": [select]}]


@st.composite
def messages(draw: st.DrawFn) -> Json:
    """Messages of all parts, each different; they come with the one file ``chart.png``."""
    return {
        "content": draw(words | st.none()),
        "tts": False,
        "nonce": draw(st.integers(0, 10**24)),
        "enforce_nonce": True,
        "flags": draw(st.sampled_from([0, 4, 4096])),
        "embeds": draw(st.lists(embeds(), min_size=1, max_size=3)),
        "components": draw(rows()),
        "attachments": [{"id": 0, "filename": "chart.png", "description": draw(words)}],
        "message_reference": {"message_id": draw(ids), "channel_id": draw(ids), "fail_if_not_exists": False},
        "allowed_mentions": draw(st.sampled_from([NOBODY, NOBODY | {"replied_user": False}, NOBODY | {"users": []}])),
    }


CHART = ["chart.png"]
SAMPLE: Json = SAYS | {
    "embeds": [{"title": "T", "fields": [{"name": "N", "value": "V"}]}],
    "components": [{"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]}],
}
BUTTON, SELECT = "components[0].components[0]", "components[1].components[0]"
LONGEST = {
    "content": 2000,
    "embeds[0].title": 256,
    "embeds[0].description": 4096,
    "embeds[0].footer.text": 2048,
    "embeds[0].author.name": 256,
    "embeds[0].fields[0].name": 256,
    "embeds[0].fields[0].value": 1024,
    f"{BUTTON}.label": 80,
    f"{BUTTON}.custom_id": 100,
    f"{SELECT}.placeholder": 150,
    f"{SELECT}.options[0].label": 100,
    f"{SELECT}.options[0].value": 100,
    "attachments[0].description": 1024,
    "nonce": 25,
}
MESSAGE_FAULTS = [
    ("allowed_mentions", GONE, "allowed_mentions: missing"),
    ("allowed_mentions", None, "allowed_mentions: an object is needed"),
    ("allowed_mentions", {}, "allowed_mentions.parse: missing"),
    ("allowed_mentions.parse", ["everyone"], "allowed_mentions.parse: would ping somebody"),
    ("allowed_mentions.parse", ["users"], "allowed_mentions.parse: would ping somebody"),
    ("allowed_mentions.users", ["1"], "allowed_mentions.users: would ping somebody"),
    ("allowed_mentions.roles", ["1"], "allowed_mentions.roles: would ping somebody"),
    ("allowed_mentions.replied_user", True, "allowed_mentions.replied_user: would ping somebody"),
    ("content", 5, "content: a string is needed"),
    ("content", "a\ud800b", "content: a lone surrogate"),
    ("embed", {}, "embed: unknown key"),
    ("flags", 64, "flags: 64 cannot be set here"),
    ("flags", 1 << 15, "flags: 32768 cannot be set here"),
    ("nonce", "", "nonce: empty"),
    ("tts", 0, "tts: true or false is needed"),
    ("embeds", {}, "embeds: a list is needed"),
    ("embeds[0]", {"color": 5}, "embeds[0]: an empty embed"),
    ("embeds[0].colour", 5, "embeds[0].colour: unknown key"),
    ("embeds[0].color", 0x1000000, "embeds[0].color: 16777216 is not within 0 and 16777215"),
    ("embeds[0].color", True, "embeds[0].color: a whole number is needed"),
    ("embeds[0].timestamp", "yesterday", "embeds[0].timestamp: an ISO 8601 time is needed"),
    ("embeds[0].url", "javascript:alert(1)", "embeds[0].url: an http or https address is needed"),
    ("embeds[0].image.url", "attachment://gone.png", "embeds[0].image.url: there is no file 'gone.png'"),
    ("embeds[0].image.url", "attachment://a.txt", "embeds[0].image.url: the file cannot be shown as a picture"),
    ("embeds[0].image", {}, "embeds[0].image.url: missing"),
    ("embeds[0].fields[0].name", " ", "embeds[0].fields[0].name: empty"),
    ("embeds[0].fields[0].value", "", "embeds[0].fields[0].value: empty"),
    ("embeds[0].fields[0].value", GONE, "embeds[0].fields[0].value: missing"),
    ("embeds[0].footer", {"text": ""}, "embeds[0].footer.text: empty"),
    (f"{BUTTON}.type", 12, f"{BUTTON}.type: one of 2, 3, 5, 6, 7, 8 is needed"),
    (f"{BUTTON}.style", 7, f"{BUTTON}.style: 7 is not within 1 and 6"),
    (f"{BUTTON}.label", " ", f"{BUTTON}.label: empty, and no emoji"),
    (f"{BUTTON}.custom_id", "", f"{BUTTON}.custom_id: empty"),
    (f"{BUTTON}.custom_id", GONE, f"{BUTTON}.custom_id: missing"),
    (f"{BUTTON}.custom_id", "s", "components[].custom_id: 's' twice"),
    (f"{BUTTON}.url", "https://example.org", f"{BUTTON}.url: not on a button of style"),
    (f"{SELECT}.options", [], f"{SELECT}.options: 0 of them, at least 1"),
    (f"{SELECT}.max_values", 26, f"{SELECT}.max_values: 26 is not within 1 and 25"),
    (f"{SELECT}.min_values", 26, f"{SELECT}.min_values: 26 is not within 0 and 25"),
    ("components[0].type", 2, "components[0].type: one of 1 is needed"),
    ("components[0].components", [], "components[0].components: 0 of them, at least 1"),
    ("attachments[0].id", 1, "attachments: there is no files[1]"),
    ("attachments[0].filename", "other.png", "attachments: files[0] is called 'chart.png', not 'other.png'"),
    ("message_reference.message_id", GONE, "message_reference.message_id: missing"),
    ("message_reference.message_id", "new", "message_reference.message_id: an id is needed"),
]


@settings(max_examples=50)
@given(messages())
def test_a_message_within_all_limits_is_taken(body: Json) -> None:
    assert check_message(body, CHART) == []


@settings(max_examples=20)
@given(messages())
def test_one_fault_in_a_message_is_the_one_complaint(body: Json) -> None:
    for path, value, complaint in MESSAGE_FAULTS:
        [found] = check_message(changed(body, path, value), CHART)
        assert found.startswith(complaint)


@settings(max_examples=50)
@given(body=messages(), limit=st.sampled_from(list(LONGEST.items())), letter=st.sampled_from("xé🦀"))
def test_texts_may_be_as_long_as_documented_in_code_points(body: Json, limit: tuple[str, int], letter: str) -> None:
    path, most = limit
    body["embeds"] = body["embeds"][:1]
    assert check_message(changed(body, path, letter * most), CHART) == []
    too_long = check_message(changed(body, path, letter * (most + 1)), CHART)
    assert too_long == [f"{path}: {most + 1} characters, at most {most}"]


@pytest.mark.parametrize(
    ("path", "item", "most"),
    [
        ("embeds", {"title": "x"}, 10),
        ("embeds[0].fields", {"name": "x", "value": "y"}, 25),
        ("components", {"type": 1, "components": [{"type": 2, "style": 5, "label": "x", "url": "https://x.org"}]}, 5),
        ("components[0].components", {"type": 2, "style": 5, "label": "x", "url": "https://x.org"}, 5),
    ],
)
def test_there_may_be_as_many_of_a_part_as_documented(path: str, item: Json, most: int) -> None:
    assert check_message(changed(SAMPLE, path, [item] * most)) == []
    assert check_message(changed(SAMPLE, path, [item] * (most + 1))) == [f"{path}: {most + 1} of them, at most {most}"]


def test_embeds_have_6000_characters_together() -> None:
    body = SAYS | {"embeds": [{"description": "x" * 4096}, {"description": "x" * 1000, "footer": {"text": "x" * 904}}]}
    assert check_message(body) == []
    fuller = changed(body, "embeds[1].fields", [{"name": "n", "value": "v"}])
    assert check_message(fuller) == ["embeds: 6002 characters together, at most 6000"]


@pytest.mark.parametrize("body", [{}, {"content": None}, {"content": " \n"}, {"content": "", "embeds": []}])
def test_an_empty_message_is_refused_but_not_an_edit_or_a_file_alone(body: Json) -> None:
    body = body | {"allowed_mentions": NOBODY}
    assert check_message(body) == ["content: an empty message"]
    assert check_message(body, edit=True) == []
    assert check_message(body, ["log.txt"]) == []


def test_a_button_of_another_style_needs_what_that_style_needs() -> None:
    assert check_message(SAMPLE) == []
    assert check_message(changed(SAMPLE, f"{BUTTON}.style", 5)) == [
        f"{BUTTON}.custom_id: not on a button of style 5",
        f"{BUTTON}.url: missing",
    ]
    assert check_message(changed(SAMPLE, f"{BUTTON}.style", 6)) == [
        f"{BUTTON}.custom_id: not on a button of style 6",
        f"{BUTTON}.sku_id: missing",
        f"{BUTTON}.label: not on a button of style 6",
    ]


def test_a_select_stands_alone_in_its_row() -> None:
    select = {"type": 5, "custom_id": "who"}
    button = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
    body = SAYS | {"components": [{"type": 1, "components": [select, button]}]}
    assert check_message(body) == ["components[0].components: a select stands alone in its row"]


def test_a_select_does_not_ask_for_more_than_it_offers() -> None:
    select = {"type": 3, "custom_id": "s", "options": [{"label": "a", "value": "a"}], "min_values": 0, "max_values": 2}
    body = SAYS | {"components": [{"type": 1, "components": [select]}]}
    at = "components[0].components[0]"
    assert check_message(body) == [f"{at}.max_values: 2, more than there are options"]
    assert check_message(changed(body, f"{at}.max_values", 1)) == []
    twice = changed(changed(body, f"{at}.max_values", 1), f"{at}.options", [{"label": "a", "value": "a"}] * 2)
    assert check_message(twice) == [f"{at}.options[].value: 'a' twice"]


def test_only_an_answer_to_an_interaction_may_be_ephemeral() -> None:
    private = SAYS | {"flags": 64}
    assert check_message(private, interaction=True) == []
    assert check_message(private) == ["flags: 64 cannot be set here"]
    assert check_message(private, interaction=True, edit=True) == ["flags: 64 cannot be set here"]


def test_only_a_message_to_a_channel_replies_and_only_a_webhook_names_its_author() -> None:
    reply = SAYS | {"message_reference": {"message_id": "1"}}
    named = SAYS | {"username": "socbot"}
    assert check_message(reply) == check_message(named, webhook=True) == []
    assert check_message(reply, interaction=True) == ["message_reference: unknown key"]
    assert check_message(named) == ["username: unknown key"]
    assert check_message(SAYS | {"username": "My Discord"}, webhook=True) == ["username: a name that is reserved"]


def test_an_edit_keeps_files_by_their_id_and_lists_those_that_are_new() -> None:
    kept = {"id": "998877665544332211", "filename": "old.png"}
    shows = {"embeds": [{"image": {"url": "attachment://old.png"}}]}
    assert check_message(SAYS | shows | {"attachments": [kept]}, edit=True) == []
    assert check_message(SAYS | shows, edit=True) == []
    assert check_message(SAYS | shows | {"attachments": []}, edit=True) == [
        "embeds[0].image.url: there is no file 'old.png'"
    ]
    assert check_message(SAYS | {"attachments": [kept]}, ["new.png"], edit=True) == [
        "attachments: files[0] is not in it"
    ]
    assert check_message(SAYS | {"attachments": [kept]}) == ["attachments: there is no files[998877665544332211]"]


def test_eleven_files_are_too_many() -> None:
    assert check_message(SAYS, ["x.txt"] * 10) == []
    assert check_message(SAYS, ["x.txt"] * 11) == ["attachments: 11 files, at most 10"]


def test_what_discord_py_makes_of_a_message_is_taken() -> None:
    embed = discord.Embed(title="T", description="D", colour=discord.Colour.red(), timestamp=datetime.now(UTC))
    embed.set_author(name="A", icon_url="https://example.org/a.png").set_footer(text="F")
    embed.add_field(name="N", value="V").set_image(url="attachment://chart.png")
    with handle_message_parameters(
        "text",
        embed=embed,
        file=discord.File(__file__, "chart.png", description="a chart"),
        nonce=1,
        allowed_mentions=discord.AllowedMentions.none(),
        message_reference=discord.MessageReference(message_id=1, channel_id=2).to_dict(),
    ) as sent:
        assert sent.multipart is not None
        body = discord.utils._from_json(sent.multipart[0]["value"])
        assert check_message(body, CHART) == []


def test_what_discord_py_sends_by_default_is_refused() -> None:
    with handle_message_parameters("@everyone") as sent:
        assert check_message(sent.payload) == ["allowed_mentions: missing"]


# -- answers to interactions ------------------------------------------------------------------------------

MODAL: Json = {
    "type": 9,
    "data": {
        "custom_id": "form",
        "title": "A form",
        "components": [
            {"type": 1, "components": [{"type": 4, "custom_id": "a", "style": 1, "label": "First"}]},
            {"type": 18, "label": "Second", "component": {"type": 4, "custom_id": "b", "style": 2, "value": "v"}},
        ],
    },
}
CHOICES: Json = {"type": 8, "data": {"choices": [{"name": "One", "value": "1"}, {"name": "Two", "value": 2}]}}
INPUT, LABEL = "data.components[0].components[0]", "data.components[1]"


@pytest.mark.parametrize(
    "body",
    [
        {"type": 1},
        {"type": 4, "data": SAYS | {"flags": 64}},
        {"type": 5},
        {"type": 5, "data": {"flags": 64}},
        {"type": 6},
        {"type": 6, "data": None},
        {"type": 7, "data": {"components": [], "allowed_mentions": NOBODY}},
        {"type": 8, "data": {"choices": []}},
        CHOICES,
        MODAL,
    ],
)
def test_a_right_answer_is_taken(body: Json) -> None:
    assert check_callback(body) == []


CALLBACK_FAULTS = [
    ({"type": 4, "data": SAYS}, "type", 2, "type: one of 1, 4, 5, 6, 7, 8, 9 is needed"),
    ({"type": 4, "data": SAYS}, "data", GONE, "data: missing"),
    ({"type": 4, "data": SAYS}, "data.allowed_mentions", GONE, "data.allowed_mentions: missing"),
    ({"type": 4, "data": SAYS}, "data.content", "", "data.content: an empty message"),
    ({"type": 4, "data": SAYS}, "data.nonce", "1", "data.nonce: unknown key"),
    ({"type": 7, "data": SAYS}, "data.allowed_mentions", GONE, "data.allowed_mentions: missing"),
    ({"type": 7, "data": SAYS}, "data.flags", 64, "data.flags: 64 cannot be set here"),
    ({"type": 5, "data": {}}, "data.flags", 4, "data.flags: 4 cannot be set here"),
    ({"type": 5, "data": {}}, "data.content", "x", "data.content: unknown key"),
    (CHOICES, "data.choices", [{"name": "x", "value": 1}] * 26, "data.choices: 26 of them, at most 25"),
    (CHOICES, "data.choices[0].name", "", "data.choices[0].name: empty"),
    (CHOICES, "data.choices[0].name", "x" * 101, "data.choices[0].name: 101 characters, at most 100"),
    (CHOICES, "data.choices[0].value", "x" * 101, "data.choices[0].value: 101 characters, at most 100"),
    (CHOICES, "data.choices[0].value", None, "data.choices[0].value: a number is needed"),
    (MODAL, "data.title", "x" * 46, "data.title: 46 characters, at most 45"),
    (MODAL, "data.title", GONE, "data.title: missing"),
    (MODAL, "data.custom_id", "x" * 101, "data.custom_id: 101 characters, at most 100"),
    (MODAL, "data.components", [], "data.components: 0 of them, at least 1"),
    (MODAL, f"{INPUT}.label", "x" * 46, f"{INPUT}.label: 46 characters, at most 45"),
    (MODAL, f"{INPUT}.label", GONE, f"{INPUT}.label: missing"),
    (MODAL, f"{INPUT}.style", 3, f"{INPUT}.style: one of 1, 2 is needed"),
    (MODAL, f"{INPUT}.max_length", 4001, f"{INPUT}.max_length: 4001 is not within 1 and 4000"),
    (MODAL, f"{INPUT}.min_length", -1, f"{INPUT}.min_length: -1 is not within 0 and 4000"),
    (MODAL, f"{INPUT}.value", "x" * 4001, f"{INPUT}.value: 4001 characters, at most 4000"),
    (MODAL, f"{INPUT}.placeholder", "x" * 101, f"{INPUT}.placeholder: 101 characters, at most 100"),
    (MODAL, f"{INPUT}.custom_id", "b", "data.components[].custom_id: 'b' twice"),
    (MODAL, f"{INPUT}.type", 2, f"{INPUT}.type: one of 4 is needed"),
    (MODAL, f"{LABEL}.label", "x" * 46, f"{LABEL}.label: 46 characters, at most 45"),
    (MODAL, f"{LABEL}.component.label", "x", f"{LABEL}.component.label: not here"),
    (MODAL, f"{LABEL}.component.max_length", 0, f"{LABEL}.component.max_length: 0 is not within 1 and 4000"),
    (MODAL, f"{LABEL}.component.min_length", 2, f"{LABEL}.component.value: 1 characters, which the input itself"),
]


@pytest.mark.parametrize(("body", "path", "value", "complaint"), CALLBACK_FAULTS)
def test_one_fault_in_an_answer_is_the_one_complaint(body: Json, path: str, value: Any, complaint: str) -> None:
    assert check_callback(body) == []
    [found] = check_callback(changed(body, path, value))
    assert found.startswith(complaint)


def test_a_row_of_a_form_has_one_input() -> None:
    row = MODAL["data"]["components"][0]
    double = row | {"components": [row["components"][0], row["components"][0] | {"custom_id": "c"}]}
    assert check_callback(changed(MODAL, "data.components[0]", double)) == [
        "data.components[0].components: 2 of them, at most 1"
    ]


@pytest.mark.parametrize(
    ("answer", "kinds"), [(1, {1, 2, 3, 5}), (4, {1, 2, 3, 5}), (6, {3, 5}), (7, {3, 5}), (8, {4}), (9, {1, 2, 3})]
)
def test_an_answer_fits_the_interaction(answer: int, kinds: set[int]) -> None:
    data: dict[int, Json] = {4: SAYS, 7: SAYS, 8: CHOICES["data"], 9: MODAL["data"]}
    body = {"type": answer} | ({"data": data[answer]} if answer in data else {})
    assert {kind for kind in range(1, 6) if not check_callback(body, kind=kind)} == kinds


def test_files_come_with_messages_only() -> None:
    assert check_callback({"type": 4, "data": SAYS}, ["a.txt"]) == []
    assert check_callback({"type": 6}, ["a.txt"]) == ["files: not with an answer of type 6"]


# -- application commands ---------------------------------------------------------------------------------

PARAMETER: Json = {"type": 3, "name": "who", "description": "Who it is."}
ADD: Json = {"type": 1, "name": "add", "description": "Add one.", "options": [PARAMETER | {"required": True}]}
GROUPED: Json = {
    "name": "blacklist",
    "type": 1,
    "description": "Who is kept out.",
    "options": [ADD, {"type": 2, "name": "list", "description": "Lists.", "options": [ADD]}],
    "default_member_permissions": "8",
    "contexts": [0, 1],
    "integration_types": [0],
    "nsfw": False,
}
MENU: Json = {"name": "Rate limit status", "type": 2, "description": "", "dm_permission": False}
PLAIN: Json = {
    "name": "ask",
    "description": "Ask something.",
    "options": [
        PARAMETER | {"required": True, "min_length": 0, "max_length": 6000},
        {"type": 4, "name": "times", "description": "How often.", "min_value": 1, "max_value": 9},
        PARAMETER | {"name": "what", "choices": [{"name": "A", "value": "a"}, {"name": "B", "value": "b"}]},
        PARAMETER | {"name": "job", "autocomplete": True},
        {"type": 11, "name": "file", "description": "A file.", "required": False},
    ],
}
COMMANDS = [GROUPED, MENU, PLAIN]
SLASH_NAMES = st.text(st.characters(categories=["Ll", "Lo", "Nd"], include_characters="-_'"), min_size=1, max_size=32)
COMMAND_FAULTS = [
    ("[0].name", "Blacklist", "commands[0].name: 'Blacklist' is not lower case"),
    ("[0].name", "black list", "commands[0].name: 'black list' has what a name cannot have"),
    ("[0].name", "x" * 33, "commands[0].name: 33 characters, at most 32"),
    ("[0].name", "ask", "commands: 'ask' twice among the slash commands"),
    ("[0].description", "", "commands[0].description: empty"),
    ("[0].description", "x" * 101, "commands[0].description: 101 characters, at most 100"),
    ("[0].type", 4, "commands[0].type: one of 1, 2, 3 is needed"),
    ("[0].default_member_permissions", 8, "commands[0].default_member_permissions: a number in a string is needed"),
    ("[0].contexts", [3], "commands[0].contexts[0]: one of 0, 1, 2 is needed"),
    ("[0].contexts", [0, 0], "commands[0].contexts: 0 twice"),
    ("[0].integration_types", [2], "commands[0].integration_types[0]: one of 0, 1 is needed"),
    ("[0].guild_only", True, "commands[0].guild_only: unknown key"),
    ("[0].options[1].type", 3, "commands[0].options[1].options: unknown key"),
    ("[0].options[1]", PARAMETER, "commands[0].options: subcommands beside parameters"),
    ("[0].options[1].name", "add", "commands[0].options[].name: 'add' twice"),
    ("[0].options[1].options", [], "commands[0].options[1].options: 0 of them, at least 1"),
    ("[0].options[1].options[0]", PARAMETER, "commands[0].options[1].options[0].type: one of 1 is needed"),
    ("[0].options[0].options[0]", ADD, "commands[0].options[0].options[0].type: one of 3, 4, 5, 6, 7, 8, 9, 10, 11"),
    ("[0].options[0].required", True, "commands[0].options[0].required: unknown key"),
    ("[1].name", "x" * 33, "commands[1].name: 33 characters, at most 32"),
    ("[1].description", "x", "commands[1].description: 1 characters, at most 0"),
    ("[1].options", [], "commands[1].options: unknown key"),
    ("[2].options[0].required", False, None),
    ("[2].options[4].required", True, "commands[2].options: one that is required after one that is not"),
    ("[2].options[0].min_length", 6001, "commands[2].options[0].min_length: 6001 is not within 0 and 6000"),
    ("[2].options[0].max_length", 0, "commands[2].options[0].max_length: 0 is not within 1 and 6000"),
    ("[2].options[0].min_value", 1, "commands[2].options[0].min_value: unknown key"),
    ("[2].options[1].min_length", 1, "commands[2].options[1].min_length: unknown key"),
    ("[2].options[1].min_value", 10, "commands[2].options[1].min_value: more than max_value"),
    ("[2].options[1].min_value", 2**53, f"commands[2].options[1].min_value: {2**53} is not within"),
    ("[2].options[2].autocomplete", True, "commands[2].options[2].autocomplete: not beside choices"),
    ("[2].options[2].choices[0].name", "B", "commands[2].options[2].choices[].name: 'B' twice"),
    ("[2].options[2].choices[0].value", "b", "commands[2].options[2].choices[].value: 'b' twice"),
    ("[2].options[2].choices[0].value", "x" * 101, "commands[2].options[2].choices[0].value: 101 characters"),
    ("[2].options[2].choices[0].value", 1, "commands[2].options[2].choices[0].value: a string is needed"),
    ("[2].options[0].type", 12, "commands[2].options[0].type: one of 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 is needed"),
    ("[2].options[0].description", GONE, "commands[2].options[0].description: missing"),
]


@pytest.mark.parametrize(("path", "value", "complaint"), COMMAND_FAULTS)
def test_one_fault_in_the_commands_is_the_one_complaint(path: str, value: Any, complaint: str | None) -> None:
    assert check_commands(COMMANDS) == []
    found = check_commands(changed(COMMANDS, path, value))
    assert [each.startswith(complaint or "") for each in found] == ([True] if complaint else [])


@given(SLASH_NAMES.filter(lambda name: name == name.lower()))
def test_letters_and_digits_of_any_script_make_a_name(name: str) -> None:
    assert check_commands([PLAIN | {"name": name}]) == []


@pytest.mark.parametrize("name", ["हिन्दी", "ที่นี่", "日本", "d'or", "a-b_c"])
def test_scripts_with_vowel_signs_make_names_too(name: str) -> None:
    assert check_commands([PLAIN | {"name": name}]) == []


@pytest.mark.parametrize(("sample", "most", "what"), [(PLAIN, 100, "slash"), (MENU, 5, "user menu")])
def test_there_may_be_so_many_commands_of_a_kind(sample: Json, most: int, what: str) -> None:
    commands = [sample | {"name": f"c{index}"} for index in range(most + 1)]
    assert check_commands(commands[:-1]) == []
    [found] = check_commands(commands)
    assert found.startswith(f"commands: {most + 1} {what}")


def test_a_menu_entry_and_a_slash_command_may_share_a_name() -> None:
    assert check_commands([PLAIN, MENU | {"name": "ask"}, MENU | {"name": "ask", "type": 3}]) == []


def test_there_may_be_25_options_and_choices() -> None:
    options = [PARAMETER | {"name": f"o{index}"} for index in range(26)]
    choices = [{"name": f"{index}", "value": f"{index}"} for index in range(26)]
    assert check_commands([PLAIN | {"options": options[:25]}]) == []
    assert check_commands([PLAIN | {"options": options}]) == ["commands[0].options: 26 of them, at most 25"]
    assert check_commands([PLAIN | {"options": [PARAMETER | {"choices": choices}]}]) == [
        "commands[0].options[0].choices: 26 of them, at most 25"
    ]


def test_a_command_has_8000_characters_with_all_its_parts() -> None:
    choices = [{"name": f"{index:02}{'n' * 98}", "value": f"{index:02}{'v' * 98}"} for index in range(25)]
    options = [{"type": 3, "name": "a", "description": "d" * 100, "choices": choices}, PARAMETER | {"name": "b"}]
    # 103 of the command, 5101 of the first option, 11 of the second
    filled = choices[: (8000 - 103 - 5101 - 11) // 200]
    rest = 8000 - 103 - 5101 - 11 - 200 * len(filled)
    last = {"name": f"l{'n' * (rest // 2 - 1)}", "value": "v" * (rest - rest // 2)}
    options[1]["choices"] = [*filled, last]
    body = {"name": "abc", "description": "d" * 100, "options": options}
    assert check_commands([body]) == []
    assert check_commands([changed(body, "options[1].name", "bb")]) == [
        "commands[0]: 8001 characters together, at most 8000"
    ]


# -- members ----------------------------------------------------------------------------------------------


def test_a_time_out_lasts_28_days_at_most() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)

    def until(later: timedelta) -> Json:
        return {"communication_disabled_until": (now + later).isoformat()}

    assert check_member_edit(until(timedelta(days=28)), now.timestamp()) == []
    assert check_member_edit({"communication_disabled_until": None}, now.timestamp()) == []
    assert check_member_edit(until(timedelta(days=28, seconds=1)), now.timestamp()) == [
        "communication_disabled_until: more than 28 days ahead"
    ]
    assert check_member_edit({"communication_disabled_until": 5}, now.timestamp()) == [
        "communication_disabled_until: an ISO 8601 time is needed"
    ]
    assert check_member_edit({"timeout": 5}, now.timestamp()) == ["timeout: unknown key"]


# -- whatever comes ---------------------------------------------------------------------------------------

json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\udfff"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.data())
def test_any_value_anywhere_is_complained_about_and_breaks_nothing(data: st.DataObject) -> None:
    value = data.draw(json_values)
    check_message(changed(data.draw(messages()), data.draw(st.sampled_from([*LONGEST, "embeds", "flags"])), value))
    check_commands(changed(COMMANDS, data.draw(st.sampled_from([path for path, *_ in COMMAND_FAULTS])), value))
    body, path, *_ = data.draw(st.sampled_from(CALLBACK_FAULTS))
    check_callback(changed(body, path, value))
    assert check_message(value)
    assert check_callback(value)
