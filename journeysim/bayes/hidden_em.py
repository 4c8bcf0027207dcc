"""A quick fit of the influence model with hidden classes by EM, from several starts; how many classes a log asks for.

As `influence_em`, with each customer in every class by the probability that what he or she did gives it. A mixture has
local modes: of several starts, in each of which the faster class meets another channel more (or less) often, that with
the highest likelihood goes on.

Source: Dempster, Laird & Rubin (1977), JRSS B 39; choice by BIC: Schwarz (1978), Annals of Statistics 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.bayes.hidden_classes import EXIT, FORWARD, Classes, Customers, Expected, expected, leaving
from journeysim.bayes.influence_em import HALF_LIVES_DAYS, Start, expectation_maximisation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.influence_history import InfluenceHistory

    FloatArray = NDArray[np.float64]

SWEEPS_PER_START: Final = 12
SWEEPS: Final = 400
TOLERANCE: Final = 1e-3
"""Gain of the log-likelihood in one sweep below which EM stops."""
A_LITTLE: Final = 1.0
"""Events added to both sides of a ratio of events, so that it is never 0 or infinite."""
TURNS: Final = 3
"""In a sweep, ratios of classes and what they are ratios to are found in turn, so often."""
NO_MOVES: Final = 1e-3
NO_DAYS: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class HiddenStart:
    """What EM found; `start` as without classes, `exposure` (G, M) days at risk in terms of the slowest class."""

    start: Start
    exposure: FloatArray
    log_hazard: FloatArray
    classes: Classes
    log_likelihood: float


def hidden_em(history: InfluenceHistory, n_classes: int, *, half_life_days: float, pull_by_stage: bool) -> HiddenStart:
    """The best of several starts; classes are in the order of their pace."""
    first = expectation_maximisation(history, half_life_days=half_life_days, pull_by_stage=pull_by_stage)
    fit = _Sweeps(history, pull_by_stage=pull_by_stage)
    begun = [fit.begin(first, reach) for reach in _starts(len(history.channels), n_classes)]
    for _ in range(SWEEPS_PER_START if n_classes > 1 else 0):
        begun = [fit.sweep(state) for state in begun]
    best = max(begun, key=lambda state: state.log_likelihood)
    for _ in range(SWEEPS):
        before, best = best.log_likelihood, fit.sweep(best)
        if best.log_likelihood - before < TOLERANCE:
            break
    return fit.result(best)


def _starts(n_channels: int, n_classes: int) -> list[FloatArray]:
    """(K, C) logs of reach to begin with."""
    starts = [np.zeros((n_classes, n_channels))]
    for c in range(n_channels if n_classes > 1 else 0):
        for factor in (5.0, 0.2):
            reach = np.zeros((n_classes, n_channels))
            for k in range(1, n_classes):
                reach[k, (c + k - 1) % n_channels] = np.log(factor)
            starts.append(reach)
    return starts


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    log_hazard: FloatArray
    influence: FloatArray  # (C * P,)
    at: FloatArray  # (C,) index of half-lives
    classes: Classes
    base: FloatArray
    log_likelihood: float


class _Sweeps:
    """One sweep of EM after the other on a history."""

    def __init__(self, history: InfluenceHistory, *, pull_by_stage: bool) -> None:
        self.history, self.customers = history, Customers.of(history)
        self.n_channels = len(history.channels)
        self.n_places = len(history.pushed_stages) if pull_by_stage else 1
        place = np.cumsum(history.pushed >= 0) - 1 if pull_by_stage else np.zeros_like(history.pushed)
        kind = history.cells[:, 1] * self.n_places + place[history.cells[:, 2]]
        self.n_kinds = self.n_channels * self.n_places
        weights = np.zeros((self.n_kinds, len(history.ages)))
        np.add.at(weights, kind, history.age_weights)
        contacts = np.bincount(kind, weights=history.cell_contacts, minlength=self.n_kinds)
        spent = contacts - np.exp(-np.log(2) / HALF_LIVES_DAYS[:, None] * history.ages) @ weights.T
        self.spent = np.maximum(spent, 1e-9)
        self.contact_kind = kind[history.contact_cell]
        self.contact_channel = self.contact_kind // self.n_places
        self.by_channel = np.arange(self.n_kinds) // self.n_places
        self.total_days = history.stages.exposure_days[:, :, None]

    def begin(self, start: Start, reach: FloatArray) -> _State:
        n_classes = len(reach)
        exposure = self.history.stages.exposure_days[:, self.history.stages.origins]
        hazard = np.divide(start.base_moves + NO_MOVES, exposure, out=np.ones_like(exposure), where=exposure > 0)
        pace = np.log(3.0) * np.arange(n_classes)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.log(np.where(self.total_days > 0, self.customers.met / self.total_days, 0.0))
        n_segments = len(exposure)
        share = np.full((n_segments, n_classes), -np.log(n_classes))
        classes = Classes(share, pace, np.zeros(n_classes), reach, rate - np.log(np.exp(reach).mean(axis=0)))
        at = np.abs(np.log(HALF_LIVES_DAYS) - np.log(start.half_life_days)[:, None]).argmin(axis=1)
        pull = start.pull[:, : self.n_places].ravel()
        hazard /= np.where(self.customers.way == FORWARD, np.exp(pace).mean(), 1.0)
        return _State(np.log(hazard), -np.log1p(-pull), at, classes, start.base_moves, -np.inf)

    def sweep(self, x: _State) -> _State:
        decay = (np.log(2) / HALF_LIVES_DAYS[x.at])[self.contact_channel]
        opened = x.influence[self.contact_kind] * decay * np.exp(-decay * self.history.contact_age)
        out = leaving(x.log_hazard, x.classes, self.customers)
        found = expected(self.customers, x.log_hazard, opened, x.classes, out)
        value = self._log_likelihood(x, found)
        influence, at = self._influences(found.caused, x.at)
        base = self.history.plain_moves + found.base.sum(axis=0)
        log_hazard, pace, patience = self._moves(found, base, x)
        reach, rate = self._contacts(found, x.classes)
        share = np.log(found.members + A_LITTLE) - np.log((found.members + A_LITTLE).sum(axis=1, keepdims=True))
        return _State(log_hazard, influence, at, Classes(share, pace, patience, reach, rate), base, value)

    def _log_likelihood(self, x: _State, found: Expected) -> float:
        spent = self.spent[x.at[self.by_channel], np.arange(self.n_kinds)]
        value = found.log_likelihood - (x.influence * spent).sum()
        value += (self.history.plain_moves * x.log_hazard).sum()
        met = self.customers.met > 0
        return float(value + (self.customers.met[met] * x.classes.rate[met]).sum())

    def _influences(self, caused_by: FloatArray, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        caused = np.bincount(self.contact_kind, caused_by, self.n_kinds)
        aged = np.bincount(self.contact_channel, caused_by * self.history.contact_age, self.n_channels)
        decays = (np.log(2) / HALF_LIVES_DAYS)[:, None]
        gain = -caused * np.log(self.spent)
        profile = np.stack([gain[:, self.by_channel == c].sum(axis=1) for c in range(self.n_channels)], axis=1)
        profile += np.bincount(self.by_channel, caused, self.n_channels) * np.log(decays) - decays * aged
        at = np.where(aged > 0, profile.argmax(axis=0), at)
        return caused / self.spent[at[self.by_channel], np.arange(self.n_kinds)], at

    def _moves(self, found: Expected, base: FloatArray, x: _State) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(G, M) log hazards of class 1, and logs of pace and patience (K,), in turn."""
        way = self.customers.way
        by_class = found.days[:, :, self.customers.origin]  # (G, K, M)
        made = found.forward + found.base.sum(axis=(1, 2))
        pace, patience, log_hazard = x.classes.pace, x.classes.patience, x.log_hazard
        for _ in range(TURNS):
            times = np.exp(np.array([pace, np.zeros_like(pace), -patience])[way].T)  # (K, M)
            log_hazard = np.log(base + NO_MOVES) - np.log(np.maximum((by_class * times).sum(axis=1), NO_DAYS))
            alone = (by_class * np.exp(log_hazard)[:, None, :]).sum(axis=0)  # (K, M)
            pace = np.log(made + A_LITTLE) - np.log(alone[:, way == FORWARD].sum(axis=1) + A_LITTLE)
            patience = np.log(alone[:, way == EXIT].sum(axis=1) + A_LITTLE) - np.log(found.exits + A_LITTLE)
            pace, patience = pace - pace[0], patience - patience[0]
        return log_hazard, pace, patience

    def _contacts(self, found: Expected, classes: Classes) -> tuple[FloatArray, FloatArray]:
        """Logs of reach (K, C) and of rates of class 1 (G, S, C), in turn."""
        reach, rate = classes.reach, classes.rate
        for _ in range(TURNS):
            at_risk = np.einsum("gks,kc->gsc", found.days, np.exp(reach))
            with np.errstate(divide="ignore"):
                rate = np.log(self.customers.met / np.maximum(at_risk, NO_DAYS))
            alone = np.einsum("gks,gsc->kc", found.days, np.exp(rate))
            reach = np.log(found.contacts + A_LITTLE) - np.log(alone + A_LITTLE)
            reach = reach - reach[0]
        return reach, rate

    def result(self, x: _State) -> HiddenStart:
        order = np.argsort(x.classes.pace, kind="stable")
        c = x.classes
        shift_pace, shift_patience, shift_reach = c.pace[order[0]], c.patience[order[0]], c.reach[order[0]]
        shift = np.array([shift_pace, 0.0, -shift_patience])[self.customers.way]
        classes = Classes(
            c.share[:, order],
            c.pace[order] - shift_pace,
            c.patience[order] - shift_patience,
            c.reach[order] - shift_reach,
            c.rate + shift_reach,
        )
        log_hazard = x.log_hazard + shift
        exposure = (x.base + NO_MOVES) / np.exp(log_hazard)
        pull = -np.expm1(-x.influence).reshape(self.n_channels, self.n_places)
        return HiddenStart(Start(x.base, pull, HALF_LIVES_DAYS[x.at]), exposure, log_hazard, classes, x.log_likelihood)
