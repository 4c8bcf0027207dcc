"""A quick first fit of the influence model by EM: who caused each move, then rates of causes, in turn.

Each move after contacts is shared out among the base hazard and the contacts of its stay, in proportion to their
hazards at that moment (E); a hazard is then its share of the moves over what it was exposed to (M). Fatigue and appeal
are left at 1. It gives the sampler its coordinates and its start; the posterior does not depend on it.

Source: EM for superposed point processes, Veen & Schoenberg (2008), JASA 103.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.influence_history import InfluenceHistory

    FloatArray = NDArray[np.float64]

HALF_LIVES_DAYS: Final = np.geomspace(0.02, 200, 60)
"""Where EM looks for half-lives."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What EM found: moves (G, M) that are left to the base, pulls (C, P), and half-lives (C,) in days."""

    base_moves: FloatArray
    pull: FloatArray
    half_life_days: FloatArray


def expectation_maximisation(
    history: InfluenceHistory, *, half_life_days: float, pull_by_stage: bool, sweeps: int = 30
) -> Start:
    """Where to start; `half_life_days` is what channels begin with, and keep if they caused nothing."""
    n_channels, n_places = len(history.channels), len(history.pushed_stages) if pull_by_stage else 1
    place = np.cumsum(history.pushed >= 0) - 1 if pull_by_stage else np.zeros_like(history.pushed)
    kind = history.cells[:, 1] * n_places + place[history.cells[:, 2]]  # (K,) channel and place of each cell
    n_kinds = n_channels * n_places
    weights = np.zeros((n_kinds, len(history.ages)))
    np.add.at(weights, kind, history.age_weights)
    contacts = np.bincount(kind, weights=history.cell_contacts, minlength=n_kinds)
    # (L, C * P) contacts, each by the share of its influence that was spent, at every half-life
    spent = contacts - np.exp(-np.log(2) / HALF_LIVES_DAYS[:, None] * history.ages) @ weights.T
    spent = np.maximum(spent, 1e-9)

    exposure = history.stages.exposure_days[:, history.stages.origins]
    starts = history.first_contact[:-1]
    contact_kind = kind[history.contact_cell]
    contact_channel = contact_kind // n_places
    at = np.full(n_channels, np.argmin(np.abs(np.log(HALF_LIVES_DAYS / half_life_days))))
    influence = np.full(n_kinds, 0.02)
    base_moves = history.plain_moves
    by_channel = np.arange(n_kinds) // n_places
    for _ in range(sweeps if len(starts) else 0):
        base = np.divide(base_moves, exposure, out=np.zeros_like(base_moves), where=exposure > 0)
        decay = (np.log(2) / HALF_LIVES_DAYS[at])[contact_channel]
        part = influence[contact_kind] * decay * np.exp(-decay * history.contact_age)
        hazard = np.maximum(base.ravel()[history.moves_after_contact], 1e-12)
        total = hazard + np.add.reduceat(part, starts)
        part /= np.repeat(total, np.diff(history.first_contact))
        by_base = np.bincount(history.moves_after_contact, weights=hazard / total, minlength=base.size)
        base_moves = history.plain_moves + by_base.reshape(base.shape)
        caused = np.bincount(contact_kind, weights=part, minlength=n_kinds)
        aged = np.bincount(contact_channel, weights=part * history.contact_age, minlength=n_channels)
        # (L, C) expected log likelihood of each half-life at the influences that are best with it
        decays = (np.log(2) / HALF_LIVES_DAYS)[:, None]
        gain = -caused * np.log(spent)
        profile = np.stack([gain[:, by_channel == c].sum(axis=1) for c in range(n_channels)], axis=1)
        profile += np.bincount(by_channel, weights=caused, minlength=n_channels) * np.log(decays) - decays * aged
        at = np.where(aged > 0, profile.argmax(axis=0), at)
        influence = caused / spent[at[by_channel], np.arange(n_kinds)]
    pull = np.minimum(-np.expm1(-influence), np.nextafter(1.0, 0.0))  # 1 would be an infinite influence
    return Start(base_moves, pull.reshape(n_channels, n_places), HALF_LIVES_DAYS[at])
