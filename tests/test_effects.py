"""What contacts do besides pulling, alone in tiny worlds: synergy, irritation, service; and surveys that show it."""

import math

import numpy as np
import polars as pl
import pytest
from log_tables import table
from scipy import stats
from small_worlds import INSTANT, small_world
from statistical import assert_counts, assert_distribution, assert_proportion, assert_sharp_proportion

from journeysim.simulation.engine import simulate
from journeysim.spec import Channel, Irritation, Persona, ProductExperience, Survey, Trigger

N = 50_000


def run(world, days, n=N, seed=1):
    return table(simulate(world, n_customers=n, horizon_days=days, seed=seed))


def after(*days, entering="look", chance=1.0):
    """Triggers these days after the entry."""
    return [Trigger(entering=entering, after_days=day, chance=chance) for day in days]


# --- synergy -------------------------------------------------------------------------------------------------------

PULL, WITH_TV, WITH_RADIO = 0.2, 1.6, 2.5


@pytest.fixture(scope="module")
def after_tv_and_radio():
    """Some meet TV, once or twice, some the radio, in an earlier stage or this one; then a search that acts at once."""
    tv = Channel(name="tv", triggers=[*after(0, entering="sleep", chance=0.5), *after(0.5, chance=0.5)])
    radio = Channel(name="radio", triggers=after(0.5, chance=0.5))
    search = Channel(
        name="search",
        triggers=after(1),
        pull=PULL,
        synergy={"tv": WITH_TV, "radio": WITH_RADIO},
        half_life_days=INSTANT,
    )
    journey = {"sleep": {"look": 1000.0}, "look": {"buy": 0.0}, "buy": {}}
    return run(small_world(journey, channels=[tv, radio, search]), 4.0, n=2 * N)


def test_channels_met_before_multiply_pull_each_once(after_tv_and_radio):
    touched = after_tv_and_radio.filter(kind="touch").pivot(
        "channel", index="customer", values="cost", aggregate_function="len"
    )
    touched = touched.join(
        after_tv_and_radio.filter(kind="purchase").select("customer", bought="kind"), on="customer", how="left"
    ).fill_null(0)
    for n_tv in (0, 1, 2):
        for radio in (0, 1):
            group = touched.filter(pl.col("tv") == n_tv, pl.col("radio") == radio)
            bought = group.filter(pl.col("bought") == "purchase").height
            expected = PULL * (WITH_TV if n_tv else 1) * (WITH_RADIO if radio else 1)
            assert_sharp_proportion(bought, group.height, expected)


def test_a_channel_met_later_changes_nothing_before_and_fatigue_goes_on():
    fatigue, times = 0.5, 2.0
    search = Channel(
        name="search",
        triggers=after(1, 3, 5),
        pull=0.3,
        fatigue=fatigue,
        synergy={"tv": times},
        half_life_days=INSTANT,
    )
    events = run(
        small_world({"look": {"buy": 0.0}, "buy": {}}, channels=[Channel(name="tv", triggers=after(2)), search]), 8.0
    )
    bought = events.filter(kind="purchase")["day"].round(3).value_counts()
    days = dict(bought.iter_rows())
    left = N
    for day, pull in ((1, 0.3), (3, 0.3 * fatigue * times), (5, 0.3 * fatigue**2 * times)):
        assert_sharp_proportion(days[day], left, pull)
        left -= days[day]


# --- irritation ----------------------------------------------------------------------------------------------------

LOSES, TOLERATED, FORGOTTEN = 0.3, 1.8, 2.0


def irritating(**changes):
    irritation = Irritation(**{"tolerated": TOLERATED, "forgotten_days": FORGOTTEN, "loses": LOSES, **changes})
    return Channel(name="ad", contacts_per_day={"look": 0.7}, half_life_days=INSTANT, irritation=irritation)


def with_pressure(touches):
    """The pressure right after each touch, recomputed customer by customer from the times in the log."""
    pressures, customer, pressure, day = [], None, 0.0, 0.0
    for who_, now in touches.select("customer", "day").iter_rows():
        if who_ != customer:
            customer, pressure = who_, 0.0
        pressure = 1 + pressure * 2 ** (-(now - day) / FORGOTTEN)
        day = now
        pressures.append(pressure)
    return touches.with_columns(pressure=pl.Series(pressures))


@pytest.mark.parametrize("patience", [1.0, 2.5])
def test_contacts_lose_from_the_tolerated_pressure_on(patience):
    """With an influence of no duration an irritating contact loses at once or never."""
    world = small_world(
        {"look": {"buy": 1e-12}, "buy": {}},
        channels=[irritating(), Channel(name="calm", contacts_per_day={"look": 1.0})],
        personas=[Persona(name="anyone", share=1, patience=patience)],
    )
    events = run(world, 10.0, n=30_000)
    touches = with_pressure(events.filter(kind="touch", channel="ad"))
    lost = events.filter(kind="lost")
    assert set(lost["cause"]) == {"ad"}
    last = touches.group_by("customer", maintain_order=True).last()
    fatal = last.join(lost.select("customer", lost="day"), on="customer")
    assert fatal.height == lost.height
    np.testing.assert_allclose(fatal["day"], fatal["lost"], atol=1e-7)
    assert fatal["pressure"].min() > TOLERATED
    irritated = touches.filter(pl.col("pressure") > TOLERATED).with_columns(nth=pl.int_range(pl.len()).over("customer"))
    expected = 1 - (1 - LOSES) ** (1 / patience)
    fatal_ones = irritated.group_by("customer").agg(nth=pl.col("nth").max()).join(lost, on="customer")
    for nth in range(3):  # whoever comes to the nth irritating contact is lost by it with one probability
        there, lost_there = irritated.filter(nth=nth).height, fatal_ones.filter(nth=nth).height
        (assert_sharp_proportion if nth == 0 else assert_proportion)(lost_there, there, expected)


@pytest.mark.parametrize(("n", "spacing"), [(6, 1.0), (6, 3.0)])
def test_regular_contacts_irritate_from_the_one_that_the_geometric_sum_says(n, spacing):
    regular = irritating().model_copy(
        update={"contacts_per_day": {}, "triggers": tuple(after(*np.arange(n) * spacing))}
    )
    events = run(small_world({"look": {"buy": 1e-12}, "buy": {}}, channels=[regular]), n * spacing)
    decay = 2 ** (-spacing / FORGOTTEN)
    pressure = (1 - decay ** np.arange(1, n + 1)) / (1 - decay)
    remaining = N
    for day, p in zip(np.arange(n) * spacing, pressure, strict=True):
        lost = events.filter(pl.col("kind") == "lost", (pl.col("day") - day).abs() < 0.01).height
        if p > TOLERATED:
            assert_sharp_proportion(lost, remaining, LOSES)
        else:
            assert lost == 0
        remaining -= lost
    assert remaining < N or pressure[-1] < TOLERATED


def test_irritation_decays_like_influence_and_ends_with_the_stay():
    half_life, leave, horizon = 1.5, 0.4, 12.0
    slow = irritating(tolerated=0.5).model_copy(
        update={"contacts_per_day": {}, "triggers": tuple(after(0)), "half_life_days": half_life}
    )
    journey = {"look": {"weigh": leave}, "weigh": {"buy": 1e-12}, "buy": {}}
    lost = run(small_world(journey, channels=[slow]), horizon).filter(kind="lost")
    A, d = -math.log(1 - LOSES), math.log(2) / half_life
    grid = np.linspace(0, horizon, 20_001)
    hazard = A * d * np.exp(-d * grid)
    density = hazard * np.exp(-leave * grid - A * (1 - np.exp(-d * grid)))
    cdf = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    assert set(lost["origin"]) == {"look"}
    assert_sharp_proportion(lost.height, N, cdf[-1])
    assert_distribution(lost["day"].to_numpy(), lambda t: np.interp(t, grid, cdf / cdf[-1]))


def test_what_pressure_is_forgotten_across_stages_and_counts_per_channel():
    """Contacts of another channel add no pressure; moving on does not forget it."""
    ad = irritating(tolerated=1.9, loses=1 - 1e-12).model_copy(
        update={"contacts_per_day": {}, "triggers": (*after(0), *after(0, entering="weigh"))}
    )
    other = ad.model_copy(update={"name": "other", "triggers": tuple(after(0, entering="weigh"))})
    journey = {"look": {"weigh": 0.5}, "weigh": {"buy": 1e-12}, "buy": {}}
    events = run(small_world(journey, channels=[ad, other]), 8.0, n=4000)
    stays = events.filter(pl.col("kind") == "stage", pl.col("stage") == "weigh").select("customer", days="day")
    lost = events.filter(kind="lost")
    assert set(lost["cause"]) == {"ad"}
    soon = stays.filter(pl.col("days") < -FORGOTTEN * math.log2(0.9))  # 1 + 2 ** (-days / 2) > 1.9
    assert 0 < soon.height < stays.height
    assert set(lost["customer"]) == set(soon["customer"])


def test_irritation_is_kept_off_by_satisfaction_after_a_purchase():
    g, satisfaction = 1.5, 0.9
    ad = irritating(tolerated=0).model_copy(
        update={"contacts_per_day": {}, "triggers": (*after(0), *after(0, entering="buy"))}
    )
    events = run(
        small_world(
            {"look": {"buy": 1e3}, "buy": {"use": 1e-12}, "use": {}},
            channels=[ad],
            personas=[Persona(name="anyone", share=1, satisfaction=satisfaction)],
            satisfaction_effect=g,
        ),
        5.0,
    )
    before = events.filter(kind="lost", origin="look").height
    assert_sharp_proportion(before, N, LOSES)
    m = math.exp(g * (satisfaction - 0.5))
    assert_sharp_proportion(events.filter(kind="lost", origin="buy").height, N - before, 1 - (1 - LOSES) ** (1 / m))


# --- satisfaction in answers ---------------------------------------------------------------------------------------

ASKED = {"weigh": {"surveys": [Survey(kind="nps")]}}


def scores_after(channel, satisfaction, **parts):
    """NPS of customers who stay a day in `look` and are asked in `weigh`: with satisfaction 0 or 1 they say which."""
    world = small_world(
        {"look": {"weigh": 0.5}, "weigh": {"buy": 1e-12}, "buy": {}},
        stages=ASKED,
        channels=[channel],
        personas=[Persona(name="anyone", share=1, satisfaction=satisfaction)],
        **parts,
    )
    events = run(world, 12.0, n=20_000)
    scores = events.filter(kind="nps").select("customer", score="value")
    return scores, events


def n_touches(scores, touches):
    counted = touches.group_by("customer").len("n")
    return scores.join(counted, on="customer", how="left").with_columns(pl.col("n").fill_null(0))


def test_service_adds_to_satisfaction_contact_by_contact_within_bounds():
    help_ = Channel(name="help", contacts_per_day={"look": 1.0}, service=0.25)
    scores, events = scores_after(help_, 0.1)
    by_n = n_touches(scores, events.filter(kind="touch"))
    for n in range(6):
        said = by_n.filter(pl.col("n") == n)["score"].to_numpy().astype(int)
        if n >= 4:
            assert set(said) == {10}  # kept at 1
            continue
        assert_counts(np.bincount(said, minlength=11), stats.binom.pmf(range(11), 10, 0.1 + 0.25 * n))
        with pytest.raises(AssertionError):
            assert_counts(np.bincount(said, minlength=11), stats.binom.pmf(range(11), 10, 0.1 + 0.275 * n + 0.01))


def test_bad_service_takes_from_it():
    scores, events = scores_after(Channel(name="help", contacts_per_day={"look": 1.0}, service=-0.5), 1.0)
    by_n = n_touches(scores, events.filter(kind="touch"))
    for n, said in ((0, {10}), (2, {0}), (3, {0})):
        assert set(by_n.filter(pl.col("n") == n)["score"]) == said


def test_every_irritating_contact_hurts_and_no_other():
    scores, events = scores_after(irritating(loses=0.0, hurts=0.5), 1.0)
    touches = with_pressure(events.filter(kind="touch"))
    by_n = n_touches(scores, touches.filter(pl.col("pressure") > TOLERATED))
    assert set(n_touches(scores, touches).filter(pl.col("n") == 1)["score"]) == {10}
    for n, said in ((0, {10}), (2, {0}), (3, {0})):
        assert set(by_n.filter(pl.col("n") == n)["score"]) == said
    once = by_n.filter(pl.col("n") == 1)["score"].to_numpy().astype(int)
    assert_counts(np.bincount(once, minlength=11), stats.binom.pmf(range(11), 10, 0.5))


# --- surveys -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def surveyed():
    stages = {
        "buy": {
            "purchase": True,
            "experience": True,
            "surveys": [Survey(kind="csat", response=0.4), Survey(kind="nps", response=0.7)],
        }
    }
    world = small_world(
        {"look": {"buy": 1.0}, "buy": {"look": 0.5}},
        stages=stages,
        personas=[Persona(name="anyone", share=1, satisfaction=0.5)],
        product_experience=ProductExperience(mean_shift=0.2),
        pain_points=[{"name": "late", "stage": "buy", "chance": 1.0, "hurts": 0.1}],
    )
    return run(world, 2.0)


def test_customers_answer_a_survey_per_entry_or_do_not(surveyed):
    entries = surveyed.filter(kind="purchase").height
    for kind, response in (("csat", 0.4), ("nps", 0.7)):
        answers = surveyed.filter(kind=kind)
        assert set(answers["stage"]) == {"buy"}
        assert_sharp_proportion(answers.height, entries, response)


def test_scores_are_binomial_in_satisfaction_after_experience_and_pain(surveyed):
    first = surveyed.group_by("customer", "kind", maintain_order=True).first()
    first_entry = surveyed.filter(kind="purchase").group_by("customer").agg(first_day=pl.col("day").min())
    first = first.join(first_entry, on="customer").filter(pl.col("day") == pl.col("first_day"))
    csat = first.filter(kind="csat")["value"].to_numpy().astype(int) - 1
    nps = first.filter(kind="nps")["value"].to_numpy().astype(int)
    for said, n in ((csat, 4), (nps, 10)):
        assert_counts(np.bincount(said, minlength=n + 1), stats.binom.pmf(range(n + 1), n, 0.6))
        for wrong in (0.5, 0.7, 0.66):  # before either, before the pain, 10% off
            with pytest.raises(AssertionError):
                assert_counts(np.bincount(said, minlength=n + 1), stats.binom.pmf(range(n + 1), n, wrong))


def test_answers_stand_right_behind_what_they_answer(surveyed):
    before = surveyed.with_columns(pl.col("kind", "time").shift(1).over("customer").name.prefix("last_"))
    for kind, earlier in (("pain", {"purchase"}), ("csat", {"pain"}), ("nps", {"pain", "csat"})):
        rows = before.filter(kind=kind)
        assert set(rows["last_kind"]) == earlier
        assert (rows["time"] == rows["last_time"]).all()
