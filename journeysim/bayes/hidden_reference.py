"""The mixture over hidden personas as a readable PyMC model, beside the compiled one in `hidden_density`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from journeysim.bayes.hidden_classes import EXIT, FORWARD
from journeysim.bayes.hidden_density import SHARE_PRIOR
from journeysim.bayes.priors import HALF_A_CONTACT

if TYPE_CHECKING:
    from journeysim.bayes.hidden_density import HiddenDensity


def mixture(density: HiddenDensity, log_hazard: Any, opened: Any) -> Any:
    """Log-likelihood of all customers, their contacts included; call it in a model, to which it adds the priors.

    Parameters
    ----------
    log_hazard : (G, M) tensor, of class 1
    opened : (T,) tensor, the hazard that each contact before a move had opened at its moment
    """
    import pymc as pm
    import pytensor.tensor

    pt: Any = pytensor.tensor  # half of it has types
    x, priors, k = density.customers, density.priors, density.n_classes
    n_segments, n_stages, n_channels = density.met.shape
    share = pm.Dirichlet("share", a=np.full((n_segments, k), SHARE_PRIOR))
    step = pm.HalfNormal("pace_step", priors.pace, shape=k - 1)
    log_pace = pt.concatenate([[0.0], pt.cumsum(step)])
    log_patience = pt.concatenate([[0.0], pm.Normal("log_patience", 0.0, priors.patience, shape=k - 1)])
    log_reach = pm.Normal("log_reach", 0.0, priors.reach, shape=(k - 1, n_channels))
    log_reach = pt.concatenate([np.zeros((1, n_channels)), log_reach])
    met_rate = pm.Gamma("contacts_per_day", alpha=HALF_A_CONTACT, beta=density.prior_days[density.met])
    rate = pt.zeros((n_segments, n_stages, n_channels))[density.met].set(met_rate)

    e = np.repeat(np.arange(len(x.move)), np.diff(x.first_contact))
    row = np.repeat(np.arange(len(x.weight)), np.diff(x.first_move))
    beside = pt.zeros(len(x.move))[e].inc(opened)
    of_class = []
    for c in range(k):
        times = pt.where(x.way == FORWARD, pt.exp(log_pace[c]), pt.where(x.way == EXIT, pt.exp(-log_patience[c]), 1.0))
        hazard = pt.exp(log_hazard) * times
        leaving = (rate * pt.exp(log_reach[c])).sum(axis=2)  # (G, S)
        for m, s in enumerate(x.origin):
            leaving = leaving[:, s].inc(hazard[:, m])
        log_p = pt.log(share)[x.segment, c] + x.forward * log_pace[c] - x.exits * log_patience[c]
        log_p += pm.math.dot(x.contacts, log_reach[c]) - (x.days * leaving[x.segment]).sum(axis=1)
        of_class.append(log_p[row].inc(pt.log(hazard.flatten()[x.move] + beside)))
    contacts = (x.met[density.met] * pt.log(met_rate)).sum()
    return (x.weight * pm.math.logsumexp(pt.stack(of_class), axis=0, keepdims=False)).sum() + contacts
