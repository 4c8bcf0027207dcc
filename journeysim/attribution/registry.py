"""The methods by name: the one place that lists them, and where a user adds their own."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from journeysim.attribution.heuristic import FirstTouch, LastTouch, Linear, PositionBased, TimeDecay
from journeysim.attribution.removal import RemovalEffect
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from journeysim.attribution.base import Attribution, Attributor
    from journeysim.journeys import Journeys

_METHODS: dict[str, Callable[[], Attributor]] = {
    "first_touch": FirstTouch,
    "last_touch": LastTouch,
    "linear": Linear,
    "position_based": PositionBased,
    "time_decay": TimeDecay,
    "markov": RemovalEffect,
}


def methods() -> tuple[str, ...]:
    """Names of the registered methods.

    >>> "markov" in methods()
    True
    """
    return tuple(_METHODS)


def register(name: str, factory: Callable[[], Attributor]) -> None:
    """Add a method under a new name; `factory` makes it with its default settings.

    Raises
    ------
    InputError : if the name is taken
    """
    if name in _METHODS:
        raise InputError(f"There is an attribution method {name!r} already; register yours under another name.")
    _METHODS[name] = factory


def attribute(journeys: Journeys, method: str | Attributor = "markov") -> Attribution:
    """Credit the conversions of journeys to channels.

    Parameters
    ----------
    journeys : paths of touches and what each led to
    method : a registered name, for its default settings, or a method with settings such as `RemovalEffect(order=2)`

    Raises
    ------
    InputError : for an unknown name, journeys without conversions, or whatever the method refuses
    """
    if isinstance(method, str):
        if method not in _METHODS:
            near = get_close_matches(method, _METHODS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(f"Unknown attribution method {method!r}.{hint} Methods: {', '.join(_METHODS)}.")
        method = _METHODS[method]()
    return method.attribute(journeys)
