"""HiddenFunnel: stages that a log of touches does not show, fitted by expectation maximisation.

A customer of hidden kind g passes S hidden stages. In stage s contacts on channel c come at the rate
contacts[c, s] reach[g, c] per day, and each moves the customer on with the probability pull[c], after a delay that is
exponential and the same for all channels. Customers move on by themselves at the rate forward[s] pace[g], and are lost
at the rate lost[s]. From the last stage they move on to the purchase. A journey is seen from its first touch on: kind
and stage at that moment have the probabilities start[g, s], and the first touch is on c in proportion to the contacts
there. Touches, the time between them, and whether a purchase ends the journey are all that is seen.

It is a Markov-modulated Poisson process with marks; the expectation step is exact but for the gaps between touches,
which are rounded to B lengths, by at most 5% where the longest is half a year.

Sources: Abhishek, Fader & Hosanagar 2012, Media exposure through the funnel: a model of multi-stage attribution, SSRN
2158421 (hidden stages, moved by ads). Rydén 1996, Computational Statistics & Data Analysis 21 (EM for such processes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.ctmc import exponentials

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

N_GAPS: Final = 100
SHORTEST_GAP_DAYS: Final = 0.01
FIRST_DELAY_DAYS: Final = 3.0
"""Mean delay of a move that a contact causes, to start with."""
FIRST_PULL: Final = 0.05
SHRINK: Final = 1e-4
"""Prior counts as a share of all journeys: enough to keep what nothing is known of from running off to 0 or infinity,
and in proportion to the weights, so that twice the same journeys say the same."""
PRIOR_PULL: Final = 0.03
WATCHED: Final = (np.arange(10) + 0.5) / 10
"""Quantiles of the time that customers are watched for, at which conversion is looked at."""
LEAST_PASSING: Final = 1e-12
"""A gap that the funnel takes for impossible counts as this probable: one odd journey must not bend the fit, and the
integrals over gaps stay exact to four digits."""


@dataclass(frozen=True, slots=True, eq=False)
class HiddenFunnel:
    """Parameters; G kinds, S stages, C channels. Rates are per day.

    Attributes
    ----------
    start : (G, S) kind and stage at the first touch; sums to 1
    forward, lost : (S,)
    pace : (G,)
    contacts : (C, S)
    reach : (G, C)
    pull : (C,)
    onward : rate at which those move on whom a contact has moved
    """

    start: FloatArray
    forward: FloatArray
    lost: FloatArray
    pace: FloatArray
    contacts: FloatArray
    reach: FloatArray
    pull: FloatArray
    onward: float

    @property
    def met(self) -> FloatArray:
        """(G, C, S) contacts per day."""
        return np.asarray(self.reach[:, :, None] * self.contacts)

    @property
    def moves(self) -> FloatArray:
        """(G, S) moves forward per day without contacts."""
        return np.asarray(self.pace[:, None] * self.forward)

    @property
    def first(self) -> FloatArray:
        """(G, C, S) kind, channel and stage of the first touch, before it acts."""
        met = self.met
        return np.asarray(self.start[:, None, :] * met / met.sum(axis=1, keepdims=True))

    def generator(self) -> tuple[FloatArray, FloatArray]:
        """(G, K, K) between contacts, and (G, K) purchases per day; contacts only take away."""
        n_kinds, n_stages = self.start.shape
        n_states = 2 * n_stages + 1
        generator, buying = np.zeros((n_kinds, n_states, n_states)), np.zeros((n_kinds, n_states))
        met = self.met.sum(axis=1)
        for s in range(n_stages):
            for waits in range(2):
                k, on = 2 * s + waits, self.moves[:, s] + (self.onward if waits else 0.0)
                if s + 1 < n_stages:
                    generator[:, k, 2 * s + 2] = on
                else:
                    buying[:, k] = on
                generator[:, k, -1] = self.lost[s]
                generator[:, k, k] = -(on + self.lost[s] + met[:, s])
        return generator, buying


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """Expected counts given the journeys, and the log-likelihood.

    Attributes
    ----------
    days : (G, S) in each stage; moves : (G, S) onward by themselves; onward, waiting_days : moves of those whom a
        contact had moved, and the days that they waited
    lost : (G, S)
    first : (G, S) first touches; contacts : (G, C, S) all touches
    pushed, could_push : (C,) contacts that moved a customer on, and those that could have
    """

    log_likelihood: float
    days: FloatArray
    moves: FloatArray
    onward: float
    waiting_days: float
    lost: FloatArray
    first: FloatArray
    contacts: FloatArray
    pushed: FloatArray
    could_push: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """Journeys with the gaps after their touches, rounded to `days`."""

    journeys: Journeys
    of_touch: IntArray
    days: FloatArray

    @classmethod
    def of(cls, journeys: Journeys, ages: FloatArray) -> Gaps:
        """Gaps between touches, and from the last one to the end of the journey."""
        after = np.append(ages[1:], 0.0)
        after[journeys.offsets[1:] - 1] = 0.0
        gaps = np.maximum(ages - after, SHORTEST_GAP_DAYS)
        days = np.geomspace(SHORTEST_GAP_DAYS, max(float(gaps.max()), 1.0), N_GAPS)
        step = np.log(days[1] / days[0])
        rounded = np.clip(np.rint(np.log(gaps / days[0]) / step), 0, N_GAPS - 1).astype(np.int64)
        some, of_touch = np.unique(rounded, return_inverse=True)
        return cls(journeys, of_touch.astype(np.int64), days[some])

    @property
    def n(self) -> float:
        """Journeys in all, by weight."""
        return float((self.journeys.conversions + self.journeys.nulls).sum())


def first_guess(journeys: Journeys, ages: FloatArray, *, n_stages: int, n_kinds: int) -> HiddenFunnel:
    """Later stages look like the later parts of journeys that convert, the first one like all journeys."""
    weight, owner = journeys.conversions + journeys.nulls, journeys.owner
    length = ages[journeys.offsets[:-1]]
    days, n_channels = float((weight * length).sum()), len(journeys.channels)
    part = 1.0 - ages / np.maximum(length[owner], SHORTEST_GAP_DAYS)
    stage = np.clip((part * n_stages).astype(np.int64), 0, n_stages - 1)
    late = np.zeros((n_channels, n_stages))
    np.add.at(late, (journeys.codes, stage), journeys.conversions[owner])
    late /= max(float((journeys.conversions * length).sum()), SHORTEST_GAP_DAYS) / n_stages
    late = 0.8 * late + 0.2 * late.mean(axis=1, keepdims=True)
    plain = np.bincount(journeys.codes, weight[owner], n_channels) / max(days, SHORTEST_GAP_DAYS)
    mix = np.linspace(1, 0, n_stages)
    rate = 1.0 / max(days / float(weight.sum()), SHORTEST_GAP_DAYS)
    spread = np.geomspace(3.0, 1.0, n_kinds) if n_kinds > 1 else np.ones(1)
    return HiddenFunnel(
        start=np.full((n_kinds, n_stages), 1.0 / (n_kinds * n_stages)),
        forward=np.full(n_stages, rate),
        lost=np.full(n_stages, rate / 2),
        pace=spread,
        contacts=(1 - mix) * late + mix * plain[:, None] + 1e-3 * plain.mean(),
        reach=np.ones((n_kinds, n_channels)),
        pull=np.full(n_channels, FIRST_PULL),
        onward=1.0 / FIRST_DELAY_DAYS,
    )


def expectation(funnel: HiddenFunnel, gaps: Gaps) -> Expected:
    """Expected counts of all that is hidden."""
    from journeysim.attribution.hidden_kernel import walk  # compiled

    journeys = gaps.journeys
    n_kinds, n_stages = funnel.start.shape
    n_channels, n_states = len(funnel.pull), 2 * n_stages + 1
    generator, buying = funnel.generator()
    passing = exponentials(generator[:, None] * gaps.days[:, None, None])
    possible = passing > LEAST_PASSING
    passing = np.where(np.triu(np.ones(passing.shape[2:], dtype=bool)), np.maximum(passing, LEAST_PASSING), 0.0)
    by_state = np.zeros((n_kinds, n_channels, n_states))
    start = np.zeros_like(by_state)
    by_state[:, :, 0:-1:2] = by_state[:, :, 1:-1:2] = funnel.met
    start[:, :, 0:-1:2] = funnel.first
    adjoint, first, later = np.zeros_like(passing), np.zeros_like(by_state), np.zeros_like(by_state)
    pushed, bought = np.zeros((n_kinds, n_channels, n_stages)), np.zeros_like(buying)
    log_likelihood = walk(
        journeys.codes, journeys.offsets, journeys.conversions, journeys.nulls, gaps.of_touch, passing, by_state,
        funnel.pull, start, buying, adjoint, first, later, pushed, bought,
    )  # fmt: skip
    # d log-likelihood / d generator: the integral over each gap of what came before times what comes after, from one
    # exponential of a block matrix (Van Loan 1978, IEEE Transactions on Automatic Control 23)
    block = np.zeros((n_kinds, len(gaps.days), 2 * n_states, 2 * n_states))
    block[..., :n_states, :n_states] = block[..., n_states:, n_states:] = generator.transpose(0, 2, 1)[:, None]
    adjoint = np.where(possible, adjoint, 0.0)
    most = adjoint.max(axis=(2, 3), keepdims=True)  # the integral is linear in it, and large numbers would cost digits
    block[..., :n_states, n_states:] = adjoint / np.where(most > 0, most, 1.0)
    block *= gaps.days[:, None, None]
    gradient = (most * exponentials(block)[..., :n_states, n_states:]).sum(axis=1)
    made = gradient * generator
    days = np.diagonal(gradient, axis1=1, axis2=2)
    before_last = np.arange(n_states - 3)
    to_next = made[:, before_last, before_last // 2 * 2 + 2]
    to_next = np.concatenate([to_next, bought[:, -3:-1]], axis=1)  # (G, 2S) moves on, from plain and from waiting
    by_itself = funnel.moves / (funnel.moves + funnel.onward)
    waited = to_next[:, 1::2]
    plain = later[:, :, 0:-1:2] + first[:, :, 0:-1:2]
    return Expected(
        log_likelihood=log_likelihood,
        days=days[:, 0:-1:2] + days[:, 1:-1:2],
        moves=to_next[:, 0::2] + waited * by_itself,
        onward=float((waited * (1 - by_itself)).sum()),
        waiting_days=float(days[:, 1:-1:2].sum()),
        lost=made[:, 0:-1:2, -1] + made[:, 1:-1:2, -1],
        first=first.sum(axis=1)[:, 0:-1:2],
        contacts=plain + later[:, :, 1:-1:2],
        pushed=pushed.sum(axis=(0, 2)),
        could_push=plain.sum(axis=(0, 2)),
    )


def maximisation(funnel: HiddenFunnel, seen: Expected, n: float) -> HiddenFunnel:
    """Rates are counts over exposures; what is a product of two is found one after the other."""
    some = SHRINK * n
    # the wait for the first touch is not seen; its expectation makes the first touch one like the others
    exposed = seen.days + seen.first / funnel.met.sum(axis=1)
    met_days = np.einsum("gc,gs->cs", funnel.reach, exposed)
    contacts = (seen.contacts.sum(axis=0) + 1e-12 * n) / (met_days + 1e-12 * n)
    forward = (seen.moves.sum(axis=0) + 1e-12 * n) / (funnel.pace @ seen.days + 1e-12 * n)
    reach = (seen.contacts.sum(axis=2) + some) / (exposed @ contacts.T + some)
    pace = (seen.moves.sum(axis=1) + some) / (seen.days @ forward + some)
    return HiddenFunnel(
        start=(seen.first + 1e-12 * n) / (seen.first + 1e-12 * n).sum(),
        forward=forward,
        lost=(seen.lost.sum(axis=0) + 1e-12 * n) / (seen.days.sum(axis=0) + 1e-12 * n),
        pace=pace if len(pace) > 1 else funnel.pace,
        contacts=contacts,
        reach=reach if len(pace) > 1 else funnel.reach,
        pull=(seen.pushed + PRIOR_PULL * some) / (seen.could_push + some),
        onward=(seen.onward + some) / (seen.waiting_days + FIRST_DELAY_DAYS * some),
    )


def lost_without(funnel: HiddenFunnel, days: FloatArray, nulls: FloatArray) -> tuple[FloatArray, float]:
    """(C,) share of the conversions that would be lost without each channel, and the share that converts at all.

    Customers start as at their first touch, of which the channel that is off takes its part: it does not act. Contacts
    then come at their rates. Each is watched from the first touch to the end of the window: as long as those were who
    did not convert, with weights that make up for those who did before.

    Parameters
    ----------
    days, nulls : (J,) from the first touch to the end of the journey, and its weight; only where nothing was bought
    """
    length, of_length = np.unique(np.maximum(days, SHORTEST_GAP_DAYS), return_inverse=True)
    weight = np.bincount(of_length, nulls)
    watched = np.interp(WATCHED, (np.cumsum(weight) - weight / 2) / weight.sum(), length)
    n_kinds, n_stages = funnel.start.shape
    n_channels, n_states = len(funnel.pull), 2 * n_stages + 2
    met, first = funnel.met, funnel.first
    generator, buying = funnel.generator()
    pull = np.tile(funnel.pull, (n_channels + 1, 1))
    pull[np.arange(n_channels), np.arange(n_channels)] = 0.0  # the last row: all on
    chain = np.zeros((n_channels + 1, n_kinds, n_states, n_states))
    chain[:, :, :-1, :-1] = generator
    chain[:, :, :-1, -1] = buying
    begin = np.zeros((n_channels + 1, n_kinds, n_states))
    for s in range(n_stages):
        total = met[:, :, s].sum(axis=1)
        moved = np.einsum("xc,gc->xg", pull, met[:, :, s])
        chain[:, :, 2 * s, 2 * s] += total - moved
        chain[:, :, 2 * s, 2 * s + 1] += moved
        chain[:, :, 2 * s + 1, 2 * s + 1] += total
        begin[:, :, 2 * s + 1] = np.einsum("xc,gc->xg", pull, first[:, :, s])
        begin[:, :, 2 * s] = first[:, :, s].sum(axis=1) - begin[:, :, 2 * s + 1]
    at = exponentials(chain * watched[:, None, None, None, None])[..., -1]  # (W, C + 1, G, K) converted by then
    converts = np.einsum("wxgk,xgk->wx", at, begin)
    weight = 1.0 / np.maximum(1.0 - converts[:, -1], 1e-9)
    total = weight @ converts
    effect = 1.0 - total[:-1] / total[-1]
    return np.asarray(effect), float(total[-1] / weight.sum())
