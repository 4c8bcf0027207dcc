"""The customers table: market, persona, demographics and interests, each drawn as the persona says."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from small_worlds import small_world
from statistical import assert_counts, assert_proportion, assert_sharp_proportion

from journeysim.simulation import people
from journeysim.simulation.engine import simulate
from journeysim.spec import Persona

N = 60_000
JOURNEY = {"look": {"buy": 0.1}, "buy": {}}
AGES = {"18-34": 0.2, "35-54": 0.5, "55+": 0.3}
HOME = Persona(
    name="home",
    share=0.6,
    demographics={"age": AGES, "region": "north", "device": {"phone": 0.25, "laptop": 0.75}},
    interests={"sport": 0.3, "cooking": 0.8},
)
AWAY = Persona(
    name="away",
    share=0.3,
    demographics={"age": {"55+": 0.9, "35-54": 0.1}, "region": {"south": 0.5, "north": 0.5}},
    interests={"cooking": 0.1, "design": 1.0},
)
PLAIN = Persona(name="plain", share=0.1)


def customers(personas, n=N, seed=1, **parts):
    log = simulate(small_world(JOURNEY, personas=personas, **parts), n_customers=n, horizon_days=1, seed=seed)
    return pl.DataFrame(pl.from_arrow(log.customers))


@pytest.fixture(scope="module")
def table():
    everyone = customers([HOME, AWAY, PLAIN], market_size=1000)
    return everyone.with_columns(pl.exclude("customer", "market").cast(pl.String))


def counts(values, names):
    found = dict(values.value_counts().iter_rows())
    return [found.get(name, 0) for name in names]


def test_columns_are_the_attributes_in_the_order_of_the_world(table):
    assert table.columns == ["customer", "persona", "market", "age", "region", "device", "interests"]
    assert table["customer"].to_list() == list(range(N))
    assert (table["market"] == table["customer"] // 1000).all()
    assert_counts(counts(table["persona"], ["home", "away", "plain"]), [0.6, 0.3, 0.1])


@pytest.mark.parametrize("persona", [HOME, AWAY], ids=lambda p: p.name)
def test_demographics_have_the_shares_of_the_persona(table, persona):
    own = table.filter(persona=persona.name)
    for name, shares in persona.demographics.items():
        if isinstance(shares, str):
            assert set(own[name]) == {shares}
            continue
        assert_counts(counts(own[name], list(shares)), list(shares.values()))
        first, *others = shares.values()
        wrong = [first * 1.1, *(share * (1 - first * 1.1) / (1 - first) for share in others)]
        with pytest.raises(AssertionError):
            assert_counts(counts(own[name], list(shares)), wrong)
        assert set(own[name]) == set(shares)  # none of the values of other personas, no nulls


def test_attributes_that_a_persona_lacks_are_null(table):
    assert (
        table.filter(persona="plain").select("age", "region", "device").null_count().row(0)
        == (len(table.filter(persona="plain")),) * 3
    )
    away = table.filter(persona="away")
    assert away["device"].null_count() == len(away)
    assert away["age"].null_count() == 0


def test_attributes_are_independent(table):
    own = table.filter(persona="home")
    pairs = own.select(pair=pl.concat_str("age", "device", separator=" "))["pair"]
    shares = {f"{age} {device}": p * q for age, p in AGES.items() for device, q in HOME.demographics["device"].items()}
    assert_counts(counts(pairs, list(shares)), list(shares.values()))


def test_each_interest_comes_by_itself_and_all_are_listed_in_order(table):
    own = table.filter(persona="home")
    expected = {"": 0.7 * 0.2, "sport": 0.3 * 0.2, "cooking": 0.7 * 0.8, "sport, cooking": 0.3 * 0.8}
    assert_counts(counts(own["interests"], list(expected)), list(expected.values()))
    assert set(own["interests"]) == set(expected)
    away = table.filter(persona="away")["interests"]
    assert set(away) == {"design", "cooking, design"}  # sure ones are sure
    assert_proportion(int((away == "design").sum()), len(away), 0.9)
    assert_sharp_proportion(int((away != "design").sum()), len(away), 0.1)
    assert set(table.filter(persona="plain")["interests"]) == {""}


def test_interests_are_independent_of_demographics(table):
    own = table.filter(persona="home", device="phone")
    assert_sharp_proportion(int(own["interests"].str.contains("sport").sum()), len(own), 0.3)


def test_shares_that_sum_to_1_but_for_rounding_leave_nobody_out(monkeypatch):
    """Too few draws end up beyond 0.9999996 to be seen in a log: look at what they are compared with."""
    seen, pick_values = [], people.pick_values
    monkeypatch.setattr(people, "pick_values", lambda *args: seen.append(args[-1]) or pick_values(*args))
    sixths = Persona(name="a", share=1, demographics={"age": dict.fromkeys("abcdef", 0.1666666)})
    assert customers([sixths], n=20_000)["age"].null_count() == 0
    assert [until[0, -1] for until in seen] == [1.0] * len(seen)
    np.testing.assert_allclose(np.diff(seen[0][0]), 1 / 6, atol=1e-6)


def test_more_values_than_a_byte_can_count():
    shares = {f"town {i}": 1 / 400 for i in range(400)}
    towns = customers([Persona(name="a", share=1, demographics={"town": shares})], n=20_000)["town"].cast(pl.String)
    assert towns.null_count() == 0
    assert_counts(counts(towns, list(shares)), [1 / 400] * 400)


def test_a_larger_population_and_other_chunks_have_the_same_customers():
    world = small_world(JOURNEY, personas=[HOME, AWAY, PLAIN], market_size=7)
    whole = simulate(world, n_customers=500, horizon_days=1, seed=3)
    parts = simulate(world, n_customers=500, horizon_days=1, seed=3, chunk_customers=11)
    larger = simulate(world, n_customers=700, horizon_days=1, seed=3)
    assert parts.equals(whole)
    assert larger.only(pa.array(np.arange(500))).equals(whole)
    others = small_world(JOURNEY, personas=[HOME, AWAY.model_copy(update={"interests": {"cooking": 0.2}}), PLAIN])
    assert not simulate(others, n_customers=500, horizon_days=1, seed=3).equals(whole)  # equality looks at customers
