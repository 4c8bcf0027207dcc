"""Hidden classes of customers: the likelihood of each customer under each class, and what is expected of the classes.

Given the class k, a customer of segment g makes forward moves with pace[k] times the base hazards h, exits with
1 / patience[k] times, and meets channel c in stage s at rate[g, s, c] * reach[k, c]. With days T_s in the stages, n_c
contacts, F forward moves that no contact may have caused, X exits, and other forward moves m, at whose moment contacts
had opened the hazard e_m, the likelihood is, but for factors that all classes share,

    pace[k]^F patience[k]^-X prod_c reach[k, c]^n_c prod_m (pace[k] h_m + e_m) exp(-sum_s T_s D[g, k, s])

with D the sum of all base hazards out of s and all rates of contacts there, as class k has them. It is weighed by the
share of the class and summed over classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.influence_history import InfluenceHistory

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

FORWARD, BACK, EXIT = range(3)
WAYS = {"forward": FORWARD, "back": BACK, "exit": EXIT}


class Customers(NamedTuple):
    """The rows of `CustomerRows`, and of `InfluenceHistory` what they refer to."""

    weight: FloatArray  # (R,)
    segment: IntArray  # (R,)
    days: FloatArray  # (R, S)
    contacts: FloatArray  # (R, C)
    forward: FloatArray  # (R,)
    exits: FloatArray  # (R,)
    first_move: IntArray  # (R + 1,)
    move: IntArray  # (E,) segment * M + move, after contacts
    first_contact: IntArray  # (E + 1,)
    origin: IntArray  # (M,) of each move
    way: IntArray  # (M,) FORWARD, BACK or EXIT
    met: FloatArray  # (G, S, C) contacts

    @classmethod
    def of(cls, history: InfluenceHistory) -> Customers:
        """As compiled code takes them."""
        x, stages = history.customers, history.stages
        assert x is not None  # noqa: S101  # InfluenceModel.fit has checked it
        return cls(
            weight=np.array(x.weight),
            segment=np.array(x.segment),
            days=np.array(x.days, order="C"),
            contacts=np.array(x.contacts, order="C"),
            forward=np.array(x.forward),
            exits=np.array(x.exits),
            first_move=np.array(x.first_move),
            move=np.array(history.moves_after_contact),
            first_contact=np.array(history.first_contact),
            origin=np.array(stages.origins),
            way=np.array([WAYS[way] for way in stages.directions]),
            met=np.array(history.contacts, order="C"),
        )


class Classes(NamedTuple):
    """Parameters of K classes, as logarithms."""

    share: FloatArray  # (G, K)
    pace: FloatArray  # (K,)
    patience: FloatArray  # (K,)
    reach: FloatArray  # (K, C)
    rate: FloatArray  # (G, S, C) contacts per day, before reach; -inf where nobody had one


class Expected(NamedTuple):
    """Sums over customers, each in the classes by their probabilities given what the customer did."""

    log_likelihood: float  # of the mixture
    members: FloatArray  # (G, K)
    days: FloatArray  # (G, K, S)
    forward: FloatArray  # (K,) forward moves that no contact may have caused
    exits: FloatArray  # (K,)
    contacts: FloatArray  # (K, C)
    base: FloatArray  # (K, G, M) moves after contacts that the base caused
    caused: FloatArray  # (T,) probability that each contact before a move caused it


def leaving(log_hazard: FloatArray, classes: Classes, customers: Customers) -> FloatArray:
    """(G, K, S) D: rates, per day in a stage, of all that may happen there."""
    pace = np.array([classes.pace, np.zeros_like(classes.pace), -classes.patience])[customers.way]  # (M, K)
    rates = np.exp(classes.rate) @ np.exp(classes.reach).T  # (G, S, K)
    out = np.moveaxis(rates, 2, 1).copy()
    for m, s in enumerate(customers.origin):
        out[:, :, s] += np.exp(log_hazard[:, m, None] + pace[m])
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def chances(
    x: Customers, log_hazard: FloatArray, opened: FloatArray, classes: Classes, out: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """In which class customers are, given what they did.

    Parameters
    ----------
    log_hazard : (G, M) of class 1
    opened : (T,) hazard that each contact before a move had opened at its moment
    out : (G, K, S) as `leaving`

    Returns
    -------
    log-likelihood of the mixture; (R, K) probabilities of the classes times the weight of the row; (E,) hazard that all
    contacts before a move had opened
    """
    _, n_classes, n_stages = out.shape
    n_channels = classes.reach.shape[1]
    n_moves = log_hazard.shape[1]
    pace, hazard = np.exp(classes.pace), np.exp(log_hazard)
    total = 0.0
    chance = np.empty((len(x.weight), n_classes))
    beside = np.zeros(len(x.move))
    for r in range(len(x.weight)):
        g = x.segment[r]
        for k in range(n_classes):
            log_p = classes.share[g, k] + x.forward[r] * classes.pace[k] - x.exits[r] * classes.patience[k]
            for s in range(n_stages):
                log_p -= x.days[r, s] * out[g, k, s]
            for c in range(n_channels):
                log_p += x.contacts[r, c] * classes.reach[k, c]
            chance[r, k] = log_p
        for i in range(x.first_move[r], x.first_move[r + 1]):
            for j in range(x.first_contact[i], x.first_contact[i + 1]):
                beside[i] += opened[j]
            h = hazard[g, x.move[i] % n_moves]
            for k in range(n_classes):
                chance[r, k] += math.log(pace[k] * h + beside[i])
        most = chance[r].max()
        likelihood = 0.0
        for k in range(n_classes):
            chance[r, k] = math.exp(chance[r, k] - most)
            likelihood += chance[r, k]
        total += x.weight[r] * (most + math.log(likelihood))
        for k in range(n_classes):
            chance[r, k] *= x.weight[r] / likelihood
    return total, chance, beside


@njit(cache=True, error_model="numpy", nogil=True)
def expected(x: Customers, log_hazard: FloatArray, opened: FloatArray, classes: Classes, out: FloatArray) -> Expected:
    """What the customers say of the classes; parameters as of `chances`."""
    n_segments, n_classes, n_stages = out.shape
    n_channels = classes.reach.shape[1]
    n_moves = log_hazard.shape[1]
    members = np.zeros((n_segments, n_classes))
    days = np.zeros((n_segments, n_classes, n_stages))
    forward, exits = np.zeros(n_classes), np.zeros(n_classes)
    contacts = np.zeros((n_classes, n_channels))
    base = np.zeros((n_classes, n_segments, n_moves))
    caused = np.zeros(len(opened))
    pace, hazard = np.exp(classes.pace), np.exp(log_hazard)
    total, chance, beside = chances(x, log_hazard, opened, classes, out)
    for r in range(len(x.weight)):
        g = x.segment[r]
        for k in range(n_classes):
            p = chance[r, k]
            members[g, k] += p
            forward[k] += p * x.forward[r]
            exits[k] += p * x.exits[r]
            for s in range(n_stages):
                days[g, k, s] += p * x.days[r, s]
            for c in range(n_channels):
                contacts[k, c] += p * x.contacts[r, c]
        for i in range(x.first_move[r], x.first_move[r + 1]):
            m = x.move[i] % n_moves
            share = 0.0  # of the move that one unit of opened hazard caused
            for k in range(n_classes):
                by_itself = pace[k] * hazard[g, m]
                per_unit = chance[r, k] / (by_itself + beside[i])
                base[k, g, m] += by_itself * per_unit
                share += per_unit
            for j in range(x.first_contact[i], x.first_contact[i + 1]):
                caused[j] = share * opened[j]
    return Expected(total, members, days, forward, exits, contacts, base, caused)
