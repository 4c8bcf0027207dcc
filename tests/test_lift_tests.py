"""Lift tests as evidence: against the closed form of a normal model, at its limits, and against known worlds."""

import pickle
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from journeysim.attribution import (
    Attribution,
    IncrementalPrior,
    LiftTest,
    UncertainAttribution,
    calibrate,
    read_lift_tests,
)
from journeysim.attribution.evidence import FLOOR
from journeysim.errors import InputError
from tests.lift_worlds import WORLDS, repeated, world_and_truth
from tests.statistical import assert_proportion, assert_student

DOC = Path(__file__).parents[1] / "docs" / "lift-tests.md"
CHANNELS = ("search", "social", "email", "[b]")
WINDOW = (date(2026, 1, 1), date(2026, 3, 31))


def credited(n_draws=2_000, share=(0.4, 0.3, 0.2, 0.1), certainty=1e12, untouched=0.0):
    """An attribution of 1,000 conversions at 50 each; the less certainty, the more its draws differ."""
    rng = np.random.default_rng(1)
    draws = rng.dirichlet(np.array(share) * certainty, n_draws)
    point = Attribution(
        "markov",
        {"order": 1},
        CHANNELS,
        1_000 * np.array(share),
        50_000 * np.array(share),
        untouched_conversions=untouched,
        untouched_value=50 * untouched,
    )
    return UncertainAttribution(point, "posterior", draws, 50_000 * draws)


def fixed_spread(prior, tests, share):
    """Mean (C,), covariance (C, C) and log density of the tests in theta, for a spread and credit that are known:
    textbook conditioning by precision matrices, which the package does not use.
    """
    a = np.array(share)
    size = np.hypot(a, FLOOR / len(a))
    mean = prior.mean * a
    covariance = prior.sd**2 * np.outer(a, a) + np.diag((prior.spread * size) ** 2)
    H = np.array([[channel == test.channel for channel in CHANNELS] for test in tests], dtype=float)
    y = np.array([test.effect for test in tests])
    R = np.diag([test.standard_error**2 for test in tests])
    precision = np.linalg.inv(covariance) + H.T @ np.linalg.inv(R) @ H
    after = np.linalg.inv(precision)
    density = stats.multivariate_normal(H @ mean, H @ covariance @ H.T + R).logpdf(y)
    return after @ (np.linalg.inv(covariance) @ mean + H.T @ np.linalg.inv(R) @ y), after, density


def share_test(channel="search", effect=0.1, standard_error=0.05, **more):
    return LiftTest(channel, effect, standard_error, unit="share", **more)


# --- the model ----------------------------------------------------------------------------------------------------


def closed_form(prior, tests, share):
    """Mean and covariance with the spread integrated out numerically under its half-normal prior."""

    def moments(spread):
        mean, covariance, density = fixed_spread(replace(prior, spread=spread), tests, share)
        weight = np.exp(density) * stats.halfnorm.pdf(spread, scale=prior.spread)
        return weight * np.concatenate([[1.0], mean, (covariance + np.outer(mean, mean)).ravel()])

    found, _ = integrate.quad_vec(moments, 1e-4 * prior.spread, 6 * prior.spread, epsrel=1e-8)
    n = len(share)
    mean = found[1 : n + 1] / found[0]
    return mean, found[n + 1 :].reshape(n, n) / found[0] - np.outer(mean, mean)


@pytest.mark.parametrize(
    "tests",
    [
        (share_test(standard_error=1e3),),
        (share_test(),),
        (share_test("search", 0.05, 0.03), share_test("social", 0.3, 0.02)),
        (share_test("search", 0.1, 0.05), share_test("search", 0.2, 0.04), share_test("[b]", -0.02, 0.01)),
    ],
)
def test_effects_after_the_tests_are_those_of_the_normal_model(tests):
    share = (0.4, 0.3, 0.2, 0.1)
    prior = IncrementalPrior()
    found = calibrate(credited(n_draws=8_000), tests, seed=3).draws(of="share")
    mean, covariance = closed_form(prior, tests, share)
    for c in range(len(share)):
        assert_student(found[:, c], mean[c])
        assert_student((found[:, c] - mean[c]) ** 2, covariance[c, c])
        assert_student((found[:, c] - mean[c]) * (found[:, 0] - mean[0]), covariance[c, 0])
        with pytest.raises(AssertionError, match="mean"):
            assert_student(found[:, c], mean[c] + 0.1 * np.sqrt(covariance[c, c]))


def test_without_tests_nothing_changes():
    found = calibrate(credited(certainty=50), [], seed=1)
    np.testing.assert_array_equal(found.before, found.after)
    np.testing.assert_array_equal(found.factor_before, found.factor_after)
    np.testing.assert_array_equal(found.rows, np.arange(2_000))
    assert found.tests_frame().height == 0
    assert found.effective_draws == pytest.approx(2_000)


def test_a_test_that_knows_nothing_changes_nothing():
    found = calibrate(credited(certainty=50), [share_test(standard_error=1e9)], seed=1)
    np.testing.assert_allclose(found.after, found.before, atol=1e-5)
    told = calibrate(credited(certainty=50), [share_test(standard_error=0.05)], seed=1)
    assert abs(told.after - told.before).max() > 10


@pytest.mark.parametrize("effect", [0.25, 0.0, -0.1])
def test_a_test_that_is_sure_settles_its_channel(effect):
    found = calibrate(credited(certainty=50), [share_test("social", effect, 1e-7)], seed=1)
    np.testing.assert_allclose(found.after[:, 1], 1_000 * effect, atol=0.01)
    low, high = found.interval()
    assert (high - low)[[0, 2, 3]].min() > 20  # the others are not settled by it


def test_two_tests_of_a_channel_are_one_of_their_weighted_mean():
    two = [share_test("social", 0.1, 0.03), share_test("social", 0.2, 0.06)]
    weights = np.array([1 / 0.03**2, 1 / 0.06**2])
    one = share_test("social", np.average([0.1, 0.2], weights=weights), weights.sum() ** -0.5)
    of_two, of_one = (calibrate(credited(n_draws=8_000), some, seed=2).draws(of="share") for some in (two, [one]))
    for c in range(4):
        assert of_two[:, c].mean() == pytest.approx(of_one[:, c].mean(), abs=5 * of_one[:, c].std() / 80)
        assert of_two[:, c].std() == pytest.approx(of_one[:, c].std(), rel=0.08)


def test_more_journeys_do_not_outweigh_an_experiment():
    test = share_test("search", 0.02, 0.02)
    few, many = (calibrate(credited(certainty=c), [test], seed=1) for c in (1e3, 1e9))
    for found in (few, many):
        assert found.draws(of="share")[:, 0].mean() == pytest.approx(0.03, abs=0.015)
    # and where credit itself is vague, a test teaches which of its draws to believe
    vague = calibrate(credited(certainty=5), [share_test("search", 0.6, 0.02)], seed=1)
    assert vague.attribution.share[vague.rows, 0].mean() > vague.attribution.share[:, 0].mean() + 0.02
    assert vague.effective_draws < 1_950
    firm = IncrementalPrior(mean=1, sd=0.01, spread=0.05)  # credit is nearly the effect: few of its draws are left
    few = calibrate(credited(certainty=5), [share_test("search", 0.5, 0.01)], seed=1, prior=firm)
    assert f"The tests leave {few.effective_draws:,.0f} of 2,000 draws" in " ".join(few.notes)
    assert "The tests leave" not in " ".join(vague.notes)


def test_channels_without_a_test_follow_what_tests_have_in_common():
    low = calibrate(credited(), [share_test("search", 0.0, 0.01), share_test("social", 0.0, 0.01)], seed=1)
    high = calibrate(credited(), [share_test("search", 0.4, 0.01), share_test("social", 0.3, 0.01)], seed=1)
    untested = [2, 3]
    assert (low.after.mean(axis=0) < 0.5 * low.before.mean(axis=0))[untested].all()
    assert (high.after.mean(axis=0) > 1.5 * high.before.mean(axis=0))[untested].all()
    assert low.factor_after.mean() < 0.2 < 0.8 < high.factor_after.mean()


def test_units_say_the_same_thing():
    attribution = credited(untouched=250)  # 1,250 conversions in all
    share = calibrate(attribution, [share_test("search", 0.08, 0.04)], seed=1)
    for test in (
        LiftTest("search", 100, 50),
        LiftTest("search", 20, 10, total=250),
        LiftTest("search", 100 * 50, 50 * 50, unit="value"),
        LiftTest("search", 1_000, 500, unit="value", total=12_500),
    ):
        np.testing.assert_allclose(calibrate(attribution, [test], seed=1).after, share.after, atol=1e-6)
    assert calibrate(attribution, [LiftTest("search", 100, 40)], seed=1).after.tobytes() != share.after.tobytes()
    np.testing.assert_allclose(share.draws(of="share"), share.after / 1_250)
    np.testing.assert_allclose(share.draws(of="value"), 50 * share.after)


# --- periods and agreement ----------------------------------------------------------------------------------------


def test_a_test_of_another_period_counts_for_less():
    width = {}
    for name, start, end in (
        ("same", *WINDOW),
        ("part", WINDOW[0], date(2026, 1, 31)),
        ("other", *[date(2025, 6, 1)] * 2),
    ):
        found = calibrate(credited(), [share_test(start=start, end=end)], seed=1, window=WINDOW)
        width[name] = np.diff(found.interval(), axis=0)[0, 0]
        assert bool(found.notes) == (name != "same")
    assert width["same"] < 0.9 * width["part"] < 0.9 * width["other"]
    size = np.hypot(0.4, FLOOR / 4)
    other = calibrate(credited(), [share_test(start=date(2025, 6, 1), end=date(2025, 6, 1))], seed=1, window=WINDOW)
    assert other.tests[0].standard_error == pytest.approx(1_000 * np.hypot(0.05, 0.25 * size))
    steady = calibrate(
        credited(),
        [share_test(start=date(2025, 6, 1), end=date(2025, 6, 1))],
        seed=1,
        window=WINDOW,
        prior=IncrementalPrior(drift=0),
    )
    assert steady.tests[0].standard_error == pytest.approx(50)
    assert "Periods were not compared for the tests of search" in str(calibrate(credited(), [share_test()], seed=1))


def test_the_agreement_of_a_test_is_told_in_conversions():
    found = calibrate(credited(), [share_test("search", 0.1, 0.05), share_test("email", 0.18, 0.05)], seed=1)
    search, email = found.tests
    assert (search.effect, search.credited) == pytest.approx((100, 400), rel=1e-3)
    assert search.z_credit == pytest.approx(-6, rel=1e-3)
    assert search.verdict == "far less than the credit"
    assert email.verdict == "no clear difference from the credit"
    assert found.tests_frame()["z_credit"].to_list() == [search.z_credit, email.z_credit]


def test_tests_that_contradict_each_other_are_named():
    agree = [share_test("search", 0.1, 0.03), share_test("search", 0.14, 0.03), share_test("email", 0.3, 0.03)]
    assert "contradict" not in str(calibrate(credited(), agree, seed=1))
    apart = [share_test("search", 0.1, 0.03), share_test("search", 0.3, 0.03)]
    assert "The 2 tests of search contradict each other" in str(calibrate(credited(), apart, seed=1))
    surprise = calibrate(credited(), [share_test("[b]", 0.9, 0.01)], seed=1)
    assert "A test of [b] surprises: 900 conversions" in " ".join(surprise.notes)


# --- the result ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibrated():
    return calibrate(credited(certainty=500), [share_test("search", 0.05, 0.02)], seed=1)


def test_credit_is_shared_out_in_proportion_to_effects(calibrated):
    credit = calibrated.credit()
    np.testing.assert_allclose(credit.conversions.sum(axis=1), 1_000)
    np.testing.assert_allclose(credit.value.sum(axis=1), 50_000)
    assert credit.point.total_conversions == pytest.approx(1_000)
    effects = np.maximum(calibrated.after, 0)
    np.testing.assert_allclose(credit.share, effects / effects.sum(axis=1, keepdims=True))
    effect = calibrated.after.mean(axis=0)
    np.testing.assert_allclose(credit.point.share, effect / effect.sum())
    assert credit.point.conversions[0] < 0.8 * calibrated.credit("before").point.conversions[0]
    assert "markov, after lift tests" in str(credit)
    doubtful = calibrate(credited(), [share_test(channel, 0.01, 0.02) for channel in CHANNELS], seed=1)
    some = (doubtful.after > 0).any(axis=1)
    assert doubtful.credit().n_draws == some.sum() < 2_000
    assert f"In {1 - some.mean():.1%} of the draws no channel has an effect" in str(doubtful.credit())
    harmful = calibrate(credited(), [share_test(channel, -0.1, 1e-3) for channel in CHANNELS], seed=1)
    with pytest.raises(InputError, match="no channel has an effect above zero"):
        harmful.credit()
    assert "caused" in str(harmful)  # the effects themselves are there


def test_the_frame_and_the_table_show_before_and_after(calibrated):
    frame = calibrated.to_frame(0.8)
    row = frame.row(frame["channel"].to_list().index("search"), named=True)
    low, high = calibrated.interval(0.8)
    assert (row["after_low"], row["after_high"]) == (low[0], high[0])
    assert row["after"] == pytest.approx(calibrated.after[:, 0].mean())
    assert row["credited"] == pytest.approx(400)
    assert frame["n_tests"].sum() == 1
    assert frame["after"].is_sorted(descending=True)
    text = str(calibrated)
    assert "What channels cause: credit by markov, and 1 lift test (seed=1" in text
    assert re.search(r"\[b\] +100 +\d+ ", text)
    assert re.search(r"search +50 ± 20 +400 +-\d+\.\d sd +far less than the credit", text)


def test_costs_are_divided_by_what_is_caused(calibrated):
    costs = {"search": 1_000, "social": 500, "email": 0, "[b]": 100}
    frame = calibrated.returns(costs)
    assert frame["channel"].to_list() == ["search", "social", "[b]", "email"]
    search = frame.row(0, named=True)
    low, high = calibrated.interval()[:, 0]
    assert search["after_cost_per_conversion"] == pytest.approx(1_000 / calibrated.after[:, 0].mean())
    assert search["after_cost_per_conversion_low"] == pytest.approx(1_000 / high)
    assert search["after_cost_per_conversion_high"] == pytest.approx(1_000 / low)
    assert search["after_return_on_spend"] == pytest.approx(50 * calibrated.after[:, 0].mean() / 1_000)
    assert search["before_cost_per_conversion_high"] == np.inf  # it may have caused none
    assert search["before_return_on_spend_low"] < 0
    free = frame.row(3, named=True)
    assert (free["after_cost_per_conversion"], free["after_return_on_spend"]) == (0, None)
    with pytest.raises(InputError, match="no cost for channel 'social'"):
        calibrated.returns({"search": 1})


def test_the_same_seed_gives_the_same_bits_and_results_pickle(calibrated):
    again = calibrate(credited(certainty=500), [share_test("search", 0.05, 0.02)], seed=1)
    assert again.after.tobytes() == calibrated.after.tobytes()
    assert calibrate(credited(), [share_test()], seed=2).after.tobytes() != calibrated.after.tobytes()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(calibrated)).after, calibrated.after)
    with pytest.raises(ValueError, match="read-only"):
        calibrated.after[0, 0] = 1


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"standard_error": 0}, "standard_error is 0; it must be a number above 0"),
        ({"standard_error": float("nan")}, "standard_error is nan"),
        ({"effect": float("inf")}, "effect is inf; it must be a finite number"),
        ({"unit": "shares"}, "unit is 'shares'; did you mean 'share'"),
        ({"effect": 12, "unit": "share"}, r"effect is 12 in unit 'share'; a share is at most 1 \(0\.05 is 5%\)"),
        ({"unit": "share", "effect": 0.1, "total": 100}, "a test in shares has none"),
        ({"total": 0}, "total is 0; it must be a number above 0"),
        ({"start": date(2026, 1, 1)}, "give both, start and end"),
        ({"start": date(2026, 1, 2), "end": date(2026, 1, 1)}, "ends on 2026-01-01, before it starts on 2026-01-02"),
    ],
)
def test_a_test_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(InputError, match="Lift test of 'search': .*" + message):
        LiftTest(**{"channel": "search", "effect": 10, "standard_error": 5, **fields})


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: calibrate(credited(), [share_test("serch")], seed=1), "no such channel; did you mean 'search'"),
        (lambda: calibrate(credited(), [], seed=-1), "seed must be an integer >= 0, got -1"),
        (lambda: calibrate(credited(), [], seed=1, window=WINDOW[::-1]), "the window ends on 2026-01-01"),
        (lambda: calibrate(credited(), [LiftTest("search", 9, 5, start=date(2026, 1, 1), end=date(2026, 1, 31))],
                           seed=1, window=WINDOW), "ran from 2026-01-01 to 2026-01-31, .* Give total"),
        (lambda: IncrementalPrior(spread=0), "spread is 0; it must be a finite number, above 0"),
        (lambda: IncrementalPrior(sd=-1), "sd is -1"),
        (lambda: IncrementalPrior(mean=float("nan")), "mean is nan"),
        (lambda: calibrate(credited(certainty=3), [share_test("search", 0.9, 1e-3)], seed=1,
                           prior=IncrementalPrior(1, 0, 1e-3)), r"only \d+ of 2,000 draws of the attribution"),
        (lambda: calibrate(credited(), [], seed=1).draws("later"), "before and after the tests, not 'later'"),
        (lambda: calibrate(credited(), [], seed=1).draws(of="cost"), "no effects in 'cost'; there are: conv"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(run, message):
    with pytest.raises(InputError, match=message):
        run()


def test_journeys_without_value_have_no_test_of_value():
    attribution = credited()
    poor = replace(attribution, point=replace(attribution.point, value=np.zeros(4)), value=0 * attribution.value)
    with pytest.raises(InputError, match=r"measured value, and the journeys, or .* have none"):
        calibrate(poor, [LiftTest("search", 9, 5, unit="value")], seed=1)


def test_tests_are_read_from_a_table(tmp_path):
    file = tmp_path / "tests.csv"
    file.write_text(
        "channel;effect;standard_error;unit;start;end;total\n"
        "search;120;40;;2026-01-01;2026-01-31;800\n"
        "email;0.05;0.02;share;;;\n",
        encoding="utf-8",
    )
    assert read_lift_tests(file) == (
        LiftTest("search", 120, 40, "conversions", date(2026, 1, 1), date(2026, 1, 31), 800),
        LiftTest("email", 0.05, 0.02, "share"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "channel,effect\na,1\n",
            "there is no column 'standard_error'; lift tests need channel, effect, standard_error",
        ),
        ("channel,effect,standard_eror\na,1,1\n", "unknown column 'standard_eror'; did you mean 'standard_error'"),
        ("channel,effect,standard_error\na,1,2\nb,,3\n", "line 3: effect is blank"),
        ("channel,effect,standard_error\na,1,many\n", "line 2: standard_error is 'many'; expected a number"),
        ("channel,effect,standard_error\na,1,0\n", "line 2: Lift test of 'a': standard_error is 0.0"),
        (
            "channel,effect,standard_error,start,end\na,1,1,1.2.26,\n",
            "line 2: start is '1.2.26'; expected a day such as",
        ),
    ],
)
def test_faults_of_a_table_are_named_with_their_line(tmp_path, text, message):
    file = tmp_path / "tests.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        read_lift_tests(file)


# --- known worlds -------------------------------------------------------------------------------------------------


def table_of_the_docs():
    rows = {}
    for line in DOC.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in WORLDS:
            rows[cells[0]] = [float(cell.rstrip("%")) for cell in cells[1:]]
    return rows


@pytest.mark.slow
def test_intervals_of_tested_channels_hold_the_truth_and_the_docs_show_it():
    told, n_times = table_of_the_docs(), 300
    misses, hits, n = [], 0, 0
    for name in WORLDS:
        found, effects = world_and_truth(name)
        tested, held, *errors = repeated(found, effects, np.random.default_rng(5), n_times)
        _, held_wrongly, *_ = repeated(found, effects, np.random.default_rng(5), n_times, told=1 / 3)
        mean_errors = [100 * error[some].mean() for some in (tested, ~tested) for error in errors]
        shares = [100 * share.mean() for share in (held[tested], held_wrongly[tested], held[~tested])]
        row = [*shares, *mean_errors]
        np.testing.assert_allclose(row, told[name], atol=1)  # arithmetic of another machine may turn a few
        misses.append(mean_errors)
        hits, n = hits + held[tested].sum(), n + tested.sum()
        with pytest.raises(AssertionError, match="p-value"):  # tests that claim a third of their error
            assert_proportion(held_wrongly[tested].sum(), tested.sum(), 0.87)
        assert mean_errors[2] < mean_errors[1]  # after less wrong than before
        assert mean_errors[2] < mean_errors[0]  # and than credit
    assert 0.87 <= hits / n <= 0.93
    _, _, _, credit, before, after = np.mean(misses, axis=0)
    assert after < before < credit  # channels without a test: better on average, not in every world


def test_the_examples_of_the_page_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = DOC.read_text(encoding="utf-8")
    (table,) = re.findall(r"```csv\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "lift-tests.csv").write_text(table, encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, DOC.name, "exec"), names)
    printed = capsys.readouterr().out
    (shown,) = re.findall(r"<!-- output -->\n```\n(.*?)```", page, flags=re.DOTALL)
    assert shown.strip() in printed
