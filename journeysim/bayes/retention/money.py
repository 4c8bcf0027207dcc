"""Money: how purchases or renewals are turned into value today."""

from __future__ import annotations

from dataclasses import dataclass

from journeysim.bayes.priors import is_number
from journeysim.errors import InputError


@dataclass(frozen=True, slots=True)
class Money:
    """Settings of every lifetime value.

    Attributes
    ----------
    yearly_discount : 0.1 for 10% a year, >= 0
    margin : share of the value that is counted, above 0
    value : of one purchase or renewal; None: as fitted
    """

    yearly_discount: float = 0.1
    margin: float = 1.0
    value: float | None = None

    def __post_init__(self) -> None:
        if not (is_number(self.yearly_discount) and self.yearly_discount >= 0):
            raise InputError(f"Money: yearly_discount is {self.yearly_discount!r}; write 0.1 for 10% a year.")
        if not (is_number(self.margin) and self.margin > 0):
            raise InputError(f"Money: margin is {self.margin!r}; write 0.3 for 30% of the value.")
        if self.value is not None and not (is_number(self.value) and self.value >= 0):
            raise InputError(f"Money: value is {self.value!r}; it must be a number >= 0.")

    def required(self) -> float:
        """The value.

        Raises
        ------
        InputError : there is none
        """
        if self.value is None:
            raise InputError("The value of a purchase or renewal is not known: pass money=Money(value=...).")
        return self.value
