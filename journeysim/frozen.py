"""A mapping that stays as it is: what frozen models keep their dictionaries in."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class FrozenDict(dict[Key, Value]):
    """A dict that cannot be changed and can be hashed; the order of its keys counts.

    Order counts because the first forward move of a stage is the one that contacts push: equal worlds behave alike.
    It is a dict, and not a `types.MappingProxyType`, so that it can be pickled, copied and dumped like one.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenDict):
            return [*self.items()] == [*other.items()]
        return dict(self) == other

    def __ne__(self, other: object) -> bool:  # dict has one of its own
        return not self == other

    def __hash__(self) -> int:  # type: ignore[override]  # dict has none
        return hash(tuple(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:  # otherwise unpickling fills an empty one, which is a change
        return FrozenDict, (dict(self),)

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("this mapping is frozen; build a new one, and a new model with it")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse
