"""forecast: one question for a posterior of stages, in closed form, and for a posterior of worlds, by simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from journeysim.errors import InputError
from journeysim.forecasts.asked import listed
from journeysim.forecasts.closed_form import forecast_stages
from journeysim.forecasts.simulated import forecast_worlds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from journeysim.bayes.posterior import Posterior
    from journeysim.forecasts.result import Forecast
    from journeysim.scenario import Scenario
    from journeysim.spec import World
    from journeysim.stage_money import StageMoney

WORLDS: Final = 100
CUSTOMERS: Final = 5_000


@runtime_checkable
class HasWorlds(Protocol):
    """A posterior of worlds, such as the `Twin` that `fit_world` gives."""

    def worlds(self, n: int, *, seed: int) -> tuple[Sequence[Mapping[str, World]], NDArray[np.float64]]:
        """N draws of a world per segment, and the shares of the segments (N, G)."""
        ...


def forecast(
    source: Posterior | HasWorlds,
    scenarios: Scenario | Sequence[Scenario],
    *,
    conversion_days: float,
    retention_days: float,
    require_converged: bool = True,
    money: StageMoney | None = None,
    horizon_days: float | None = None,
    yearly_discount: float = 0.0,
    seed: int = 0,
    n_worlds: int | None = None,
    n_customers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Forecast:
    """Forecast each scenario against the baseline.

    From a posterior of the stage model the answer is in closed form, for scenarios of stages. From a posterior of
    worlds, what `fit_world` gives, any scenario is simulated in `n_worlds` of them. `Forecast.source` says which.

    Parameters
    ----------
    source : what `StageModel.fit` or `fit_world` returned
    scenarios : one or more
    conversion_days, retention_days : horizons in days, > 0
    require_converged : refuse draws that cannot be trusted (`fit_world` always does)
    money : for the closed form: what purchases are worth and contacts cost, of the same log and segments; adds revenue,
        cost, profit and clv. Worlds have baskets and costs of their own
    horizon_days : of the closed form: over which purchases and money are counted; by default, with `money`,
        conversion_days + retention_days, as in every simulation
    yearly_discount : of clv; what comes u days from the start is over (1 + discount)^(u / 365)
    seed : of the draws of money; of the worlds and their simulation
    n_worlds, n_customers, on_progress : of a simulation, as in `forecast_worlds`; by default 100 worlds of 5,000
        customers per segment

    Raises
    ------
    InputError : a horizon is not positive; a scenario names what does not exist, or, for the closed form, changes more
        than stages; no stage is a purchase or none is ever reached; two scenarios share a name; money is of other
        segments; the fit did not converge; `source` is something else; an argument is for the other kind of source
    """
    some = listed(scenarios)
    if not isinstance(source, HasWorlds):
        theirs = {"n_worlds": n_worlds, "n_customers": n_customers, "on_progress": on_progress}
        _refuse(theirs, "simulates nothing: a posterior of stages is answered in closed form")
        return forecast_stages(
            source,
            some,
            conversion_days=conversion_days,
            retention_days=retention_days,
            require_converged=require_converged,
            money=money,
            horizon_days=horizon_days,
            yearly_discount=yearly_discount,
            seed=seed,
        )
    _refuse({"money": money}, "is not needed: worlds have the baskets and costs of their log")
    if horizon_days is not None and horizon_days != conversion_days + retention_days:
        raise InputError(
            f"forecast: horizon_days is {horizon_days}, but a simulation counts purchases and money over "
            f"conversion_days + retention_days, {conversion_days + retention_days:g} days; leave it out."
        )
    worlds, weights = source.worlds(WORLDS if n_worlds is None else n_worlds, seed=seed)
    return forecast_worlds(
        worlds,
        weights,
        some,
        n_customers=CUSTOMERS if n_customers is None else n_customers,
        conversion_days=conversion_days,
        retention_days=retention_days,
        seed=seed,
        yearly_discount=yearly_discount,
        on_progress=on_progress,
    )


def _refuse(arguments: Mapping[str, object], why: str) -> None:
    for name, given in arguments.items():
        if given is not None:
            raise InputError(f"forecast: {name} {why}; leave it out.")
