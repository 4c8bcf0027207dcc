"""Draws of a hidden funnel: the normal approximation of its posterior, on the logarithms of rates and odds of pulls."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.attribution.hidden_funnel import Expected, Gaps, HiddenFunnel, expectation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

PRIOR_SD: Final = 3.0
"""Of each coordinate around the mode: a factor of 20 either way. It matters for what the journeys leave open."""
STEP: Final = 1e-4


def funnel_draws(mode: HiddenFunnel, gaps: Gaps, *, n: int, seed: int) -> Iterator[HiddenFunnel]:
    """Funnels from a normal distribution around the mode.

    Its precision is the observed information, from differences of the score, plus that of the prior. The score is that
    of the complete data in expectation (Fisher's identity), so each coordinate takes one expectation step. Directions
    in which the information is not positive, which a mode that is not quite reached may have, are left to the prior.

    Source: Louis 1982, Journal of the Royal Statistical Society B 44(2).
    """
    at = _coordinates(mode)
    here = _score(mode, expectation(mode, gaps))
    information = np.empty((len(at), len(at)))
    for i in range(len(at)):
        there = at.copy()
        there[i] += STEP
        funnel = _funnel(there, mode)
        information[i] = (here - _score(funnel, expectation(funnel, gaps))) / STEP
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    spread = vectors / np.sqrt(np.maximum(values, 0.0) + PRIOR_SD**-2)
    for z in np.random.default_rng(seed).standard_normal((n, len(at))):
        yield _funnel(at + spread @ z, mode)


def _coordinates(funnel: HiddenFunnel) -> FloatArray:
    parts = []
    for field in fields(funnel):
        x = np.asarray(getattr(funnel, field.name), dtype=np.float64)
        parts.append((np.log(x) - np.log1p(-x) if field.name == "pull" else np.log(x)).ravel())
    return np.concatenate(parts)


def _funnel(at: FloatArray, like: HiddenFunnel) -> HiddenFunnel:
    found: dict[str, FloatArray] = {}
    first = 0
    for field in fields(like):
        shape = np.shape(getattr(like, field.name))
        last = first + int(np.prod(shape))
        x = at[first:last].reshape(shape)
        first = last
        found[field.name] = 1 / (1 + np.exp(-x)) if field.name == "pull" else np.exp(x)
    found["start"] = found["start"] / found["start"].sum()
    onward = float(found.pop("onward"))
    return HiddenFunnel(**found, onward=onward)


def _score(funnel: HiddenFunnel, seen: Expected) -> FloatArray:
    """Derivative of the log-likelihood: counts less what rates and exposures would make of them."""
    exposed = seen.days + seen.first / funnel.met.sum(axis=1)
    contacts = seen.contacts - funnel.met * exposed[:, None, :]
    moves = seen.moves - funnel.moves * seen.days
    by_name = {
        "start": seen.first - funnel.start * seen.first.sum(),
        "forward": moves.sum(axis=0),
        "lost": (seen.lost - funnel.lost * seen.days).sum(axis=0),
        "pace": moves.sum(axis=1),
        "contacts": contacts.sum(axis=0),
        "reach": contacts.sum(axis=2),
        "pull": seen.pushed - funnel.pull * seen.could_push,
        "onward": np.array(seen.onward - funnel.onward * seen.waiting_days),
    }
    return np.concatenate([by_name[field.name].ravel() for field in fields(funnel)])
