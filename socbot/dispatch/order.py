"""What an order of the chain costs or breaks, said before it runs."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from socbot.dispatch.chain import Layer


class Finding(Struct, frozen=True):
    """One thing that is wrong (``error``: such a chain is refused) or costly (``warning``) about an order.

    :param chosen: whether it is somebody's choice, such as a mode, and no oversight
    """

    level: Literal["error", "warning"]
    text: str
    chosen: bool = False


def check_order(layers: Sequence[Layer], required: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Hold an order against what its middleware declare.

    :param required: guards that may be switched off by ``mode: off`` but not left out
    """
    findings: list[Finding] = []
    names = [layer.name for layer in layers]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        findings.append(
            Finding("error", f"{name} is listed {names.count(name)} times; one place in the order is enough")
        )
    for name in required:
        if name not in names:
            findings.append(Finding("error", f"{name} is missing; to run without it, say so: list it with `mode: off`"))
    active = [layer for layer in layers if layer.mode != "off"]
    for layer in layers:
        if layer.mode != "enforce" and layer.placement.may_refuse:
            effect = "decides but lets everything pass" if layer.mode == "shadow" else "refuses nobody"
            findings.append(Finding("warning", f"{layer.name} is in mode {layer.mode}: it {effect}", chosen=True))
    for position, layer in enumerate(active):
        earlier = {other.name for other in active[:position]}
        later = {other.name for other in active[position + 1 :]}
        if layer.placement.sees_refusals:
            hidden = ", ".join(other.name for other in active[:position] if other.placement.may_refuse)
            if hidden:
                text = f"{layer.name} wants to see refusals, and never sees those of {hidden}, which stands outside it"
                findings.append(Finding("warning", text))
        for name, reason in layer.placement.before.items():
            if name in earlier:
                findings.append(Finding("warning", f"{layer.name} stands after {name}: {reason}"))
        for name, reason in layer.placement.after.items():
            if name in later:
                findings.append(Finding("warning", f"{layer.name} stands before {name}: {reason}"))
    return tuple(findings)
