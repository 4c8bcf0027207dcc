"""How many hidden personas does a log ask for? EM with one, two, ... classes, compared by BIC."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.bayes.influence import MOST_PERSONAS, InfluenceModel, require_customers
from journeysim.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from journeysim.influence_history import InfluenceHistory

LEAST_GAIN: Final = 0.01
"""Log-likelihood per customer. Personas who explain less (in trap-saturation 0.004 to 0.008, where fatigue looks a bit
like them) are too alike for a sampler to tell apart, and to do harm; those of random worlds gained 0.06 and more."""


@dataclass(frozen=True, slots=True)
class HiddenPersonasChoice:
    """What EM found with 1, 2, ... hidden personas.

    Attributes
    ----------
    log_likelihood : of each number, at the mode that EM reached
    n_parameters : that each has more than one class
    n_customers : of the log, with a stay
    """

    log_likelihood: tuple[float, ...]
    n_parameters: tuple[int, ...]
    n_customers: int

    @property
    def bic(self) -> tuple[float, ...]:
        """Above that of the best number."""
        value = -2 * np.array(self.log_likelihood) + np.array(self.n_parameters) * math.log(self.n_customers)
        return tuple((value - value.min()).tolist())

    @property
    def best(self) -> int:
        """The number of hidden personas with the lowest BIC; 1 if it gains less than `LEAST_GAIN` over one."""
        k = int(np.argmin(self.bic))
        gain = (self.log_likelihood[k] - self.log_likelihood[0]) / self.n_customers
        return k + 1 if gain >= LEAST_GAIN else 1

    def to_frame(self) -> pl.DataFrame:
        """One row per number: hidden_personas, log_likelihood, parameters, bic (above that of the best)."""
        import polars as pl

        return pl.DataFrame(
            {
                "hidden_personas": range(1, len(self.bic) + 1),
                "log_likelihood": self.log_likelihood,
                "parameters": self.n_parameters,
                "bic": self.bic,
            }
        )


def choose_hidden_personas(
    history: InfluenceHistory, *, model: InfluenceModel | None = None, most: int = 2
) -> HiddenPersonasChoice:
    """Compare numbers of hidden personas by EM, in seconds and without a sampler.

    Each class more costs a share per segment, a pace, a patience and a reach per channel. BIC is severe: it takes a
    class more only if that explains the customers far better, so that a log without hidden personas keeps one.

    Parameters
    ----------
    history : made with `to_influence_history(log, customers=True)`
    model : its `pull_by_stage` and `typical_half_life_days` are used
    most : the largest number to try, from 2 to 5

    Raises
    ------
    InputError : `most` is out of its range, or the history does not keep its customers

    Source: Schwarz (1978), Annals of Statistics 6, 461-464.
    """
    from journeysim.bayes.hidden_em import hidden_em

    if not 2 <= most <= MOST_PERSONAS:
        raise InputError(f"most is {most}; it must be from 2 to {MOST_PERSONAS}.")
    require_customers(history)
    assert history.customers is not None  # noqa: S101  # just required
    model = model or InfluenceModel()
    each = len(history.stages.segments) + 2 + len(history.channels)
    found = [
        hidden_em(history, k, half_life_days=model.typical_half_life_days, pull_by_stage=model.pull_by_stage)
        for k in range(1, most + 1)
    ]
    return HiddenPersonasChoice(
        log_likelihood=tuple(fit.log_likelihood for fit in found),
        n_parameters=tuple(each * k for k in range(most)),
        n_customers=int(history.customers.weight.sum()),
    )
