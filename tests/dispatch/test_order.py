"""What an order costs is said before it runs; one that cannot work is refused."""

from socbot.dispatch.chain import Layer, Placement
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.order import check_order
from socbot.dispatch.outcomes import Mode
from socbot.dispatch.replies import Reply


async def passes(ctx: Context, call_next: Handler) -> Reply | None:
    return await call_next(ctx)


def layer(name: str, mode: Mode = "enforce", **placement: object) -> Layer:
    return Layer(name, passes, Placement(**placement), mode)  # type: ignore[arg-type]


GATE = layer("gate", may_refuse=True, before={"meter": "it would measure what is refused"})
METER = layer("meter", kind="observer", after={"alarm": "it would not hear of alarms"})
ALARM = layer("alarm", kind="observer")


def found(*layers: Layer, required: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(finding.level, finding.text) for finding in check_order(layers, required)]


def test_a_good_order_has_no_findings() -> None:
    assert found(GATE, ALARM, METER, required=("gate",)) == []


def test_an_order_against_before_and_after_is_warned_of_with_the_reasons() -> None:
    assert found(METER, GATE, ALARM) == [
        ("warning", "meter stands before alarm: it would not hear of alarms"),
        ("warning", "gate stands after meter: it would measure what is refused"),
    ]


def test_what_is_off_stands_in_nobodys_way() -> None:
    off = layer("meter", "off", after={"alarm": "it would not hear of alarms"})
    assert found(off, GATE, ALARM) == []


def test_a_required_guard_that_is_left_out_is_an_error() -> None:
    ((level, text),) = found(METER, required=("gate",))
    assert level == "error"
    assert text == "gate is missing; to run without it, say so: list it with `mode: off`"


def test_a_required_guard_may_be_switched_off_and_that_is_said() -> None:
    off, shadow = layer("gate", "off", may_refuse=True), layer("gate", "shadow", may_refuse=True)
    assert found(off, required=("gate",)) == [("warning", "gate is in mode off: it refuses nobody")]
    assert found(shadow) == [("warning", "gate is in mode shadow: it decides but lets everything pass")]


def test_a_name_that_is_listed_twice_is_one_error() -> None:
    assert found(ALARM, ALARM, ALARM) == [("error", "alarm is listed 3 times; one place in the order is enough")]


def test_names_that_are_not_in_the_chain_are_no_matter() -> None:
    assert found(layer("mine", before={"theirs": "reason"}, after={"others": "reason"})) == []


def test_who_wants_to_see_refusals_is_told_what_is_hidden_from_it() -> None:
    seer = layer("seer", kind="observer", sees_refusals=True)
    assert found(seer, GATE) == []
    assert found(GATE, seer) == [
        ("warning", "seer wants to see refusals, and never sees those of gate, which stands outside it")
    ]
