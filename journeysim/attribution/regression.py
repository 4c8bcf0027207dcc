"""Ridge logistic regression on grouped data, by Newton's method: for the methods that model conversion or exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]

MAX_STEPS: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class LogisticFit:
    """P(y = 1 | x) = 1 / (1 + exp(-(intercept + x coefficients))).

    Attributes
    ----------
    intercept : log odds at x = 0
    coefficients : (d,) change of the log odds per unit of x
    """

    intercept: float
    coefficients: FloatArray

    def log_odds(self, x: FloatArray) -> FloatArray:
        """(K,) log odds of the rows of x."""
        return np.asarray(self.intercept + x @ self.coefficients)

    def probability(self, x: FloatArray) -> FloatArray:
        """(K,) probabilities of the rows of x."""
        return sigmoid(self.log_odds(x))


def sigmoid(log_odds: FloatArray) -> FloatArray:
    """1 / (1 + exp(-log_odds)), without overflow, and with all digits where it is tiny."""
    return np.asarray(np.exp(-np.logaddexp(0, -log_odds)))


def fit_logistic(x: FloatArray, successes: FloatArray, failures: FloatArray, *, ridge: float) -> LogisticFit:
    """Maximise the mean log-likelihood - ridge r (1 - r) / 2 |coefficients|^2, with r the overall share of successes.

    The intercept is not penalised. The mean, not the sum: doubling all weights changes nothing. And r (1 - r), which is
    what a row informs on average: a ridge shrinks as much where one journey in a thousand converts as where half do.
    With ridge > 0 the answer exists and is unique, even where a channel separates the outcomes or two channels always
    come together.

    Parameters
    ----------
    x : (K, d) rows
    successes, failures : (K,) weights of the two outcomes in each row, any fractions; both must occur
    ridge : > 0

    Raises
    ------
    InputError : if only one outcome occurs, or Newton's method does not arrive
    """
    weight = successes + failures
    total = weight.sum()
    if not (successes.sum() > 0 and failures.sum() > 0):
        raise InputError("Logistic regression needs both outcomes, and only one of them occurs.")
    design = np.column_stack([np.ones(len(x)), x])
    information = (successes.sum() / total) * (failures.sum() / total)
    penalty = np.append(0.0, np.full(x.shape[1], ridge * information))
    theta = np.zeros(design.shape[1])
    theta[0] = np.log(successes.sum() / failures.sum())

    def objective(theta: FloatArray) -> float:
        log_odds = design @ theta
        losses = successes @ np.logaddexp(0, -log_odds) + failures @ np.logaddexp(0, log_odds)
        return float(losses / total + 0.5 * penalty @ theta**2)

    value = objective(theta)
    for _ in range(MAX_STEPS):
        log_odds = design @ theta
        p, q = sigmoid(log_odds), sigmoid(-log_odds)
        # weight p - successes, without the cancellation where almost all are successes
        gradient = design.T @ (failures * p - successes * q) / total + penalty * theta
        hessian = (design * (weight * p * q / total)[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        # Newton doubles the digits: after a step of 1e-7 some 1e-14 is left. Or nothing more can be gained: where one
        # journey in a million converts, rounding alone makes longer steps than that.
        arrived = abs(step).max() < 1e-7 or gradient @ step <= 1e-16 * value
        length = 1.0
        while True:
            candidate = theta - length * step
            new = objective(candidate)
            if new <= value + 1e-13 * abs(value) or length < 1e-8:
                break
            length /= 2
        theta, value = candidate, new
        if arrived:
            return LogisticFit(float(theta[0]), theta[1:])
    raise InputError(
        f"Logistic regression did not settle in {MAX_STEPS} steps of Newton's method; raise ridge (now {ridge:g})."
    )


def require_both_outcomes(journeys: Journeys, method: str) -> None:
    """Refuse journeys that all convert: a model of conversion has nothing to compare them with.

    Raises
    ------
    InputError : if no journey with touches failed to convert
    """
    if not journeys.nulls.any():
        raise InputError(
            f"{method} compares journeys that convert with those that do not, and all of these convert. Include the "
            "paths without a conversion, or use a method that does without (shapley_simplified, linear)."
        )


def check_ridge(ridge: float, method: str) -> None:
    """Refuse a ridge that is not a positive number."""
    if not 0 < ridge < np.inf:
        raise InputError(f"{method}: ridge must be a positive number, got {ridge!r}.")
