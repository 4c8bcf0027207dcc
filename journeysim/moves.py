"""What worlds and logs have in common: `lost`, `lapsed`, the cause `base`, and which way a move goes."""

from collections.abc import Collection, Sequence
from typing import Final, Literal

LOST: Final = "lost"
"""The absorbing state of a customer who left the journey for good; never a stage that a user defines."""

LAPSED: Final = "lapsed"
"""The stage, where a world or log has one, of former customers who can be won back: entering it is an exit."""

BASE: Final = "base"
"""The cause of a move that no contact and no pain point caused."""

Direction = Literal["forward", "back", "exit"]


def direction(origin: str, target: str, *, stages: Sequence[str], purchase_stages: Collection[str]) -> Direction:
    """Which way a move goes: `exit` to lost or lapsed, `forward` to a later stage or a purchase, `back` otherwise.

    Stages are in the order of the journey. A repeat purchase (loyalty to purchase) counts as forward, although
    purchase stands earlier in that order, and so does every way back from lapsed: the customer is won back.

    >>> direction("loyalty", "purchase", stages=["purchase", "loyalty"], purchase_stages={"purchase"})
    'forward'
    """
    if target in (LOST, LAPSED):
        return "exit"
    if target in purchase_stages or origin == LAPSED or stages.index(target) > stages.index(origin):
        return "forward"
    return "back"
