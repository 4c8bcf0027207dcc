"""InfluenceHistory: what a model of influence needs of a log: counts, days at risk, contacts, and moves after contacts.

The likelihood of a stay in stage s that ends after T days, with contacts j at ages a_j before its end, base hazard h of
the pushed move, and influences A_j d_j exp(-d_j t) of the contacts, is

    [h + sum_j A_j d_j exp(-d_j a_j)]^(it ended in the pushed move) * exp(-h T - sum_j A_j (1 - exp(-d_j a_j)))

Only stays that end in the pushed move after a contact need rows. Of all others it takes days at risk, and per cell of
contacts that share A and d the sum of exp(-d a_j) as a function of d, which is kept as weights on fixed ages: it does
not grow with the number of customers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.customer_rows import CustomerRows, customer_rows
from journeysim.errors import InputError
from journeysim.stays import Stays, to_stays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.stage_history import StageHistory

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

FIRST_AGE_DAYS: Final = 1e-4
AGE_STEP: Final = 0.1
"""Ages are kept on a grid of this step in log age; exp(-d a) between its points is cubic interpolation, which errs by
at most 1.3e-5 for half-lives of 0.01 days and more (tests measure it)."""
MOST_INSTANT: Final = 0.01
"""Share of moves after contacts that may happen at the very instant of one."""


def age_grid(longest_days: float) -> FloatArray:
    """(Q,) ages in days that hold the weights: 0, then from 9 seconds to beyond `longest_days`."""
    n = max(int(np.ceil(np.log(max(longest_days, FIRST_AGE_DAYS) / FIRST_AGE_DAYS) / AGE_STEP)), 0) + 4
    return np.concatenate([[0.0], FIRST_AGE_DAYS * np.exp(AGE_STEP * np.arange(-1, n))])


@dataclass(frozen=True, slots=True, eq=False)
class InfluenceHistory:
    """Contacts and moves, per segment. G segments, S stages, C channels, M moves, K cells, Q ages, E moves, T contacts.

    Attributes
    ----------
    stages : moves and days at risk
    channels : the C channel names
    pushed : (S,) the move, as index into `stages.moves`, that contacts in each stage may cause; -1 where none
    contacts : (G, S, C) contacts made in each stage; with the days at risk there, the rate at which they come
    cells : (K, 4) segment, channel, stage, earlier contacts on the channel: contacts that share one influence
    cell_contacts : (K,) how many contacts each cell holds
    ages : (Q,) days
    age_weights : (K, Q) the ages that contacts reached when their stay ended, as weights; a row sums to its contacts
    moves_after_contact : (E,) segment * M + move of each stay with a contact that ended in its pushed move
    first_contact : (E + 1,) where the contacts of each begin
    contact_cell : (T,) cell of each of their contacts
    contact_age : (T,) days from the contact to the move
    customers : customer by customer, for a model with hidden personas; None if they were not asked for
    """

    stages: StageHistory
    channels: tuple[str, ...]
    pushed: IntArray
    contacts: FloatArray
    cells: IntArray
    cell_contacts: FloatArray
    ages: FloatArray
    age_weights: FloatArray
    moves_after_contact: IntArray
    first_contact: IntArray
    contact_cell: IntArray
    contact_age: FloatArray
    customers: CustomerRows | None = None

    def __post_init__(self) -> None:
        shape = (len(self.stages.segments), len(self.stages.stages), len(self.channels))
        k, n = len(self.cells), len(self.moves_after_contact)
        for name, expected in {
            "pushed": shape[1:2],
            "contacts": shape,
            "cells": (k, 4),
            "cell_contacts": (k,),
            "age_weights": (k, len(self.ages)),
            "first_contact": (n + 1,),
            "contact_age": self.contact_cell.shape,
        }.items():
            if getattr(self, name).shape != expected:
                raise InputError(
                    f"InfluenceHistory: {name} has shape {getattr(self, name).shape}, expected {expected}."
                )
        if not (np.isfinite(self.contact_age) & (self.contact_age >= 0)).all():
            raise InputError("InfluenceHistory: contact_age must be finite and >= 0: a contact comes before its move.")
        if (self.plain_moves < 0).any():
            raise InputError("InfluenceHistory: there are more moves after contacts than moves of that kind.")
        for name in self.__slots__:
            if isinstance(column := getattr(self, name), np.ndarray):
                column.setflags(write=False)

    def __repr__(self) -> str:
        return (
            f"InfluenceHistory({self.contacts.sum():,.6g} contacts on {len(self.channels)} channels, "
            f"{len(self.moves_after_contact):,} moves after contacts, {self.stages!r})"
        )

    @property
    def plain_moves(self) -> FloatArray:
        """(G, M) moves that no contact of the same stay may have caused."""
        after = np.bincount(self.moves_after_contact, minlength=self.stages.counts.size)
        plain: FloatArray = self.stages.counts - after.reshape(self.stages.counts.shape)
        return plain

    @property
    def pushed_stages(self) -> tuple[str, ...]:
        """The P stages with a move that contacts may cause, in the order of the journey."""
        return tuple(name for name, move in zip(self.stages.stages, self.pushed, strict=True) if move >= 0)

    @property
    def moves_met(self) -> FloatArray:
        """(C, S) moves before which the stay had a contact on each channel."""
        met = np.zeros((len(self.channels), len(self.stages.stages)))
        move = np.repeat(np.arange(len(self.moves_after_contact)), np.diff(self.first_contact))
        pairs = np.unique(np.column_stack([move, self.cells[self.contact_cell, 1:3]]), axis=0)
        np.add.at(met, (pairs[:, 1], pairs[:, 2]), 1.0)
        return met


def to_influence_history(
    log: EventLog, *, by: str | None = None, pushes_to: Mapping[str, str] | None = None, customers: bool = False
) -> InfluenceHistory:
    """Count contacts, moves and days at risk of a log, and list its moves after contacts.

    Parameters
    ----------
    by : column of `log.customers` to split by (persona, device, ...); None for one segment, `all`
    pushes_to : by stage, the move that contacts made there may cause; by default the forward move to the nearest later
        stage, or, where none is later, to the first purchase
    customers : keep what each customer did, which `InfluenceModel(hidden_personas=...)` needs

    Raises
    ------
    InputError : the log has no stages, no touches, no such column, events after a loss, no move that contacts might
        cause, a `pushes_to` that is no forward move of the log, or moves at the very instant of contacts
    """
    return influence_history(to_stays(log, by=by), pushes_to=pushes_to, customers=customers)


def influence_history(
    stays: Stays, *, pushes_to: Mapping[str, str] | None = None, customers: bool = False
) -> InfluenceHistory:
    """As `to_influence_history`, from the stays of a log."""
    from journeysim.stay_kernels import spread_over_ages  # compiled

    counts, n_channels = stays.counts, len(stays.channels)
    n_segments, n_stages = counts.exposure_days.shape
    pushed = _pushed_moves(counts, pushes_to or {})
    if (pushed < 0).all():
        raise InputError("No stage of the log has a forward move, so there is nothing that contacts could have caused.")
    segment, stage = stays.segment[stays.contact_stay], stays.stage[stays.contact_stay]
    met = (segment * n_stages + stage) * n_channels + stays.contact_channel
    contacts = np.bincount(met, minlength=n_segments * n_stages * n_channels).astype(np.float64)

    acts = pushed[stage] >= 0
    segment, stage, channel = segment[acts], stage[acts], stays.contact_channel[acts]
    age, repeat, stay = stays.contact_age[acts], stays.contact_repeat[acts], stays.contact_stay[acts]
    most = int(repeat.max(initial=0)) + 1
    code = ((segment * n_channels + channel) * n_stages + stage) * most + repeat
    present = np.bincount(code, minlength=0) > 0
    cell = (np.cumsum(present) - 1)[code]
    rest, n_before = np.divmod(np.flatnonzero(present), most)
    rest, in_stage = np.divmod(rest, n_stages)
    cells = np.column_stack([*np.divmod(rest, n_channels), in_stage, n_before]).astype(np.int64)
    ages = age_grid(float(age.max(initial=0.0)))

    targets = np.append(counts.targets, -2)[pushed]  # -2 for stages without a pushed move
    done = (stays.target == targets[stays.stage])[stay]
    moves, first = np.unique(stay[done], return_index=True)
    if np.mean(np.minimum.reduceat(age[done], first) == 0 if len(first) else [0.0]) > MOST_INSTANT:
        raise InputError(
            "Moves happen at the very instant of a contact: the log dates moves by contacts, so the times contradict "
            "what they should tell, how long a contact takes to act. Use the times of the moves themselves."
        )
    return InfluenceHistory(
        stages=counts,
        channels=stays.channels,
        pushed=pushed,
        contacts=contacts.reshape(n_segments, n_stages, n_channels),
        cells=cells,
        cell_contacts=np.bincount(cell, minlength=len(cells)).astype(np.float64),
        ages=ages,
        age_weights=spread_over_ages(cell, age, ages, len(cells), FIRST_AGE_DAYS, AGE_STEP),
        moves_after_contact=stays.segment[moves] * len(counts.moves) + pushed[stays.stage[moves]],
        first_contact=np.append(first, done.sum()).astype(np.int64),
        contact_cell=cell[done],
        contact_age=age[done],
        customers=customer_rows(stays, moves) if customers else None,
    )


def _pushed_moves(counts: StageHistory, pushes_to: Mapping[str, str]) -> IntArray:
    """(S,) index of the move that contacts may cause, -1 where there is none."""
    forward = [m for m, way in enumerate(counts.directions) if way == "forward"]
    for stage, target in pushes_to.items():
        if (stage, target) not in (counts.moves[m] for m in forward):
            known = ", ".join(" -> ".join(counts.moves[m]) for m in forward) or "none"
            raise InputError(f"pushes_to: {stage} -> {target} is no forward move of the log; there are: {known}.")
    pushed = np.full(len(counts.stages), -1, dtype=np.int64)
    for s, stage in enumerate(counts.stages):
        ways = [m for m in forward if counts.origins[m] == s]
        if stage in pushes_to:
            ways = [m for m in ways if counts.moves[m][1] == pushes_to[stage]]
        if ways:  # later stages in their order, then those that stand earlier
            pushed[s] = min(ways, key=lambda m: (counts.targets[m] < s, counts.targets[m]))
    return pushed
