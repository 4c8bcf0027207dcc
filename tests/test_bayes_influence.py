"""The influence model: its density, its PyMC twin, what a fit gives and how it is kept."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from influence_stays import known_world
from statistical import FALSE_ALARM

from journeysim import InfluenceModel, InfluencePosterior, simulate, to_influence_history, worlds
from journeysim.attribution import RemovalEffect
from journeysim.bayes.arviz_versions import import_arviz
from journeysim.bayes.influence_causes import expected_causes
from journeysim.bayes.influence_checks import check_influence
from journeysim.bayes.influence_density import influence, product_of
from journeysim.bayes.influence_em import expectation_maximisation
from journeysim.bayes.intervals import shortest_from_zero
from journeysim.errors import InputError
from journeysim.influence_history import influence_history
from journeysim.journeys import to_journeys
from journeysim.stays import to_stays

SETTINGS = [
    {"pull_by_stage": stage, "fatigue": fatigue, "appeal": appeal}
    for stage, fatigue, appeal in [(True, True, True), (False, True, False), (True, False, True), (False, False, False)]
]


@pytest.fixture(scope="module")
def log():
    return simulate(known_world(), n_customers=1500, horizon_days=60, seed=1)


@pytest.fixture(scope="module")
def stays(log):
    return to_stays(log, by="persona")


@pytest.fixture(scope="module")
def history(stays):
    return influence_history(stays)


@pytest.fixture(scope="module")
def posterior(history):
    return InfluenceModel(pull_by_stage=True).fit(history, seed=1, draws=250, warmup=300, chains=2)


def points(density, start, n=3, sd=0.3):
    rng = np.random.default_rng(2)
    return [density.start(start) + sd * rng.normal(size=density.n_dim) for _ in range(n)]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("by", [None, "persona"])
def test_gradient_is_that_of_the_log_density(log, by, settings):
    density, start = InfluenceModel(**settings)._density(to_influence_history(log, by=by))
    for x in points(density, start):
        differences = [(density(x + e)[0] - density(x - e)[0]) / 2e-5 for e in 1e-5 * np.eye(density.n_dim)]
        np.testing.assert_allclose(density(x)[1], differences, rtol=1e-5, atol=2e-3)


def row_by_row(stays, history, density, x):
    """Log likelihood of every stay, from its contacts one by one: no cells, no kept ages."""
    p = density.parameters(x)
    base, decay = np.exp(p.log_hazard), math.log(2) / np.exp(p.log_half_life)
    total = 0.0
    for n, (g, s) in enumerate(zip(stays.segment, stays.stage, strict=True)):
        mine = np.flatnonzero(stays.contact_stay == n)
        out = [m for m, origin in enumerate(history.stages.origins) if origin == s]
        hazard = {history.stages.targets[m]: base[g, m] for m in out}
        total -= stays.days[n] * sum(hazard.values())
        pushed = history.pushed[s]
        for j in mine if pushed >= 0 else ():
            c, age = stays.contact_channel[j], stays.contact_age[j]
            place = history.pushed_stages.index(history.stages.stages[s]) if density.n_places > 1 else 0
            product = math.exp(p.log_pull[c, place] + p.log_appeal[g, c] - stays.contact_repeat[j] * p.repeat_loss[c])
            a = float(influence(np.array(product)))
            total -= a * (1 - math.exp(-decay[c] * age))
            hazard[history.stages.targets[pushed]] += a * decay[c] * math.exp(-decay[c] * age)
        if stays.target[n] >= 0:
            total += math.log(hazard[stays.target[n]])
    return total


@pytest.mark.parametrize("settings", SETTINGS[:2])
def test_likelihood_is_that_of_the_stays_one_by_one(stays, history, settings):
    """Differences between points with one prior: only base hazards and pulls move the prior, and it is taken out."""
    model = InfluenceModel(**settings)
    density, start = model._density(history)
    empty = replace_likelihood_by_nothing(density)
    values = [(density(x)[0] - empty(x)[0], row_by_row(stays, history, density, x)) for x in points(density, start)]
    ours, theirs = np.array(values).T
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def replace_likelihood_by_nothing(density):
    """The same coordinates and priors without data."""
    d = density.observed
    nothing = d._replace(
        plain=np.zeros_like(d.plain), exposure=np.zeros_like(d.exposure), contacts=np.zeros_like(d.contacts),
        age_weights=np.zeros_like(d.age_weights), move=d.move[:0], first=d.first[:1], cell=d.cell[:0], age=d.age[:0],
    )  # fmt: skip
    return replace(density, observed=nothing)


@pytest.mark.parametrize("settings", SETTINGS[:2])
def test_log_density_and_gradient_equal_those_of_the_pymc_model(history, settings):
    """Up to one constant; the Jacobian of the coordinates comes from finite differences of `parameters`."""
    model = InfluenceModel(**settings)
    density, start = model._density(history)
    reference = model.pymc_model(history)
    log_p = reference.compile_logp(mode="FAST_COMPILE")
    gradient = reference.compile_dlogp(mode="FAST_COMPILE")

    def natural(x):
        p = density.parameters(x)
        values = {
            "mu": p.log_typical, "tau_log__": np.log(p.spread), "log_hazard": p.log_hazard,
            "typical_pull_log__": p.log_typical_pull, "pull_log__": p.log_pull, "half_life_log__": p.log_half_life,
            "repeat_loss_log__": np.log(p.repeat_loss), "log_appeal": p.log_appeal,
        }  # fmt: skip
        return {variable.name: values[variable.name] for variable in reference.value_vars}

    def jacobian(x, step=1e-4):
        def flat(y):
            return np.concatenate([value.ravel() for value in natural(y).values()])

        return np.stack([(flat(x + e) - flat(x - e)) / (2 * step) for e in step * np.eye(x.size)], axis=1)

    def log_volume(x):
        return np.linalg.slogdet(jacobian(x))[1]

    chosen = points(density, start)
    ours = np.array([density(x)[0] for x in chosen])
    theirs = np.array([log_p(natural(x)) + log_volume(x) for x in chosen])
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-9, atol=1e-4)
    x = chosen[0]
    by_volume = [(log_volume(x + e) - log_volume(x - e)) / 2e-3 for e in 1e-3 * np.eye(x.size)]
    np.testing.assert_allclose(density(x)[1], jacobian(x).T @ gradient(natural(x)) + by_volume, rtol=1e-4, atol=1e-2)


@pytest.mark.slow
def test_draws_have_the_posterior_of_the_pymc_model(history):
    import_arviz()
    import pymc as pm

    model = InfluenceModel(fatigue=False, pull_by_stage=False)
    ours = model.fit(history, seed=1)
    ours.require_converged()
    with model.pymc_model(history):
        theirs = pm.sample(1000, tune=1000, chains=4, random_seed=2, progressbar=False)["posterior"]
    for name, draws in (("pull", ours.pull[:, :, 0]), ("half_life", ours.half_life), ("hazard", ours.hazards)):
        other = theirs["log_hazard" if name == "hazard" else name].values
        other = (np.exp(other) if name == "hazard" else other).reshape(-1, *draws.shape[1:])
        error = np.abs(other.mean(axis=0) - draws.mean(axis=0)) / draws.std(axis=0)
        assert error.max() < 0.15, name


def test_em_finds_what_the_world_does(stays):
    start = expectation_maximisation(influence_history(stays), half_life_days=3.0, pull_by_stage=True)
    shop = start.pull[1]
    assert 0.15 < shop[0] < 0.45
    assert start.pull[2].max() < 0.1, "the companion"
    assert start.base_moves.sum() < stays.counts.counts.sum(), "contacts took some moves from the base"


def test_influence_is_the_simulators_up_to_where_it_bends_and_goes_on_smoothly():
    product = np.array([0.0, 0.3, 0.9 - 1e-7, 0.9, 0.9 + 1e-7, 1.5])
    value = influence(product)
    np.testing.assert_allclose(-np.expm1(-value[:3]), product[:3])
    slopes = np.diff(value)[[2, 3]] / np.diff(product)[[2, 3]]
    np.testing.assert_allclose(slopes, 10.0, rtol=1e-5)
    np.testing.assert_allclose(product_of(-np.expm1(-value)), product, atol=1e-12)
    assert 4 < product_of(np.array(1.0)) < 5, "a probability that rounds to 1 has no influence without end"


def test_an_interval_begins_at_zero_only_where_zero_is_as_likely_as_anything():
    rng = np.random.default_rng(1)
    draws = np.column_stack([rng.exponential(size=4000), 10 + rng.normal(size=4000)])
    low, high = shortest_from_zero(draws, 0.9)
    assert low[0] == 0
    np.testing.assert_allclose([high[0], low[1], high[1]], [math.log(10), 8.355, 11.645], atol=0.25)


def test_summary_says_what_was_met_and_what_is_only_prior(posterior, history):
    frame = posterior.summary()
    pulls = frame.filter(pl.col("parameter") == "pull")
    assert pulls.height == 3 * 2
    assert pulls["contacts"].sum() == history.contacts.sum()
    assert (frame["low"] <= frame["mean"]).all()
    assert posterior.unmet == ()
    companion = pulls.filter(channel="companion", stage="choosing")
    assert companion["holds_none"].item()
    assert not pulls.filter(channel="shop", stage="choosing")["holds_none"].item()


def test_a_channel_never_met_where_it_could_act_keeps_its_prior_and_is_named():
    world = known_world()
    late = world.model_copy(update={"channels": (*world.channels[:2], world.channels[2].model_copy(
        update={"contacts_per_day": {"bought": 0.5}})
    )})  # fmt: skip
    history = to_influence_history(simulate(late, n_customers=300, horizon_days=60, seed=1))
    posterior = InfluenceModel().fit(history, seed=1, draws=200, warmup=300, chains=2)
    assert posterior.unmet == (("companion", "looking"), ("companion", "choosing"))
    half_life = np.log(posterior.half_life[:, 2])
    assert abs(half_life.mean() - math.log(3)) < 0.5
    assert abs(half_life.std() - math.log(10) / 1.645) < 0.3


def test_a_posterior_is_written_and_read_to_the_last_bit(posterior, tmp_path):
    posterior.save(tmp_path / "a.nc")
    again = InfluencePosterior.load(tmp_path / "a.nc")
    assert repr(again) == repr(posterior)
    for name in ("pull", "half_life", "fatigue", "appeal", "hazards"):
        np.testing.assert_array_equal(getattr(again, name), getattr(posterior, name))
    assert expected_causes(again, seed=1).equals(expected_causes(posterior, seed=1))
    assert again.priors == posterior.priors
    with pytest.raises(InputError, match="exists"):
        posterior.save(tmp_path / "a.nc")
    assert posterior.to_arviz()["posterior"]["pull"].dims == ("chain", "draw", "channel", "place")


def caused(log):
    """Moves by origin, target and cause, as the simulator knows them."""
    words = pl.col("kind", "stage", "cause").cast(pl.String)
    moves = log.to_polars().with_columns(words).filter(pl.col("kind") == "stage")
    moves = moves.with_columns(origin=pl.col("stage").shift(1).over("customer")).drop_nulls("origin")
    return moves.group_by("origin", target="stage", cause="cause").agg(true=pl.len())


def test_expected_causes_are_near_the_true_ones(posterior, log):
    """Six standard deviations of the posterior: it says how far off it may be."""
    found = expected_causes(posterior, seed=1).join(caused(log), on=["origin", "target", "cause"], how="left")
    assert found.group_by("origin").agg(pl.col("share").sum())["share"].to_list() == pytest.approx([1, 1])
    error = (found["true"].fill_null(0) / found["moves"] - found["share"]).abs()
    spread = (found["high"] - found["low"]) / 3.3
    assert (error <= 6 * spread + 1e-9).all()
    assert found.filter(cause="base")["share"].max() < 0.95


def test_a_right_model_passes_its_checks_and_a_wrong_one_fails(posterior, stays):
    good = check_influence(posterior, stays, seed=1)
    assert good.p_value > FALSE_ALARM
    assert good.moves["observed"].sum() == pytest.approx(good.moves["expected"].sum(), rel=0.15)
    wrong = replace(posterior, pull_by_chain=posterior.pull_by_chain * 0.1)
    bad = check_influence(wrong, stays, seed=1)
    assert bad.moves["p_value"].min() == 0.0
    slower = replace(posterior, hazards_by_chain=posterior.hazards_by_chain * 2)
    assert check_influence(slower, stays, seed=1).p_value < 1e-6


def test_checks_refuse_stays_of_other_segments(posterior, log):
    with pytest.raises(InputError, match="the posterior has segments"):
        check_influence(posterior, to_stays(log), seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"typical_pull": 1.0}, "below 1"), ({"repeat_loss": 0.0}, "above 0"), ({"typical_pull_within": 1.0}, "above 1")],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        InfluenceModel(**settings)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "channel"), [("trap-companion", "brand_search"), ("trap-retargeting", "retargeting")])
def test_packaged_traps_are_seen_through(name, channel):
    """The model holds the truth of a channel that does next to nothing; the removal effect of the same log does not."""
    world = worlds.load(name)
    log = simulate(world, n_customers=20_000, horizon_days=90, seed=5)
    posterior = InfluenceModel().fit(to_influence_history(log, by="persona"), seed=1)
    posterior.require_converged()
    frame = posterior.summary().filter(pl.col("parameter") == "pull", pl.col("met") > 300)
    trap = {c.name: c for c in world.channels}[channel]
    for row in frame.filter(channel=channel).iter_rows(named=True):
        assert row["low"] <= trap.pull_in(row["stage"]) <= row["high"]
        assert row["holds_none"] or trap.pull_in(row["stage"]) > 0
    assert (frame.filter(pl.col("channel") != channel)["low"] > 0.05).all()
    assert expected_causes(posterior, seed=1).filter(cause=channel)["low"].max() < 0.02
    removal = RemovalEffect().attribute(to_journeys(log)).to_frame()
    assert removal.filter(channel=channel)["share"].item() > 0.1
