"""Hidden personas of the influence model: the density, its PyMC twin, and what a fit finds that no column names."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from influence_stays import known_world
from test_bayes_influence import caused
from test_influence_history import ROWS, log_of
from test_refusals import BUYS
from test_refusals import log_of as same_journeys

from journeysim import (
    HiddenPersonasChoice,
    InfluenceModel,
    InfluencePosterior,
    Twin,
    choose_hidden_personas,
    fit_world,
    simulate,
    to_influence_history,
)
from journeysim.bayes.hidden_density import HiddenDensity
from journeysim.bayes.hidden_em import hidden_em
from journeysim.bayes.influence_causes import expected_causes
from journeysim.bayes.influence_checks import check_influence
from journeysim.bayes.influence_density import influence
from journeysim.errors import InputError
from journeysim.influence_history import influence_history
from journeysim.stays import to_stays
from journeysim.twin import to_ingredients

FAST_AND_SLOW = known_world(
    name="fast and slow",
    personas=[
        {"name": "fast", "share": 0.4, "pace": 4, "patience": 2, "reach": {"mail": 5, "shop": 0.5}},
        {"name": "slow", "share": 0.6},
    ],
)
TRUTH = {"share": 0.4, "pace": 4.0, "patience": 2.0, "mail": 5.0, "shop": 0.5, "companion": 1.0}


@pytest.fixture(scope="module")
def log():
    return simulate(FAST_AND_SLOW, n_customers=1500, horizon_days=60, seed=1)


@pytest.fixture(scope="module")
def stays(log):
    return to_stays(log)


@pytest.fixture(scope="module")
def history(stays):
    return influence_history(stays, customers=True)


@pytest.fixture(scope="module")
def posterior(history):
    return InfluenceModel(hidden_personas=2).fit(history, seed=1, draws=120, warmup=150, chains=2)


@pytest.fixture(scope="module")
def few():
    """A log of two segments that is small enough to go through customer by customer."""
    return to_stays(simulate(FAST_AND_SLOW, n_customers=150, horizon_days=60, seed=2), by="persona")


def points(density, at, n=3, sd=0.3):
    rng = np.random.default_rng(2)
    return [at + sd * rng.normal(size=density.n_dim) for _ in range(n)]


def test_rows_of_a_log_written_by_hand():
    stays = to_stays(log_of([*ROWS, (4, 0.0, "stage", "a"), (5, 0.0, "stage", "a")]))
    rows = influence_history(stays, customers=True).customers
    # 1 moved on after contacts and was lost, 2 and 3 went to c of themselves; 4 and 5 did nothing
    assert rows.weight.tolist() == [1, 1, 1, 2]
    assert rows.days.tolist() == [[4, 4, 0], [5, 0, 3], [0, 9, 1], [10, 0, 0]]
    assert rows.contacts.tolist() == [[3, 1], [0, 1], [0, 0], [0, 0]], "a contact before the first stage is in no stay"
    assert rows.forward.tolist() == [0, 1, 1, 0]
    assert rows.exits.tolist() == [1, 0, 0, 0]
    assert rows.first_move.tolist() == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("settings", [{}, {"pull_by_stage": False, "fatigue": False, "appeal": False}])
def test_gradient_is_that_of_the_log_density(few, settings, k):
    history = influence_history(few, customers=True)
    density, start = InfluenceModel(hidden_personas=k, **settings)._hidden_density(history)
    for x in points(density, start):
        differences = [(density(x + e)[0] - density(x - e)[0]) / 2e-5 for e in 1e-5 * np.eye(density.n_dim)]
        np.testing.assert_allclose(density(x)[1], differences, rtol=1e-5, atol=2e-3)


def customer_by_customer(stays, history, density, x):
    """Log-likelihood from each customer's stays and contacts, one by one: no rows, no sums, no kept ages."""
    p, classes = density.parameters(x), density.classes(x)
    base, decay = np.exp(p.log_hazard), math.log(2) / np.exp(p.log_half_life)
    share, pace, patience, reach, rate = (np.exp(part) for part in classes)
    moves, names = history.stages.moves, history.stages.stages
    ways = dict(zip(moves, history.stages.directions, strict=True))
    total = 0.0
    for customer in np.unique(stays.customer):
        likelihood = 0.0
        for k in range(density.n_classes):
            log_p, times = 0.0, {"forward": pace[k], "back": 1.0, "exit": 1 / patience[k]}
            for n in np.flatnonzero(stays.customer == customer):
                g, s = stays.segment[n], stays.stage[n]
                out = [m for m, (origin, _) in enumerate(moves) if origin == names[s]]
                hazard = {history.stages.targets[m]: base[g, m] * times[ways[moves[m]]] for m in out}
                log_p -= stays.days[n] * (sum(hazard.values()) + (rate[g, s] * reach[k]).sum())
                for j in np.flatnonzero(stays.contact_stay == n):
                    c, age = stays.contact_channel[j], stays.contact_age[j]
                    log_p += math.log(rate[g, s, c] * reach[k, c])
                    if history.pushed[s] < 0:
                        continue
                    place = history.pushed_stages.index(names[s])
                    a = p.log_pull[c, place] + p.log_appeal[g, c] - stays.contact_repeat[j] * p.repeat_loss[c]
                    a = float(influence(np.exp(a)))
                    log_p -= a * (1 - math.exp(-decay[c] * age))
                    hazard[history.stages.targets[history.pushed[s]]] += a * decay[c] * math.exp(-decay[c] * age)
                if stays.target[n] >= 0:
                    log_p += math.log(hazard[stays.target[n]])
            likelihood += share[g, k] * math.exp(log_p)
        total += math.log(likelihood)
    return total


def without_data(density):
    """The same coordinates and priors."""
    d, x = density.influence.observed, density.customers
    nothing = d._replace(
        plain=np.zeros_like(d.plain), contacts=np.zeros_like(d.contacts), age_weights=np.zeros_like(d.age_weights),
        move=d.move[:0], first=d.first[:1], cell=d.cell[:0], age=d.age[:0],
    )  # fmt: skip
    nobody = x._replace(
        weight=x.weight[:0], first_move=x.first_move[:1], move=x.move[:0], first_contact=x.first_contact[:1],
        met=np.zeros_like(x.met),
    )  # fmt: skip
    return replace(density, influence=replace(density.influence, observed=nothing), customers=nobody)


@pytest.mark.parametrize("k", [2, 3])
def test_likelihood_is_that_of_the_customers_one_by_one(few, k):
    history = influence_history(few, customers=True)
    density, start = InfluenceModel(hidden_personas=k)._hidden_density(history)
    empty = without_data(density)
    for x in points(density, start, n=2):
        assert density(x)[0] - empty(x)[0] == pytest.approx(customer_by_customer(few, history, density, x), rel=1e-7)


def test_one_class_is_the_model_without_hidden_personas(few):
    """But for its rates of contacts, which do not depend on the rest."""
    history = influence_history(few, customers=True)
    plain, start = InfluenceModel()._density(history)
    hidden = HiddenDensity.of(plain, history, 1, InfluenceModel().hidden_priors())
    at = plain.start(start)
    rates = np.zeros(hidden.n_dim - plain.n_dim)
    found = [(plain(x), hidden(np.append(x, rates))) for x in (at, at + 0.1, at - 0.2)]
    values = np.array([[ours[0], theirs[0]] for ours, theirs in found])
    np.testing.assert_allclose(np.diff(values[:, 0]), np.diff(values[:, 1]), rtol=1e-9)
    for ours, theirs in found:
        np.testing.assert_allclose(theirs[1][: plain.n_dim], ours[1], rtol=1e-7, atol=1e-7)


def test_log_density_and_gradient_equal_those_of_the_pymc_model(few):
    """Up to one constant; the Jacobian of the coordinates comes from finite differences of `parameters`."""
    history = influence_history(few, customers=True)
    model = InfluenceModel(hidden_personas=2, pull_by_stage=False)
    density, start = model._hidden_density(history)
    reference = model.pymc_model(history)
    log_p = reference.compile_logp(mode="FAST_COMPILE")
    gradient = reference.compile_dlogp(mode="FAST_COMPILE")

    def values(x):
        p, c = density.parameters(x), density.classes(x)
        return {
            "mu": p.log_typical, "tau_log__": np.log(p.spread), "log_hazard": p.log_hazard,
            "typical_pull_log__": p.log_typical_pull, "pull_log__": p.log_pull, "half_life_log__": p.log_half_life,
            "repeat_loss_log__": np.log(p.repeat_loss), "log_appeal": p.log_appeal,
            "share_simplex__": (c.share - c.share.mean(axis=-1, keepdims=True))[..., :-1],
            "pace_step_log__": np.log(np.diff(c.pace)), "log_patience": c.patience[1:], "log_reach": c.reach[1:],
            "contacts_per_day_log__": c.rate[density.met],
        }  # fmt: skip

    def natural(x):
        found = values(x)
        return {variable.name: found[variable.name] for variable in reference.value_vars}

    def flat(x):
        return np.concatenate([value.ravel() for value in natural(x).values()])

    def jacobian(x, step=1e-4):
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


def test_a_fit_finds_the_personas_that_the_log_does_not_name(posterior):
    """Five standard deviations of the posterior: it says how far off it may be."""
    hidden = posterior.hidden
    draws = {"share": hidden.share[:, 0, 1], "pace": hidden.pace[:, 1], "patience": hidden.patience[:, 1]}
    draws |= {name: hidden.reach[:, 1, c] for c, name in enumerate(posterior.channels)}
    for name, truth in TRUTH.items():
        assert abs(draws[name].mean() - truth) < 5 * draws[name].std(), name
    for name in ("pace", "mail", "shop"):
        assert abs(draws[name].mean() - 1) > 5 * draws[name].std(), f"negative control: {name} is not 1"
    frame = hidden.summary(posterior.segments, posterior.channels)
    assert frame.filter(persona=2, parameter="pace")["low"].item() > 2
    assert frame.filter(parameter="share")["mean"].sum() == pytest.approx(1)


def test_causes_are_the_true_ones_and_without_hidden_personas_they_are_not(posterior, history, log):
    def worst(fitted):
        found = expected_causes(fitted, seed=1).join(caused(log), on=["origin", "target", "cause"], how="left")
        error = (found["true"].fill_null(0) / found["moves"] - found["share"]).abs()
        return (error / ((found["high"] - found["low"]) / 3.3 + 1e-3)).max()

    assert worst(posterior) < 5  # standard deviations
    alike = InfluenceModel().fit(replace(history, customers=None), seed=1, draws=120, warmup=150, chains=2)
    assert worst(alike) > 7, "negative control"


def test_as_many_personas_are_chosen_as_there_are(history):
    frame = choose_hidden_personas(history, most=3).to_frame()
    assert frame["bic"].to_list()[1] == 0
    assert (np.diff(frame["log_likelihood"]) > -1).all(), "a class more is no worse, but for where EM stops"
    alike = FAST_AND_SLOW.model_copy(
        update={"personas": (FAST_AND_SLOW.personas[1].model_copy(update={"share": 1.0}),)}
    )
    log = simulate(alike, n_customers=1000, horizon_days=60, seed=1)
    assert choose_hidden_personas(to_influence_history(log, customers=True)).best == 1
    by_persona = to_influence_history(simulate(FAST_AND_SLOW, n_customers=1000, horizon_days=60, seed=1), by="persona",
                                      customers=True)  # fmt: skip
    assert choose_hidden_personas(by_persona).best == 1, "what a segment says is not hidden"
    hardly = HiddenPersonasChoice(log_likelihood=(-1000.0, -960.0), n_parameters=(0, 8), n_customers=5000)
    assert hardly.bic[1] == 0
    assert hardly.best == 1, "two who are nearly alike are one"


def test_a_posterior_is_written_and_read_to_the_last_bit(posterior, tmp_path):
    posterior.save(tmp_path / "a.nc")
    again = InfluencePosterior.load(tmp_path / "a.nc")
    for name in ("share", "pace", "patience", "reach", "rate"):
        np.testing.assert_array_equal(getattr(again.hidden, name), getattr(posterior.hidden, name))
    assert expected_causes(again, seed=1).equals(expected_causes(posterior, seed=1))
    assert repr(again) == repr(posterior)
    assert posterior.to_arviz()["posterior"]["reach"].dims == ("chain", "draw", "faster", "channel")


def test_worlds_have_the_personas_of_the_posterior(posterior, log, stays):
    twin = Twin(posterior, to_ingredients(log, stays))
    drawn, _ = twin.worlds(len(posterior.half_life), seed=1)
    hidden, history = posterior.hidden, posterior.history
    for i in (0, 17):
        world = drawn[i]["all"]
        assert [persona.name for persona in world.personas] == ["all 1", "all 2"]
        for k, persona in enumerate(world.personas):
            assert persona.share == pytest.approx(hidden.share[i, 0, k])
            looking = world.stages[0].moves_per_day
            forward, lost = (posterior.hazards[i, 0, history.stages.moves.index(("looking", to))] for to in looking)
            assert looking["choosing"] * persona.pace == pytest.approx(forward * hidden.pace[i, k])
            assert looking["lost"] / persona.patience == pytest.approx(lost / hidden.patience[i, k])
            for c, channel in enumerate(world.channels):
                rate = channel.contacts_per_day["choosing"] * persona.reach_of(channel.name, "choosing")
                assert rate == pytest.approx(hidden.rate[i, 0, 1, c] * hidden.reach[i, k, c])


def test_a_twin_looks_for_hidden_personas_unless_told_not_to(monkeypatch):
    log = simulate(FAST_AND_SLOW, n_customers=300, horizon_days=60, seed=1)
    fitted = []
    monkeypatch.setattr(InfluencePosterior, "require_converged", lambda posterior: fitted.append(posterior))
    few = {"seed": 1, "draws": 4, "warmup": 5, "chains": 2}
    for how in ({}, {"hidden_personas": 1}, {"model": InfluenceModel(fatigue=False)}, {"hidden_personas": 3}):
        fit_world(log, **how, **few)
    assert [p.hidden.n_personas if p.hidden else 1 for p in fitted] == [2, 1, 1, 3]


@pytest.mark.parametrize("by", [None, "segment"])
def test_contacts_that_always_move_customers_are_no_infinite_influence(by):
    history = to_influence_history(same_journeys(BUYS), by=by, customers=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start = hidden_em(history, 2, half_life_days=3.0, pull_by_stage=True)
    assert math.isfinite(start.log_likelihood)


@pytest.mark.parametrize("k", [0, 6, 2.0])
def test_numbers_of_personas_out_of_range_are_refused(k):
    with pytest.raises(InputError, match="hidden_personas must be an integer from 1 to 5"):
        InfluenceModel(hidden_personas=k)


def test_what_cannot_be_answered_is_refused(posterior, stays, history):
    with pytest.raises(InputError, match="customers=True"):
        InfluenceModel(hidden_personas=2).fit(replace(history, customers=None), seed=1)
    with pytest.raises(InputError, match="knows no hidden personas"):
        check_influence(posterior, stays, seed=1)
    with pytest.raises(InputError, match="from 2 to 5"):
        choose_hidden_personas(history, most=1)


def test_a_rate_where_nobody_spent_time_is_read_back_as_0(tmp_path):
    """One customer enters b, and is met there, at the last moment of the log: a contact, and no day at risk."""
    rows = [(1, 0.0, "stage", "a"), (1, 2.0, "touch", "mail"), (1, 10.0, "stage", "b"), (1, 10.0, "touch", "mail")]
    for customer in range(2, 40):
        at = customer / 10
        rows += [(customer, 0.0, "stage", "a"), (customer, at, "touch", "mail")]
        rows += [(customer, 2 * at, "stage", "c")] * (customer % 2)
    history = influence_history(to_stays(log_of(rows)), customers=True)
    assert history.contacts[0, 1] == 1
    assert history.stages.exposure_days[0, 1] == 0
    fitted = InfluenceModel(hidden_personas=2).fit(history, seed=1, draws=8, warmup=30, chains=2)
    fitted.save(tmp_path / "fitted.nc")
    assert (InfluencePosterior.load(tmp_path / "fitted.nc").hidden.rate == fitted.hidden.rate).all()
