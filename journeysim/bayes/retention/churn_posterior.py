"""ChurnPosterior: what customers under contract will do: who renews how often, worth what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from journeysim.bayes import netcdf
from journeysim.bayes.retention.changes import NOTHING, RetentionChange, RetentionWhatIf, check_names
from journeysim.bayes.retention.cohorts import CohortHistory
from journeysim.bayes.retention.draws import SegmentDraws, growing_times
from journeysim.bayes.retention.expectations import beta_nodes, discount, stays_until
from journeysim.bayes.retention.posterior import RetentionPosterior, from_file
from journeysim.bayes.retention.priors import from_line, to_line
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from journeysim.bayes.retention.money import Money

    FloatArray = NDArray[np.float64]

FORMAT: Final = "journeysim churn posterior 1"


@dataclass(frozen=True, eq=False, repr=False)
class ChurnPosterior(RetentionPosterior):
    """Posterior of the shifted beta-geometric model.

    Answers are per segment, over its classes of covariates as they are mixed in the history, for customers who have
    renewed `age` times already; times count renewals from then on. Nobody leaves before the first renewal.
    """

    history: CohortHistory

    @property
    def segments(self) -> tuple[str, ...]:
        """The G segment names."""
        return self.history.segments

    @property
    def covariates(self) -> tuple[str, ...]:
        """The P covariates that move the log odds of churn."""
        return self.history.covariate_names

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading the figures: segments that are hardly seen."""
        return self.history.notes

    def retention(self, renewals: object, *, age: int = 0, change: RetentionChange = NOTHING) -> SegmentDraws:
        """Share of customers who stay for each number of further renewals: the survival curve."""
        at = growing_times(renewals, "retention", whole=True)
        return self._answer("share still customers", at, self._stays(at, age, change))

    def renewal_rate(self, renewals: object, *, age: int = 0, change: RetentionChange = NOTHING) -> SegmentDraws:
        """Share of those who come up for a renewal who stay: the retention rate, which rises as the fickle leave."""
        at = growing_times(renewals, "renewal_rate", whole=True)
        if (at < 1).any():
            raise InputError(f"renewal_rate: the first renewal is number 1, got {renewals!r}.")
        draws = self._stays(at, age, change) / self._stays(at - 1, age, change)
        return self._answer("renewal rate", at, draws)

    def renewals(self, horizon: int, *, age: int = 0, change: RetentionChange = NOTHING) -> SegmentDraws:
        """Expected number of renewals that a customer makes among the next `horizon`: the restricted residual life."""
        (end,) = growing_times([horizon], "renewals", whole=True)
        made = self._stays(np.arange(1, end + 1), age, change).sum(axis=-1)
        return self._answer("renewals made", np.array([end]), made[..., None])

    def lifetime_value(
        self, horizon: int, *, money: Money, age: int = 0, change: RetentionChange = NOTHING
    ) -> SegmentDraws:
        """Value today of the next `horizon` renewals; the period that is paid for already is not counted.

        Raises
        ------
        InputError : `money` has no value, or it discounts and the days of a period are not known
        """
        (end,) = growing_times([horizon], "lifetime_value", whole=True)
        value = money.required() * money.margin * change.factor("spend", self.segments)
        days = self.history.days_per_period
        if days is None and money.yearly_discount:
            raise InputError("lifetime_value: how long is a period? Pass days_per_period to the history.")
        at = np.arange(1, end + 1)
        worth = self._stays(at, age, change) @ discount(at, money.yearly_discount, days or 0.0)
        return self._answer("lifetime value", np.array([end]), (worth * value)[..., None])

    def what_if(
        self, changes: Sequence[RetentionChange], *, horizon: int, age: int = 0, money: Money | None = None
    ) -> RetentionWhatIf:
        """Retention after `horizon` renewals, renewals made and their value, as it is and after each change.

        Raises
        ------
        InputError : a setting is out of range, a change names no segment, or has a purchase rate
        """
        check_names(changes)
        if wrong := [change.name for change in changes if change.purchase_rate != 1]:
            raise InputError(f"what_if: {wrong[0]!r} changes the purchase rate, which a contract does not have.")

        def outcomes(change: RetentionChange) -> dict[str, FloatArray]:
            found = {
                "retention": self.retention([horizon], age=age, change=change).draws[..., 0],
                "renewals": self.renewals(horizon, age=age, change=change).draws[..., 0],
            }
            if money is not None:
                found["value"] = self.lifetime_value(horizon, money=money, age=age, change=change).draws[..., 0]
            return found

        return RetentionWhatIf(
            segments=self.segments,
            n_customers=self.history.segment_sizes,
            changes=tuple(changes),
            baseline=outcomes(NOTHING),
            changed=tuple(outcomes(change) for change in changes),
            horizon=horizon,
            unit=f"renewals ({self.history.period})",
        )

    @classmethod
    def load(cls, path: str | Path) -> ChurnPosterior:
        """The posterior that `save` wrote, equal to the last bit.

        Raises
        ------
        InputError : if the file does not exist, is damaged, or was not written by `ChurnPosterior.save`
        """
        with netcdf.opened(path, file_format=FORMAT) as file:
            names = netcdf.names(file["covariate"]) if "covariate" in file.coords else ()
            stayed = netcdf.numbers(file["stayed"])
            history = CohortHistory(
                segments=netcdf.names(file["segment"]),
                segment=netcdf.numbers(file["segment_of"]).astype(np.int64),
                covariate_names=names,
                covariates=netcdf.numbers(file["covariates"]) if names else np.empty((len(stayed), 0)),
                stayed=stayed,
                left=netcdf.numbers(file["left"]),
                active=netcdf.numbers(file["active"]),
                period=file.attrs["period"],
                days_per_period=float(file.attrs["days_per_period"]) or None,
            )
            return cls(history=history, **from_file(file))

    def _history_dataset(self) -> xr.Dataset:
        import xarray as xr

        history = self.history
        data: dict[str, Any] = {
            "segment_of": ("row", history.segment.astype(np.float64)),
            "stayed": (("row", "renewal"), history.stayed),
            "left": (("row", "renewal"), history.left),
            "active": (("row", "renewed"), history.active),
        }
        coords = {}
        if history.covariate_names:
            data["covariates"] = (("row", "covariate"), history.covariates)
            coords["covariate"] = list(history.covariate_names)
        attributes = {
            "format": FORMAT, "period": history.period, "days_per_period": history.days_per_period or 0.0
        }  # fmt: skip
        return xr.Dataset(data, coords=coords, attrs=attributes)

    def _answer(self, what: str, times: FloatArray, draws: FloatArray) -> SegmentDraws:
        return SegmentDraws(what, "renewals", self.segments, times, draws)

    def beta(self) -> tuple[FloatArray, FloatArray]:
        """(D, R) draws of a and b, the beta distribution of churn, per row of the history."""
        history = self.history
        chosen = self.parameters.thinned(self.n_answer_draws)
        coefficients = np.concatenate(self.parameters.coefficients)[chosen]
        odds = to_line(self.answer_draws("churn")[:, history.segment], "logit") + coefficients @ history.covariates.T
        churn = from_line(odds, "logit")
        both = self.answer_draws("concentration")[:, history.segment]
        return churn * both, (1 - churn) * both

    def _stays(self, renewals: FloatArray, age: int, change: RetentionChange) -> FloatArray:
        """(D, G, T), rows of a segment weighted by the customers of this age that they have if nothing changes."""
        if not (isinstance(age, int | np.integer) and age >= 0):
            raise InputError(f"age counts the renewals made already, a whole number >= 0, got {age!r}.")
        history = self.history
        a, b = self.beta()
        p, weight = beta_nodes(a, b + age)
        factor = change.factor("churn", self.segments)[history.segment]
        stays = stays_until(renewals, np.minimum(p * factor[:, None], 1.0), weight)
        size = history.at_risk[:, 0] * np.ones_like(a)
        if age:
            young, young_weight = beta_nodes(a, b)
            size = size * stays_until(np.array([age]), young, young_weight)[..., 0]
        # a segment without customers is its row without covariates, if it has one: the weight only has to be above 0
        size = np.maximum(size, 1e-12)
        of_segment = np.eye(len(self.segments))[history.segment]
        total = np.einsum("dr,drt,rg->dgt", size, stays, of_segment)
        stays_of_segment: FloatArray = total / (size @ of_segment)[..., None]
        return stays_of_segment
