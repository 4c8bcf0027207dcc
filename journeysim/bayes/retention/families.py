"""The three models of retention: what each assumes, its priors, and its likelihood on sufficient statistics."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from journeysim.bayes.priors import is_number
from journeysim.bayes.retention.priors import Parameter, Range, check_range
from journeysim.bayes.retention.purchases import DAYS_IN
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.bayes.retention.cohorts import CohortHistory
    from journeysim.bayes.retention.pooling import Likelihood
    from journeysim.bayes.retention.priors import Link
    from journeysim.bayes.retention.purchases import PurchaseHistory

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

ALIKE: Final = 1e-3
"""Mean values of customers that differ by at most this share are the same: a gamma distribution so narrow has shapes of
a million and more, at which the likelihood is a difference of numbers that are nearly equal."""
FEW: Final = 2
"""So many customers may be alike by chance: the priors keep their shapes in bounds. From 3 on, sampling may fail."""


def _check(model: ShiftedBetaGeometric | BetaGeoNBD | GammaGamma) -> None:
    for field in fields(model):
        if field.name in model.links:
            check_range(type(model).__name__, field.name, getattr(model, field.name), model.links[field.name])


@dataclass(frozen=True, slots=True)
class ShiftedBetaGeometric:
    """Contractual: at each renewal a customer leaves with a probability of their own, beta-distributed in a segment.

    Each prior is the range of a typical segment that holds 90% of the mass (Fader & Hardie 2007).

    Attributes
    ----------
    churn : mean probability to leave at the first renewal, a / (a + b)
    concentration : a + b; 0.5: most customers either leave at once or never, 50: all are much alike
    odds_ratio : of one unit of a covariate: 90% within a factor of this, up or down; > 1
    segment_spread : standard deviation of a parameter between segments, on the log (odds) scale
    """

    churn: Range = (0.02, 0.7)
    concentration: Range = (0.3, 30.0)
    odds_ratio: float = 3.0
    segment_spread: Range = (0.1, 1.0)
    links: ClassVar[Mapping[str, Link]] = {"churn": "logit", "concentration": "log", "segment_spread": "log"}

    def __post_init__(self) -> None:
        _check(self)
        if not (is_number(self.odds_ratio) and self.odds_ratio > 1):
            raise InputError(f"ShiftedBetaGeometric: odds_ratio must be a number above 1, got {self.odds_ratio!r}.")

    def parameters(self) -> tuple[Parameter, ...]:
        """What is fitted per segment."""
        return (
            Parameter("churn", "logit", self.churn),
            Parameter("concentration", "log", self.concentration),
        )

    def likelihood(self, history: CohortHistory) -> Likelihood:
        """Of a history, by its sufficient statistics."""
        segment = np.array(history.segment)
        return _CohortLikelihood(
            segment, *(np.array(values, order="C") for values in (history.covariates, history.stayed, history.left))
        )


@dataclass(frozen=True, slots=True)
class BetaGeoNBD:
    """Non-contractual: while active a customer buys at random times; after each repeat purchase they may be gone.

    Purchase rates are gamma-, chances to be gone beta-distributed in a segment (Fader, Hardie & Lee 2005). Each prior
    is the range of a typical segment that holds 90% of the mass.

    Attributes
    ----------
    days_between_purchases : 1 / mean purchase rate of an active customer
    rate_shape : r of the gamma distribution; 0.2: few customers make most purchases, 5: all buy about as often
    dropout : mean probability to be gone after a repeat purchase, a / (a + b)
    dropout_concentration : a + b; 0.5: some stay for ever and the others go at once, 50: all are much alike
    segment_spread : standard deviation of a parameter between segments, on the log (odds) scale
    """

    days_between_purchases: Range = (5.0, 1000.0)
    rate_shape: Range = (0.1, 5.0)
    dropout: Range = (0.02, 0.7)
    dropout_concentration: Range = (0.3, 30.0)
    segment_spread: Range = (0.1, 1.0)
    links: ClassVar[Mapping[str, Link]] = {
        "days_between_purchases": "log", "rate_shape": "log", "dropout": "logit", "dropout_concentration": "log",
        "segment_spread": "log",
    }  # fmt: skip

    def __post_init__(self) -> None:
        _check(self)

    def parameters(self, history: PurchaseHistory) -> tuple[Parameter, ...]:
        """What is fitted per segment; the rate is per unit of the history."""
        fast, slow = self.days_between_purchases
        days = DAYS_IN[history.unit]
        return (
            Parameter("purchase_rate", "log", (days / slow, days / fast)),
            Parameter("rate_shape", "log", self.rate_shape),
            Parameter("dropout", "logit", self.dropout),
            Parameter("dropout_concentration", "log", self.dropout_concentration),
        )

    def likelihood(self, history: PurchaseHistory) -> PurchaseLikelihood:
        """Of a history, by its cells."""
        cells = history.cells
        return PurchaseLikelihood(cells.first, cells.frequency, cells.recency, cells.age, cells.n)


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Spend: values of a customer's purchases vary around a mean of their own, which does not depend on the rate.

    Gamma with shape p around it, and inverse-gamma with shape q between customers (Fader & Hardie 2013). Each prior is
    the range of a typical segment that holds 90% of the mass.

    Attributes
    ----------
    spend : mean value of a purchase, p v / (q - 1), in the currency of the log
    value_shape : p; values of one customer scatter by 1 / sqrt(p) of their mean
    customer_shape : q > 1, so that the mean exists; the larger, the more customers are alike
    segment_spread : standard deviation of a parameter between segments, on the log scale
    """

    spend: Range = (1.0, 1000.0)
    value_shape: Range = (0.5, 50.0)
    customer_shape: Range = (1.2, 20.0)
    segment_spread: Range = (0.1, 1.0)
    links: ClassVar[Mapping[str, Link]] = {
        "spend": "log", "value_shape": "log", "customer_shape": "log above 1", "segment_spread": "log"
    }  # fmt: skip

    def __post_init__(self) -> None:
        _check(self)

    def parameters(self) -> tuple[Parameter, ...]:
        """What is fitted per segment."""
        return (
            Parameter("spend", "log", self.spend),
            Parameter("value_shape", "log", self.value_shape),
            Parameter("customer_shape", "log above 1", self.customer_shape),
        )

    def likelihood(self, history: PurchaseHistory) -> SpendLikelihood:
        """Of a history: of the customers who bought again.

        Raises
        ------
        InputError : nobody's spend is known, a customer's mean is 0 or below, which no gamma distribution has, or all
            customers spend the same
        """
        if history.mean_value is None:
            raise InputError("GammaGamma: the history has no values of purchases.")
        known = np.flatnonzero(~np.isnan(history.mean_value) & (history.frequency > 0))
        if (wrong := known[history.mean_value[known] <= 0]).size:
            i = wrong[0]
            raise InputError(
                f"GammaGamma: customer {history.customers[i]} has mean value {history.mean_value[i]:g}; values must "
                "be above 0: drop returns and free orders, or leave values out."
            )
        _refuse_alike(history, known)
        order = known[np.lexsort((history.mean_value[known], history.frequency[known], history.segment[known]))]
        first = np.searchsorted(history.segment[order], np.arange(len(history.segments) + 1)).astype(np.int64)
        x = history.frequency[order].astype(np.float64)
        return SpendLikelihood(first, x, np.array(history.mean_value[order]), np.ones(len(order)))


def _refuse_alike(history: PurchaseHistory, known: IntArray) -> None:
    """Raise InputError if more than a few customers, of one segment or of all, spend the same."""
    assert history.mean_value is not None  # noqa: S101
    groups = {f"segment {name!r}": known[history.segment[known] == g] for g, name in enumerate(history.segments)}
    for group, rows in {"the history": known, **groups}.items():
        values = history.mean_value[rows]
        if len(values) > FEW and np.ptp(values) <= ALIKE * values.max():
            raise InputError(
                f"GammaGamma: all {len(values):,} customers of {group} who bought again spend {values.mean():g} a "
                "purchase, so there is no distribution of spend to learn; leave values out of the history and pass "
                f"money=Money(value={values.mean():g}), or split by other segments."
            )


class _CohortLikelihood:
    def __init__(self, segment: IntArray, covariates: FloatArray, stayed: FloatArray, left: FloatArray) -> None:
        from journeysim.bayes.retention.kernels import shifted_beta_geometric

        self._evaluate = shifted_beta_geometric
        self._data = (segment, covariates, stayed, left)
        self.size = float(stayed.sum() + left.sum())

    def __call__(self, theta: FloatArray, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        result: tuple[float, FloatArray, FloatArray] = self._evaluate(theta, beta, *self._data)
        return result


class PurchaseLikelihood:
    """BG/NBD likelihood of cells."""

    def __init__(
        self, first: IntArray, frequency: IntArray, recency: FloatArray, age: FloatArray, n: FloatArray
    ) -> None:
        from journeysim.bayes.retention.kernels import beta_geo_nbd

        self._evaluate = beta_geo_nbd
        self._data = (first, frequency, recency, age, n)
        self.size = float(n.sum())

    def __call__(self, theta: FloatArray, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value and gradients; there are no coefficients."""
        # an array of its own for each call: chains run in threads
        value, gradient = self._evaluate(theta, *self._data, np.empty(len(self._data[-1])))
        return value, gradient, beta

    def by_cell(self, theta: FloatArray) -> FloatArray:
        """(N,) log likelihood of one customer of each cell at theta (G, K)."""
        values = np.empty(len(self._data[-1]))
        self._evaluate(theta, *self._data, values)
        return values


class SpendLikelihood:
    """Gamma-Gamma likelihood of customers who bought again."""

    def __init__(self, first: IntArray, x: FloatArray, mean: FloatArray, n: FloatArray) -> None:
        from journeysim.bayes.retention.kernels import gamma_gamma

        self._evaluate = gamma_gamma
        self._data = (first, x, mean, n)
        self.size = float(n.sum())

    def __call__(self, theta: FloatArray, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value and gradients; there are no coefficients."""
        value, gradient = self._evaluate(theta, *self._data, np.empty(len(self._data[-1])))
        return value, gradient, beta
