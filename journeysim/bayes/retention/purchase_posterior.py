"""PurchasePosterior: what customers without a contract will do: who is still active, who buys how often, worth what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from journeysim.bayes import netcdf
from journeysim.bayes.retention.changes import NOTHING, RetentionChange, RetentionWhatIf, check_names
from journeysim.bayes.retention.draws import SegmentDraws, central, growing_times
from journeysim.bayes.retention.expectations import active_at, beta_nodes, discount, purchases_until
from journeysim.bayes.retention.money import Money
from journeysim.bayes.retention.posterior import RetentionPosterior, from_file
from journeysim.bayes.retention.purchases import DAYS_IN, PurchaseHistory
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import polars as pl
    import xarray as xr
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

FORMAT: Final = "journeysim purchase posterior 1"
MAX_CUSTOMER_DRAWS: Final = 200
"""Answers per customer use at most so many draws: a table of 1e5 customers is then 2e7 numbers, a chunk at a time."""
_CHUNK: Final = 2000
_STEPS: Final = 24
Who = Literal["new", "current"]


@dataclass(frozen=True, eq=False, repr=False)
class PurchasePosterior(RetentionPosterior):
    """Posterior of BG/NBD, and of Gamma-Gamma spend where the history has values.

    Answers are about *new* customers, who have just made their first purchase, or *current* ones, given what each did.
    Times are in the unit of the history. Purchases are repeat purchases.
    """

    history: PurchaseHistory

    @property
    def segments(self) -> tuple[str, ...]:
        """The G segment names."""
        return self.history.segments

    @property
    def covariates(self) -> tuple[str, ...]:
        """None: this model has no covariates."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading the figures: segments that are hardly seen."""
        return self.history.notes

    @property
    def has_spend(self) -> bool:
        """Whether values of purchases were fitted."""
        return "spend" in self.parameters.names

    def retention(self, times: object, *, change: RetentionChange = NOTHING) -> SegmentDraws:
        """Share of new customers who are still active at each time."""
        at = growing_times(times, "retention")
        shape, rate, p, weight = self._new(change)
        return self._answer("share still active", at, active_at(at, shape, rate, p, weight))

    def purchases(self, times: object, *, change: RetentionChange = NOTHING) -> SegmentDraws:
        """Expected repeat purchases of a new customer by each time."""
        at = growing_times(times, "purchases")
        shape, rate, p, weight = self._new(change)
        return self._answer("repeat purchases per customer", at, purchases_until(at, shape, rate, p, weight))

    def active_time(self, horizon: float, *, change: RetentionChange = NOTHING) -> SegmentDraws:
        """Expected time, within a horizon, for which a new customer stays active.

        Without a horizon it is infinite wherever r < 1: some customers buy so rarely that they never leave.
        """
        (end,) = growing_times([horizon], "active_time")
        nodes, weights = np.polynomial.legendre.leggauss(_STEPS)
        curve = self.retention((nodes + 1) / 2 * end, change=change).draws
        return self._answer("time active", np.array([end]), (curve @ weights / 2 * end)[..., None])

    def lifetime_value(
        self, horizon: float, *, money: Money | None = None, change: RetentionChange = NOTHING
    ) -> SegmentDraws:
        """Value today of a new customer's repeat purchases within a horizon; the first purchase is not counted.

        Parameters
        ----------
        money : discount, margin, and the value of a purchase if spend was not fitted

        Raises
        ------
        InputError : spend was not fitted and `money` has no value
        """
        money = money or Money()
        (end,) = growing_times([horizon], "lifetime_value")
        edges = np.linspace(0, end, _STEPS + 1)
        bought = np.diff(self.purchases(edges, change=change).draws, axis=-1) @ self._discounts(edges, money)
        spend = self.answer_draws("spend") if self.has_spend and money.value is None else money.required()
        value = bought * spend * money.margin * change.factor("spend", self.segments)
        return self._answer("lifetime value", np.array([end]), value[..., None])

    def customers(
        self, horizon: float, *, money: Money | None = None, level: float = 0.9, change: RetentionChange = NOTHING
    ) -> pl.DataFrame:
        """One row per current customer, in the order of the history.

        Columns: customer, segment; p_active, the probability to be active still, with p_active_low and p_active_high;
        purchases expected within the horizon, with bounds; active_time, expected within the horizon; still_active, the
        probability to be active at its end, with bounds; and value of those purchases today, with bounds, where spend
        was fitted or `money` has a value. Bounds are central intervals of these expectations, not of what a customer
        will do.
        """
        import polars as pl

        ends = central(level)
        columns: dict[str, list[FloatArray]] = {}
        for part in self._current(horizon, money, change):
            for name, draws in part.outcomes.items():
                low, high = np.quantile(draws, ends, axis=0)
                bounds = {} if name == "active_time" else {f"{name}_low": low, f"{name}_high": high}
                for column, values in {name: draws.mean(axis=0), **bounds}.items():
                    columns.setdefault(column, []).append(values)
        return pl.DataFrame(
            {
                "customer": self.history.customers,
                "segment": np.array(self.segments)[self.history.segment],
                **{name: np.concatenate(parts) for name, parts in columns.items()},
            }
        )

    def what_if(
        self,
        changes: Sequence[RetentionChange],
        *,
        horizon: float,
        who: Who = "new",
        money: Money | None = None,
    ) -> RetentionWhatIf:
        """Retention at the horizon, purchases until then and their value per customer, as it is and after each change.

        Parameters
        ----------
        who : "new" customers, one for each of the history; or "current" ones, given what each did before
        money : see `lifetime_value`; without spend and value there is no outcome `value`

        Raises
        ------
        InputError : a setting is out of range, or a change names no segment of the history
        """
        if who not in ("new", "current"):
            raise InputError(f"what_if: who is {who!r}; it must be 'new' or 'current'.")
        check_names(changes)
        outcomes = [self._outcomes(change, horizon, who, money) for change in (NOTHING, *changes)]
        return RetentionWhatIf(
            segments=self.segments,
            n_customers=self.history.segment_sizes.astype(np.float64),
            changes=tuple(changes),
            baseline=outcomes[0],
            changed=tuple(outcomes[1:]),
            horizon=horizon,
            unit=self.history.unit,
        )

    @classmethod
    def load(cls, path: str | Path) -> PurchasePosterior:
        """The posterior that `save` wrote, equal to the last bit.

        Raises
        ------
        InputError : if the file does not exist, is damaged, or was not written by `PurchasePosterior.save`
        """
        from datetime import datetime

        with netcdf.opened(path, file_format=FORMAT) as file:
            until, unit = file.attrs["until"], file.attrs["unit"]
            ids = file["customer"].to_numpy()
            history = PurchaseHistory(
                segments=netcdf.names(file["segment"]),
                customers=ids.astype(np.int64) if file.attrs["integer_ids"] else ids.astype(np.str_),
                segment=netcdf.numbers(file["segment_of"]).astype(np.int64),
                frequency=netcdf.numbers(file["frequency"]).astype(np.int64),
                recency=netcdf.numbers(file["recency"]),
                age=netcdf.numbers(file["age"]),
                mean_value=netcdf.numbers(file["mean_value"]) if "mean_value" in file else None,
                unit=unit,
                until=datetime.fromisoformat(until) if until else None,
            )
            return cls(history=history, **from_file(file))

    def _history_dataset(self) -> xr.Dataset:
        import xarray as xr

        history = self.history
        # netCDF-3 has no 64-bit integers: identifiers go as text, and numbers as doubles, exact below 2**53
        data: dict[str, Any] = {
            "segment_of": ("customer", history.segment.astype(np.float64)),
            "frequency": ("customer", history.frequency.astype(np.float64)),
            "recency": ("customer", history.recency),
            "age": ("customer", history.age),
        }
        if history.mean_value is not None:
            data["mean_value"] = ("customer", history.mean_value)
        attributes = {
            "format": FORMAT,
            "unit": history.unit,
            "until": history.until.isoformat() if history.until else "",
            "integer_ids": int(history.customers.dtype.kind in "iu"),
        }
        return xr.Dataset(data, coords={"customer": history.customers.astype(np.str_)}, attrs=attributes)

    def _answer(self, what: str, times: FloatArray, draws: FloatArray) -> SegmentDraws:
        return SegmentDraws(what, self.history.unit, self.segments, times, draws)

    def _discounts(self, edges: FloatArray, money: Money) -> FloatArray:
        return discount((edges[1:] + edges[:-1]) / 2, money.yearly_discount, DAYS_IN[self.history.unit])

    def beta(self) -> tuple[FloatArray, FloatArray]:
        """(D, G) draws of a and b, the beta distribution of the chance to be gone after a purchase."""
        mean, both = self.answer_draws("dropout"), self.answer_draws("dropout_concentration")
        return mean * both, (1 - mean) * both

    def gamma(self) -> tuple[FloatArray, FloatArray]:
        """(D, G) draws of r and alpha, the gamma distribution of purchase rates."""
        shape = self.answer_draws("rate_shape")
        return shape, shape / self.answer_draws("purchase_rate")

    @cached_property
    def _nodes(self) -> tuple[FloatArray, FloatArray]:
        return beta_nodes(*self.beta())

    def _new(self, change: RetentionChange) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        shape, rate = self.gamma()
        p, weight = self._nodes
        p = np.minimum(p * change.factor("churn", self.segments)[:, None], 1.0)
        return shape, rate / change.factor("purchase_rate", self.segments), np.maximum(p, 1e-300), weight

    def _outcomes(
        self, change: RetentionChange, horizon: float, who: Who, money: Money | None
    ) -> dict[str, FloatArray]:
        worth = self.has_spend or (money is not None and money.value is not None)
        if who == "new":
            found = {
                "retention": self.retention([horizon], change=change).draws[..., 0],
                "purchases": self.purchases([horizon], change=change).draws[..., 0],
            }
            if worth:
                found["value"] = self.lifetime_value(horizon, money=money, change=change).draws[..., 0]
            return found
        sums: dict[str, FloatArray] = {}
        sizes = np.maximum(self.history.segment_sizes, 1)
        for part in self._current(horizon, money, change):
            of_segment = np.eye(len(self.segments))[self.history.segment[part.rows]] / sizes
            for name, draws in part.outcomes.items():
                sums[name] = sums.get(name, 0.0) + draws @ of_segment
        return {
            "retention": sums["still_active"], "purchases": sums["purchases"],
            **({"value": sums["value"]} if worth else {}),
        }  # fmt: skip

    def _current(self, horizon: float, money: Money | None, change: RetentionChange) -> Iterator[_Part]:
        """Outcomes (D, chunk) of current customers, a chunk of them after the other."""
        (end,) = growing_times([horizon], "horizon")
        money = money or Money()
        edges = np.linspace(0, end, _STEPS // 2 + 1)
        discounts = self._discounts(edges, money)
        every = np.arange(len(self.answer_draws("rate_shape")))
        chosen = every[np.unique(np.linspace(0, len(every) - 1, min(len(every), MAX_CUSTOMER_DRAWS)).astype(np.int64))]
        history = self.history
        churn, faster, dearer = (change.factor(what, self.segments) for what in ("churn", "purchase_rate", "spend"))
        r, alpha = (draws[chosen] for draws in self.gamma())
        a, b = (draws[chosen] for draws in self.beta())
        for begin in range(0, history.n_customers, _CHUNK):
            rows = np.arange(begin, min(begin + _CHUNK, history.n_customers))
            g, x, age = history.segment[rows], history.frequency[rows], history.age[rows]
            # what comes depends on segment, x and T alone, and its nodes on segment and x
            states, state = np.unique(np.column_stack([g, x, age]), axis=0, return_inverse=True)
            gs, xs = states[:, 0].astype(np.int64), states[:, 1]
            kinds, kind = np.unique(states[:, :2], axis=0, return_inverse=True)
            gk = kinds[:, 0].astype(np.int64)
            p, weight = (nodes[:, kind.reshape(-1)] for nodes in beta_nodes(a[:, gk], b[:, gk] + kinds[:, 1]))
            p = np.clip(p * churn[gs][:, None], 1e-300, 1.0)
            shape, rate = r[:, gs] + xs, (alpha[:, gs] + states[:, 2]) / faster[gs]
            bought = purchases_until(edges, shape, rate, p, weight)[:, state.reshape(-1)]
            nodes, legendre = np.polynomial.legendre.leggauss(_STEPS // 2)
            at = np.append((nodes + 1) / 2 * end, end)
            stays = active_at(at, shape, rate, p, weight)[:, state.reshape(-1)]
            active = p_active(x, history.recency[rows], age, r[:, g], alpha[:, g], a[:, g], b[:, g])
            outcomes = {
                "p_active": active,
                "purchases": active * bought[..., -1],
                "active_time": active * (stays[..., :-1] @ legendre / 2 * end),
                "still_active": active * stays[..., -1],
            }
            if self.has_spend or money.value is not None:
                spend = self._spend(rows, chosen) if money.value is None else np.full(len(rows), money.value)
                outcomes["value"] = active * (np.diff(bought, axis=-1) @ discounts) * spend * money.margin * dearer[g]
            yield _Part(rows, outcomes)

    def _spend(self, rows: IntArray, chosen: IntArray) -> FloatArray:
        """(D, chunk) expected value of a customer's next purchase: their own mean, drawn to that of the segment.

        Source: Fader & Hardie (2013), eq. 5.
        """
        g = self.history.segment[rows]
        assert self.history.mean_value is not None  # noqa: S101  # spend was fitted
        own = self.history.mean_value[rows]
        x = np.where(np.isnan(own), 0, self.history.frequency[rows])
        p, q, mean = (self.answer_draws(name)[chosen][:, g] for name in ("value_shape", "customer_shape", "spend"))
        spend: FloatArray = (mean * (q - 1) + p * x * np.nan_to_num(own)) / (p * x + q - 1)
        return spend


@dataclass(frozen=True, slots=True)
class _Part:
    rows: IntArray
    outcomes: dict[str, FloatArray]


def p_active(
    x: IntArray, t_x: FloatArray, age: FloatArray, r: FloatArray, alpha: FloatArray, a: FloatArray, b: FloatArray
) -> FloatArray:
    """Probability to be active still, given x repeat purchases, the last at t_x, within `age`; shapes broadcast.

    Source: Fader, Hardie & Lee (2008), Computing P(alive) using the BG/NBD model, eq. 3. Without a repeat purchase it
    is 1: in this model customers leave after repeat purchases only.
    """
    log_odds_gone = np.log(a) - np.log(b + np.maximum(x, 1) - 1) + (r + x) * (np.log(alpha + age) - np.log(alpha + t_x))
    return np.where(x > 0, 1 / (1 + np.exp(np.minimum(log_odds_gone, 700.0))), 1.0)
