"""Purchases of BG/NBD customers, drawn at random: what posterior predictives are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


def purchase_times(
    rng: np.random.Generator, rate: FloatArray, p: FloatArray, horizon: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Repeat purchases of customers who are active at time 0: who, and when, in order per customer.

    Parameters
    ----------
    rate, p, horizon : (n,) purchases per unit, chance to be gone after each purchase, and until when
    """
    who, time = np.arange(len(rate)), np.zeros(len(rate))
    all_who, all_times = [], []
    while len(who):
        time = time + rng.exponential(size=len(who)) / np.maximum(rate[who], 1e-300)
        bought = time < horizon[who]
        who, time = who[bought], time[bought]
        all_who.append(who)
        all_times.append(time)
        stays = rng.random(len(who)) >= p[who]
        who, time = who[stays], time[stays]
    whose, when = np.concatenate([np.empty(0, np.int64), *all_who]), np.concatenate([np.empty(0), *all_times])
    order = np.lexsort((when, whose))
    return whose[order], when[order]
