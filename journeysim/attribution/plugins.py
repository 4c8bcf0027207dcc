"""Methods of other distributions, found by the entry point group `journeysim.attribution_methods`, loaded when used."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final
from warnings import warn

from journeysim.attribution.method import Method
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection
    from importlib.metadata import EntryPoint

GROUP: Final = "journeysim.attribution_methods"


class PluginWarning(UserWarning):
    """A method of another distribution cannot be used; the message names the distribution."""


def found_plugins(taken: Collection[str]) -> dict[str, EntryPoint]:
    """Entry points by name, without loading them; a name that is taken is left out with a warning."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, distribution(point))):
        if point.name in taken:
            owner = "journeysim"
        elif point.name in found:
            owner = distribution(found[point.name])
        else:
            found[point.name] = point
            continue
        if distribution(point) != owner:  # the same distribution may be listed twice on the path
            warn(
                f"The attribution method {point.name!r} of {distribution(point)} is left out: {owner} has one of that "
                "name. Ask its authors to rename the entry point.",
                PluginWarning,
                stacklevel=2,
            )
    return found


def load_plugin(point: EntryPoint) -> Method:
    """Load the method behind an entry point: a `Method`, or a factory such as the class itself.

    Raises
    ------
    InputError : if it cannot be imported, or is neither; the message names the distribution
    """
    try:
        loaded = point.load()
    except Exception as error:
        raise InputError(
            f"The attribution method {point.name!r} of {distribution(point)} ({point.value}) cannot be loaded: "
            f"{type(error).__name__}: {error}. Update or uninstall {distribution(point)}; other methods go on working."
        ) from error
    if isinstance(loaded, Method):
        return replace(loaded, provided_by=distribution(point))
    if callable(loaded):
        return Method(factory=loaded, provided_by=distribution(point))
    raise InputError(
        f"The attribution method {point.name!r} of {distribution(point)} ({point.value}) is {type(loaded).__name__}; "
        "its entry point must lead to a Method, or to a class or function that makes the method."
    )


def distribution(point: EntryPoint) -> str:
    """The distribution that an entry point belongs to."""
    return point.dist.name if point.dist is not None else f"the package of {point.value}"
