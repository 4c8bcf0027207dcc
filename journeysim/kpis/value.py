"""What buyers have been worth: revenue after the first purchase, corrected for those observed for a short time only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from journeysim.kpis.intervals import Estimates
from journeysim.kpis.observed import US_PER_DAY, money

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.groups import Groups
    from journeysim.kpis.observed import Observed

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

DAYS_PER_YEAR = 365.0


@dataclass(frozen=True, slots=True, eq=False)
class Buyers:
    """Purchases of n buyers, in days since the first one of each.

    Attributes
    ----------
    followed : (n,) days that each was observed
    units : (n,) what is taken as independent of each other
    who, day, value : (k,) of each purchase: the buyer, the day (ascending, at most `followed`), its value
    """

    followed: FloatArray
    units: IntArray
    who: IntArray
    day: FloatArray
    value: FloatArray

    def at_risk(self, days: FloatArray) -> IntArray:
        """(T,) how many were observed for at least so long."""
        return np.asarray(len(self.followed) - np.searchsorted(np.sort(self.followed), days, side="left"))

    def mean_cumulative(self, days: FloatArray) -> Estimates:
        """(T,) mean cumulative value per buyer up to each of `days` (ascending or not), with 95% intervals.

        M(t) is the sum over purchases on days u <= t of value / Y(u), where Y(u) buyers were observed for at least u
        days. Its variance is the sum over units of the squares of their influences: for one buyer

            sum over own purchases of value / Y(u)  -  sum over all purchases up to min(t, followed) of value / Y(u)^2

        and the interval is Student's on the scale of log M, with U units times U/(U - 1). How long somebody is observed
        must not depend on what is bought, as holds where only the end of the window cuts off. NaN beyond what anybody
        was observed; no bounds where M is not positive or there are fewer than two units.

        Sources: Nelson (1988), Graphical analysis of system repair data, Journal of Quality Technology 20:24; Lawless
        & Nadeau (1995), Some simple robust methods for the analysis of recurrent events, Technometrics 37:158, eq. 2.5.
        """
        n_units = int(self.units.max(initial=-1)) + 1
        at_risk = self.at_risk(self.day)
        own = self.value / at_risk
        total, spent = (np.append(0.0, np.cumsum(part)) for part in (own, own / at_risk))
        until = np.searchsorted(self.day, self.followed, side="right")
        k = np.searchsorted(self.day, days, side="right")
        value, error = total[k], np.full(len(days), np.nan)
        if n_units > 1:
            units = self.units[self.who]
            so_far, done = np.zeros(n_units), 0
            for t in np.argsort(days, kind="stable"):
                so_far += np.bincount(units[done : k[t]], own[done : k[t]], n_units)
                done = int(k[t])
                off = so_far - np.bincount(self.units, spent[np.minimum(until, k[t])], n_units)
                error[t] = np.sqrt(n_units / (n_units - 1) * float(off @ off))
        value = np.where(days <= self.followed.max(initial=-1.0), value, np.nan)
        known = (value > 0) & (error > 0)
        factor = np.full(len(days), np.nan)
        factor[known] = np.exp(stdtrit(max(n_units - 1, 1), 0.975) * error[known] / value[known])
        return Estimates(value, value / factor, value * factor)


def buyers_value(log: EventLog, observed: Observed, groups: Groups, yearly_discount: float = 0.0) -> list[Buyers]:
    """The buyers of each group; the value of a purchase u days after the first is over (1 + discount)^(u/365)."""
    rows = observed.rows("purchase")
    who = observed.who[rows]
    day = (observed.time[rows] - observed.first_purchase[who]) / US_PER_DAY
    value = money(log, "value", rows) / (1 + yearly_discount) ** (day / DAYS_PER_YEAR)
    order = np.argsort(day, kind="stable")
    who, day, value = who[order], day[order], value[order]

    buyers = np.flatnonzero(observed.bought)
    followed = (observed.end - observed.first_purchase[buyers]) / US_PER_DAY
    place = np.full(observed.n_customers, -1)
    found = []
    for members, purchases in zip(groups.split(buyers), groups.split(who), strict=True):
        those = buyers[members]
        place[those] = np.arange(len(those))
        _, units = np.unique(groups.units[those], return_inverse=True)
        found.append(Buyers(followed[members], units, place[who[purchases]], day[purchases], value[purchases]))
    return found
