"""Which order: how well chains predict the next step of journeys that they were not fitted to, and BIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.markov.chain import AbsorbingChain
from journeysim.markov.counting import count_transitions, dense_ids
from journeysim.markov.repeats import copies_of_rare_paths, distinct_paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

Criterion = Literal["cross_validation", "bic"]
MAX_ORDER: Final = 5
FOLDS: Final = 5
PRIOR: Final = 1.0
"""Observations that the next lower order's prediction is worth when a context is predicted from (back-off)."""


@dataclass(frozen=True, slots=True, eq=False)
class OrderChoice:
    """The order that predicts best, and how well every order did.

    Attributes
    ----------
    order : the chosen one
    criterion : what it was chosen by
    curve : a row per order: order, log_likelihood (held-out, per journey), standard_error (of its difference to the
        best order, over folds), bic, n_contexts, n_parameters, best_cross_validation, best_bic
    folds : K, into how many parts the journeys were dealt
    seed : of the deal
    copies : how many equal journeys were dealt in one piece; 1 where journeys are independent
    """

    order: int
    criterion: Criterion
    curve: pl.DataFrame
    folds: int
    seed: int
    copies: int = 1

    def __str__(self) -> str:
        row = self.curve.row(self.order - 1, named=True)
        most = self.curve.height
        if self.criterion == "bic":
            why = f"has the lowest BIC ({row['bic']:,.0f})"
            other = ("cross-validation", self.curve.filter("best_cross_validation")["order"][0])
        else:
            why = f"predicts held-out journeys best ({row['log_likelihood']:.4f} per journey in {self.folds} folds)"
            other = ("BIC", self.curve.filter("best_bic")["order"][0])
        text = f"Order {self.order} of 1 to {most} {why}; {other[0]} would take {other[1]}."
        if self.order == most > 1:
            text += f" A higher one might be better still: {most} is the highest that was tried."
        if self.copies > 1:
            text += (
                f" Equal journeys went to the folds {self.copies} at a time (copies={self.copies}): paths too rare to "
                "recur by chance do so."
            )
        return text


def choose_order(
    journeys: Journeys,
    *,
    max_order: int = MAX_ORDER,
    folds: int = FOLDS,
    seed: int = 1,
    criterion: Criterion = "cross_validation",
    copies: int | None = None,
) -> OrderChoice:
    """The order whose chain predicts best what comes next in a journey.

    Every order predicts the same events: each touch, and the end (conversion or null), given the touches before. A
    chain of order k sees the last k of them, or all since the start where there are fewer. That is the likelihood of
    `AbsorbingChain`, whose states are these contexts (a touch that leaves the state as it is counts here, too).

    *Cross-validation*: journeys are dealt to K folds one by one, however many of them a row stands for (a remainder
    below 1 goes to one fold whole), and each fold is predicted from the others. A context of k touches predicts y with
    p_k(y) = (n(y) + m p_{k-1}(y)) / (n + m), m = 1, where p_{k-1} is the prediction of one touch less; p_{-1} is
    uniform over the C channels and both ends. So what was never seen has a probability all the same, and it is the
    same back-off for every order. The order with the highest held-out log-likelihood is taken, the lower of two equal.

    That presumes independent journeys. Where long paths recur literally (a multiplied table, a script that runs again),
    a fold holds the copies of what the others hold, and a high order does nothing but remember them. `copies` equal
    journeys are therefore dealt in one piece; by default it is estimated, see `repeats.copies_of_rare_paths`.

    *BIC* = -2 log-likelihood of the maximum-likelihood chain (no smoothing) + parameters x log(events), with C + 1 free
    parameters for each context that was seen (C - 1 at the start, where nothing ends).

    Parameters
    ----------
    max_order : orders 1..max_order are compared; beyond the longest path they are all one
    folds : 2 or more
    seed : of the deal to folds
    copies : how many equal journeys are no more evidence than one; 1 if all journeys are surely independent

    Raises
    ------
    InputError : for a max_order or copies below 1, fewer than 2 folds, an unknown criterion or journeys without weight

    Source: MacKay & Peto 1995, Natural Language Engineering 1(3) (back-off as a Dirichlet prior around the lower
    order); Katz 1981, Technometrics 23(3) (BIC for the order of a chain).
    """
    if max_order < 1:
        raise InputError(f"choose_order: max_order must be 1 or more, got {max_order}.")
    if folds < 2:
        raise InputError(f"choose_order: folds must be 2 or more, got {folds}.")
    if copies is not None and copies < 1:
        raise InputError(f"choose_order: copies must be 1 or more, got {copies}.")
    if criterion not in get_args(Criterion):
        raise InputError(f"criterion is {criterion!r}; it must be one of {', '.join(get_args(Criterion))}.")
    if not (journeys.conversions.any() or journeys.nulls.any()):
        raise InputError("No journey has conversions or nulls: there is no order to choose.")
    steps = _Steps.of(journeys, max_order)
    n_channels = len(journeys.channels)
    all_in_one = np.stack([journeys.conversions, journeys.nulls])[:, :, None]
    levels, weight = steps.events(all_in_one)
    bic, n_contexts, n_parameters = _bic(levels, weight[:, 0], n_channels)
    longest = int(np.diff(journeys.offsets).max(initial=1))  # beyond it every order is the same chain
    best_bic = int(bic[:longest].argmin())
    if copies is None:
        context = steps.contexts[best_bic + 1]
        cell = dense_ids(context * (n_channels + 1) + steps.code)[0]
        copies = max(1, round(copies_of_rare_paths(journeys, context, cell)))
    deal = _dealt(journeys, folds, seed, copies)
    held_out = _held_out(*steps.events(deal), n_channels + 2)
    log_likelihood = held_out.sum(axis=0) / (journeys.conversions + journeys.nulls).sum()
    best = int(log_likelihood[:longest].argmax())
    per_journey = held_out / np.maximum(deal.sum(axis=(0, 1)), 1e-300)[:, None]
    difference = per_journey - per_journey[:, [best]]
    orders = np.arange(1, max_order + 1)
    curve = pl.DataFrame(
        {
            "order": orders,
            "log_likelihood": log_likelihood,
            "standard_error": difference.std(axis=0, ddof=1) / np.sqrt(folds),
            "bic": bic,
            "n_contexts": n_contexts,
            "n_parameters": n_parameters,
            "best_cross_validation": orders == best + 1,
            "best_bic": orders == best_bic + 1,
        }
    )
    order = (best_bic if criterion == "bic" else best) + 1
    return OrderChoice(order=order, criterion=criterion, curve=curve, folds=folds, seed=seed, copies=copies)


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The events as order k sees them.

    Attributes
    ----------
    context : (N,) context of each event
    cell : (N,) context and outcome of each event
    """

    context: IntArray
    cell: IntArray


def _dealt(journeys: Journeys, folds: int, seed: int, copies: int) -> FloatArray:
    """(2, J, K) how many of each row's conversions and nulls are in each fold."""
    rng = np.random.default_rng(seed)
    even = np.full(folds, 1 / folds)
    if copies > 1:
        path, weight = distinct_paths(journeys)
        pieces = np.maximum(np.round(weight / copies), 1).astype(np.int64)
        share = (rng.multinomial(pieces, even) / pieces[:, None])[path]
        return np.stack([column[:, None] * share for column in (journeys.conversions, journeys.nulls)])
    dealt = np.empty((2, journeys.n_journeys, folds))
    for part, weight in zip(dealt, (journeys.conversions, journeys.nulls), strict=True):
        whole = np.floor(weight)
        part[:] = rng.multinomial(whole.astype(np.int64), even)
        part[np.arange(len(weight)), rng.integers(0, folds, len(weight))] += weight - whole
    return dealt


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """What comes next in journeys, and what was before: N steps, each touch and then the end of each journey in turn.

    Attributes
    ----------
    owner, code : (N,) row of each step, and channel that comes, C at the end
    contexts : (N,) the last 0, 1, ... touches before each step, as numbers
    n_channels : C
    """

    owner: IntArray
    code: IntArray
    contexts: list[IntArray]
    n_channels: int

    @classmethod
    def of(cls, journeys: Journeys, max_order: int) -> _Steps:
        n_channels = len(journeys.channels)
        lengths = np.diff(journeys.offsets)
        steps = lengths + 1
        first = np.cumsum(steps) - steps
        owner = np.repeat(np.arange(len(lengths)), steps)
        position = np.arange(len(owner)) - first[owner]
        code = np.full(len(owner), n_channels, dtype=np.int64)
        code[position < lengths[owner]] = journeys.codes
        contexts = [np.zeros(len(owner), dtype=np.int64)]
        for k in range(1, max_order + 1):
            before = np.full(len(owner), n_channels, dtype=np.int64)  # here: before the start
            later = np.flatnonzero(position >= k)
            before[later] = code[later - k]
            contexts.append(dense_ids(contexts[-1] * (n_channels + 1) + before)[0])
        return cls(owner, code, contexts, n_channels)

    def events(self, deal: FloatArray) -> tuple[list[_Level], FloatArray]:
        """Distinct events at the highest order, as each order 0..max_order sees them, with weight (N, K) per fold.

        An event is a touch, or the end of a journey (as a conversion, and as a null), after the touches before it.
        """
        is_end = self.code == self.n_channels
        top, n_cells = dense_ids(self.contexts[-1] * (self.n_channels + 1) + self.code)
        example = np.empty(n_cells, dtype=np.int64)
        example[top] = np.arange(len(top))
        ends = is_end[example]
        of_rows = deal.sum(axis=0)
        weight = np.empty((n_cells + int(ends.sum()), deal.shape[2]))
        for fold in range(deal.shape[2]):
            conversions, nulls, both = (part[:, fold][self.owner] for part in (deal[0], deal[1], of_rows))
            weight[:n_cells, fold] = np.bincount(top, np.where(is_end, conversions, both), minlength=n_cells)
            weight[n_cells:, fold] = np.bincount(top, np.where(is_end, nulls, 0.0), minlength=n_cells)[ends]
        example = np.concatenate([example, example[ends]])
        outcome = self.code[example]
        outcome[n_cells:] += 1  # channels, conversion, null
        happened = weight.any(axis=1)
        example, outcome, weight = example[happened], outcome[happened], weight[happened]
        levels = []
        for context in self.contexts:
            ids = dense_ids(context[example])[0]
            levels.append(_Level(ids, dense_ids(ids * (self.n_channels + 2) + outcome)[0]))
        return levels, weight


def _held_out(levels: list[_Level], weight: FloatArray, n_outcomes: int) -> FloatArray:
    """(K, max_order) log-likelihood of each fold under each order, fitted to the other folds."""
    found = np.empty((weight.shape[1], len(levels) - 1))
    for fold, held in enumerate(weight.T):
        known = np.maximum(weight.sum(axis=1) - held, 0.0)
        p = np.full(len(known), 1 / n_outcomes)
        for k, level in enumerate(levels):
            seen = np.bincount(level.cell, known)[level.cell]
            total = np.bincount(level.context, known)[level.context]
            p = (seen + PRIOR * p) / (total + PRIOR)
            if k:
                found[fold, k - 1] = held @ np.log(p)
    return found


def _bic(levels: list[_Level], weight: FloatArray, n_channels: int) -> tuple[FloatArray, IntArray, IntArray]:
    """(max_order,) BIC, contexts and free parameters of each order."""
    bic, n_contexts, n_parameters = [], [], []
    for level in levels[1:]:
        seen, total = np.bincount(level.cell, weight)[level.cell], np.bincount(level.context, weight)[level.context]
        contexts = int(level.context.max()) + 1
        parameters = contexts * (n_channels + 1) - 2
        bic.append(-2 * (weight @ np.log(seen / total)) + parameters * np.log(weight.sum()))
        n_contexts.append(contexts)
        n_parameters.append(parameters)
    return np.array(bic), np.array(n_contexts), np.array(n_parameters)


def order_drift(journeys: Journeys, orders: Sequence[int] = (1, 2, 3, 4, 6, 8, 12, 20)) -> pl.DataFrame:
    """How removal effects (to null) become "any touch" as the order grows.

    Returns
    -------
    frame with columns order, channel, removal_effect, any_touch (share of the conversions whose path has the channel)

    Raises
    ------
    InputError : as `AbsorbingChain.removal_effects`
    """
    n_channels = len(journeys.channels)
    owner = journeys.owner
    met = np.unique(owner * n_channels + journeys.codes)
    effects = [AbsorbingChain.from_counts(count_transitions(journeys, k)).removal_effects() for k in orders]
    any_touch = np.bincount(met % n_channels, journeys.conversions[met // n_channels], minlength=n_channels)
    return pl.DataFrame(
        {
            "order": np.repeat(np.array(orders, dtype=np.int64), n_channels),
            "channel": pl.Series([*journeys.channels] * len(orders), dtype=pl.String),
            "removal_effect": np.concatenate([effect.by_conversions for effect in effects]),
            "any_touch": np.tile(any_touch / journeys.n_conversions, len(orders)),
        }
    )
