"""The contract suite: every registered method keeps it, other settings too, and it catches methods that do not."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from journeysim.attribution import (
    AdditiveHazard,
    BackwardsElimination,
    BaggedLogistic,
    CustomWeights,
    LastNonDirect,
    Linear,
    MarkovShapley,
    SetShapley,
    attribute,
    method_info,
    methods,
)
from journeysim.attribution.base import require_conversions
from journeysim.attribution.contract import PROPERTIES, ContractError, check_method, check_property, small_journeys
from journeysim.errors import InputError


def saturating(channels):
    """A user's model that does not look at names."""
    return 1 - 0.7 ** len(channels)


def newest_double(n):
    return [1.0] * (n - 1) + [2.0]


OTHER_SETTINGS = [
    AdditiveHazard(half_life_days=2.0),
    BackwardsElimination(model=saturating),
    BaggedLogistic(n_bags=30, channel_share=0.3, ridge=0.01, seed=8),
    BaggedLogistic(channel_share=1.0),
    CustomWeights(newest_double),
    LastNonDirect(direct=("telephone",)),
    MarkovShapley(order=2, n_orders=4),
    MarkovShapley(exact_up_to=0, n_orders=40),
    SetShapley(exact_up_to=0, n_orders=40),
    SetShapley(model=saturating),
    SetShapley(model=saturating, exact_up_to=0, n_orders=40),
]


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("method", methods())
def test_every_registered_method_keeps_the_contract(method, name):
    check_property(method_info(method).factory(), name)


@pytest.mark.parametrize("method", OTHER_SETTINGS, ids=lambda method: type(method).__name__)
def test_other_settings_keep_the_contract(method):
    check_method(method)


# --- negative controls: each of these breaks one property, as a peer does ------------------------------------------


@dataclass(frozen=True)
class Wrapped:
    """Linear attribution, spoilt."""

    def attribute(self, journeys):
        return self.spoil(Linear().attribute(journeys), journeys)


class LosesSome(Wrapped):
    def spoil(self, result, journeys):
        return replace(result, conversions=0.999 * result.conversions)


class LosesValue(Wrapped):
    def spoil(self, result, journeys):
        return replace(result, value=0.999 * result.value)


class SeeksBySubstring(Wrapped):
    """Finds "eta" in "beta", and pays both."""

    def spoil(self, result, journeys):
        weight = np.array([sum(name in other for other in journeys.channels) for name in journeys.channels])
        shares = result.conversions * weight
        return replace(result, conversions=journeys.n_conversions * shares / shares.sum())


class TruncatesFractions(Wrapped):
    def attribute(self, journeys):
        whole = replace(journeys, conversions=np.floor(journeys.conversions))
        return Linear().attribute(whole)


class DiffersByRun(Wrapped):
    def spoil(self, result, journeys):
        shares = result.conversions * np.random.default_rng().uniform(0.9, 1.1, len(result.conversions))
        return replace(result, conversions=journeys.n_conversions * shares / shares.sum())


class FavoursTheFirstName(Wrapped):
    def spoil(self, result, journeys):
        shares = result.conversions * np.where(np.array(journeys.channels) == min(journeys.channels), 2, 1)
        return replace(result, conversions=journeys.n_conversions * shares / shares.sum())


class FavoursTheFirstRow(Wrapped):
    def spoil(self, result, journeys):
        shares = result.conversions.copy()
        shares[journeys.codes[0]] *= 2
        return replace(result, conversions=journeys.n_conversions * shares / shares.sum())


class CountsRows(Wrapped):
    def attribute(self, journeys):
        require_conversions(journeys)
        result = Linear().attribute(replace(journeys, conversions=np.ones(journeys.n_journeys)))
        return replace(result, conversions=result.conversions * journeys.n_conversions / journeys.n_journeys)


class CreditsTheUnmet(Wrapped):
    def spoil(self, result, journeys):
        shares = result.conversions + 0.01
        return replace(result, conversions=journeys.n_conversions * shares / shares.sum())


class CreditsTheUntouched(Wrapped):
    def spoil(self, result, journeys):
        more = 1 + journeys.untouched_conversions / journeys.n_conversions
        return replace(result, conversions=result.conversions * more)


class ForgetsNotes(Wrapped):
    def spoil(self, result, journeys):
        return replace(result, notes=())


class AcceptsNothing(Wrapped):
    def attribute(self, journeys):
        if not journeys.n_conversions:
            return replace(Linear().attribute(small_journeys()), channels=("a", "b", "c", "d"))
        return Linear().attribute(journeys)


class FailsWithoutTimes(Wrapped):
    def attribute(self, journeys):
        assert (journeys.ages_days >= 0).all()
        return Linear().attribute(journeys)


class WritesToItsInput(Wrapped):
    def attribute(self, journeys):
        result = Linear().attribute(journeys)
        journeys.conversions.setflags(write=True)
        journeys.conversions[0] += 1
        return result


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        (LosesSome, "credit adds up to what had a touch"),
        (LosesValue, "credit adds up to what had a touch"),
        (SeeksBySubstring, "renaming and renumbering channels renames credit and nothing else"),
        (TruncatesFractions, "credit adds up to what had a touch"),
        (DiffersByRun, "the same journeys give the same bits"),
        (FavoursTheFirstName, "renaming and renumbering channels renames credit and nothing else"),
        (FavoursTheFirstRow, "the order of journeys does not matter"),
        (CountsRows, "rows without weight change nothing"),
        (CreditsTheUnmet, "a channel that nobody met is credited with nothing"),
        (CreditsTheUntouched, "what had no touch is reported and not credited"),
        (ForgetsNotes, "notes of the journeys are kept"),
        (AcceptsNothing, "journeys that never convert are refused"),
        (FailsWithoutTimes, "journeys without times are refused clearly or do as well"),
        (WritesToItsInput, "inputs are never written to"),
    ],
)
def test_a_method_that_breaks_the_contract_is_caught_and_told_how(broken, caught_by):
    with pytest.raises(ContractError, match=f"{broken.__name__}: {caught_by}: "):
        check_method(broken())


def test_the_wrapped_method_itself_is_in_order():
    check_method(Linear())


# --- what needs are declared --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", methods())
def test_what_a_method_needs_is_what_the_registry_says(method):
    journeys = small_journeys()
    without = {
        "times": replace(journeys, ages_days=None),
        "nulls": replace(journeys, nulls=np.zeros(journeys.n_journeys)),
    }
    refused = set()
    for need, lacking in without.items():
        try:
            attribute(lacking, method)
        except InputError:
            refused.add(need)
    assert refused == method_info(method).needs


@pytest.mark.parametrize("method", methods())
def test_each_method_says_what_it_assumes_and_when_it_misleads_in_a_line(method):
    info = method_info(method)
    for line in (info.assumes, info.misleads):
        assert 10 < len(line) <= 120
        assert "\n" not in line
