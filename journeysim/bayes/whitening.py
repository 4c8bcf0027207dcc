"""A density in coordinates in which it looks like a standard normal near its mode: what NUTS samples fastest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.sampling import Density

    FloatArray = NDArray[np.float64]

STEP: Final = 1e-4
LEAST_CURVATURE: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Whitened:
    """log p(centre + scale @ x) as a function of x; the Jacobian is constant, so draws of x map to draws of p."""

    density: Density
    centre: FloatArray
    scale: FloatArray

    @property
    def n_dim(self) -> int:
        """Length of x."""
        return len(self.centre)

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,)."""
        value, gradient = self.density(self.centre + self.scale @ x)
        return value, self.scale.T @ gradient

    def points(self, x: FloatArray) -> FloatArray:
        """Points of the density itself, of points x (..., n_dim)."""
        found: FloatArray = self.centre + x @ self.scale.T
        return found


def whitened(density: Density, start: FloatArray) -> Whitened:
    """The density around the mode that is found from `start`, scaled by its curvature there.

    Any centre and scale leave the posterior as it is: a mode that is found badly costs time, not truth.
    """
    from scipy.optimize import minimize

    def negative(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = density(x)
        return -value, -gradient

    mode = minimize(negative, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    steps = STEP * np.eye(len(mode))
    curvature = np.array([(density(mode - e)[1] - density(mode + e)[1]) / (2 * STEP) for e in steps])
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    # a direction that is flat, or bends the wrong way, where the search stopped: its prior is about one unit wide
    return Whitened(density, mode, vectors * np.maximum(values, LEAST_CURVATURE) ** -0.5)
