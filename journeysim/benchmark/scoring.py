"""From an answer to its scores: metric, channel, value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from journeysim import scores
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.benchmark.contestants import Answer
    from journeysim.benchmark.known_truth import KnownTruth

    FloatArray = NDArray[np.float64]
    Scores = Mapping[tuple[str, str], float]

METRICS: Mapping[str, str] = {
    "share_error": "credit at the wrong channel, 0 to 1: total variation distance to the shares of the true effects",
    "share_error_shapley": "the same, to the shares of the true Shapley values",
    "worst_channel": "largest error of one channel's share",
    "bias": "of a channel: share credited minus true share; signed",
    "rank_agreement": "Spearman's rank correlation with the true effects",
    "top_1": "whether the channel with the largest effect gets most credit",
    "return_rank_agreement": "the same correlation of credit per unit of spend, for paid channels",
    "negative_credit": "credit below 0 as a share of that above 0; it counts as 0 in all shares",
    "coverage": "share of the channels whose interval holds the true share; methods with draws only",
    "interval_width": "mean width of these intervals",
    "budget_regret": "conversions lost by moving money as the method says, against the best move, as a share of all",
    "budget_regret_relative": "the same on a scale from the best move (0) to the worst (1)",
    "experiment_lost_per_1000": "conversions that an experiment cost, per 1,000 customers in it",
}
"""Every metric and what it means."""


def score(answer: Answer, truth: KnownTruth, level: float) -> Scores:
    """All scores of an answer that can be given; a score that is not defined is NaN.

    Raises
    ------
    InputError : the answer credits nobody, or a channel that the world does not have
    """
    answer = answer.of(truth.channels)
    share = scores.credit_share(answer.credit)
    if np.isnan(share).any():
        raise InputError("No channel has a credit above 0, so there are no shares.")
    found: dict[tuple[str, str], float] = {
        ("share_error", ""): scores.share_error(share, truth.share),
        ("share_error_shapley", ""): scores.share_error(share, truth.shapley_share),
        ("worst_channel", ""): scores.worst_channel_error(share, truth.share),
        ("rank_agreement", ""): scores.rank_agreement(share, truth.effect),
        ("top_1", ""): scores.top_channel_found(share, truth.effect),
        ("negative_credit", ""): scores.negative_credit(answer.credit),
    }
    if answer.draws is not None:
        draws = scores.credit_share(answer.draws)
        low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)  # draws that credit nobody: none
        found["coverage", ""] = scores.interval_coverage(low, high, truth.share)
        found["interval_width", ""] = float((high - low).mean())
    if truth.moves is not None:
        found |= _budget(answer, truth)
    found |= {(name, ""): value for name, value in answer.measured.items()}
    return found | {("bias", name): gap for name, gap in zip(truth.channels, share - truth.share, strict=True)}


def _budget(answer: Answer, truth: KnownTruth) -> Scores:
    assert truth.moves is not None  # noqa: S101  # asked before
    paid = truth.movable > 0
    returns = answer.credit[paid] / truth.movable[paid], truth.effect[paid] / truth.movable[paid]
    i, j = scores.budget_move(answer.credit, truth.movable)
    names = answer.move or (truth.channels[i], truth.channels[j])
    chosen = truth.moves.channels.index(names[0]), truth.moves.channels.index(names[1])
    regret, relative = scores.budget_regret(truth.moves.outcome, chosen)
    return {
        ("return_rank_agreement", ""): scores.rank_agreement(*returns),
        ("budget_regret", ""): regret,
        ("budget_regret_relative", ""): relative,
    }
