from dataclasses import dataclass, replace

import numpy as np
import pytest
from chains import MOVES, STAGES, simulate_history
from test_bayes_stages import HAZARDS

from journeysim.bayes import Diagnostics, Posterior, StageModel
from journeysim.bayes.arviz_versions import import_arviz
from journeysim.bayes.notes import state, with_notes
from journeysim.errors import InputError

CONVERGED = Diagnostics(max_rhat=1.004, min_ess=900.0, n_divergences=1, n_draws=4000)


@pytest.fixture(scope="module", params=[1, 3], ids=["one segment", "three segments"])
def posterior(request):
    rng = np.random.default_rng(1)
    history = simulate_history(HAZARDS[: request.param], n_customers=150, horizon_days=40, rng=rng)
    renamed = replace(history, segments=("Käufer",), purchase_stages=()) if request.param == 1 else history
    return StageModel(typical_days=20).fit(renamed, seed=2**64 - 1)


def assert_equal(a, b):
    for name in ("segments", "stages", "purchase_stages", "moves"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("counts", "exposure_days", "starts"):
        np.testing.assert_array_equal(getattr(a.history, name), getattr(b.history, name), strict=True)
    for name in ("hazards_by_chain", "typical_by_chain", "diverging"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)
    assert (a.spread_by_chain is None) == (b.spread_by_chain is None)
    if a.spread_by_chain is not None:
        np.testing.assert_array_equal(a.spread_by_chain, b.spread_by_chain, strict=True)
    assert (a.priors, a.seed, a.warmup, a.versions) == (b.priors, b.seed, b.warmup, b.versions)


def test_draws_are_flattened_chain_by_chain_and_read_only(posterior):
    n_segments = len(posterior.segments)
    assert posterior.hazards_by_chain.shape == (4, 1000, n_segments, len(MOVES))
    np.testing.assert_array_equal(posterior.hazards[1000], posterior.hazards_by_chain[1, 0])
    assert (posterior.spread_by_chain is None) == (n_segments == 1)
    with pytest.raises(ValueError, match="read-only"):
        posterior.hazards[0, 0, 0] = 1.0


def test_it_names_what_was_fitted(posterior):
    assert posterior.moves == MOVES
    assert posterior.stages == STAGES
    assert posterior.starts[0, 0] == 150
    assert posterior.priors["typical_days"] == 20
    assert set(posterior.versions) == {"journeysim", "numba", "numpy", "nutpie", "python"}


def test_what_was_saved_loads_equal(posterior, tmp_path):
    posterior.save(tmp_path / "fit.nc")
    loaded = Posterior.load(tmp_path / "fit.nc")
    assert_equal(loaded, posterior)
    assert loaded.diagnostics == posterior.diagnostics
    assert [path.name for path in tmp_path.iterdir()] == ["fit.nc"]


def test_a_file_is_replaced_only_on_demand(posterior, tmp_path):
    path = tmp_path / "fit.nc"
    path.write_text("something else")
    with pytest.raises(InputError, match=r"fit.nc exists; .*overwrite=True"):
        posterior.save(path)
    assert path.read_text() == "something else"
    posterior.save(path, overwrite=True)
    assert_equal(Posterior.load(path), posterior)


def test_an_interrupted_save_leaves_the_old_file_alone(posterior, tmp_path, monkeypatch):
    path = tmp_path / "fit.nc"
    path.write_text("old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        posterior.save(path, overwrite=True)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["fit.nc"]


def test_files_of_others_are_refused(posterior, tmp_path):
    path = tmp_path / "fit.nc"
    with pytest.raises(InputError, match="there is no file"):
        Posterior.load(path)
    path.write_text("not netCDF")
    with pytest.raises(InputError, match="is not a netCDF file that"):
        Posterior.load(path)
    posterior._draws().to_netcdf(path, engine="scipy")
    with pytest.raises(InputError, match="has format None"):
        Posterior.load(path)


def test_summary_has_a_row_per_segment_and_move(posterior):
    summary = posterior.summary()
    assert summary.height == posterior.history.counts.size
    last = summary.row(-1, named=True)
    assert (last["segment"], last["origin"], last["target"]) == (posterior.segments[-1], *MOVES[-1])
    draws = posterior.hazards[:, -1, -1]
    assert last["count"] == posterior.history.counts[-1, -1]
    assert last["rate_per_day"] == pytest.approx(draws.mean())
    assert [last["rate_low"], last["rate_high"]] == pytest.approx(np.quantile(draws, [0.05, 0.95]))
    assert last["days"] == pytest.approx(np.median(1 / draws), rel=1e-3)
    assert summary["ess"].min() >= posterior.diagnostics.min_ess
    assert summary["rhat"].max() <= posterior.diagnostics.max_rhat


def test_arviz_takes_it(posterior):
    az = import_arviz()
    idata = posterior.to_arviz()
    np.testing.assert_array_equal(idata["posterior"]["hazard"].to_numpy(), posterior.hazards_by_chain)
    assert not idata["sample_stats"]["diverging"].to_numpy().any()
    assert len(az.summary(idata, var_names=["hazard"])) == posterior.history.counts.size


def test_a_fit_that_converged_says_so(posterior):
    assert posterior.diagnostics.ok
    assert posterior.diagnostics.verdict.startswith("Converged: R-hat at most 1.00")
    posterior.require_converged()


def test_a_fit_that_did_not_converge_is_refused_with_advice(posterior):
    short = StageModel().fit(posterior.history, seed=1, draws=20, warmup=20)
    assert not short.diagnostics.ok
    with pytest.raises(InputError, match=r"Not converged\. .*double `draws`"):
        short.require_converged()


@pytest.mark.parametrize(
    ("figures", "advice"),
    [
        ({"n_divergences": 5}, "5 divergences in 4000 draws: .*priors that are very wide"),
        ({"max_rhat": 1.01}, "chains disagree; double `warmup` and `draws`"),
        ({"max_rhat": float("nan")}, "R-hat nan is not below 1.01"),
        ({"min_ess": 400.0}, "Effective sample size 400 is not above 400"),
        ({"min_ess": float("nan")}, "Effective sample size nan"),
    ],
    ids=str,
)
def test_each_fault_is_named_with_what_to_do(figures, advice):
    assert CONVERGED.ok
    diagnostics = replace(CONVERGED, **figures)
    assert not diagnostics.ok
    with pytest.raises(AssertionError, match=f"Not converged.*{advice}"):
        raise AssertionError(diagnostics.verdict)


@dataclass
class Noted:
    notes: tuple[str, ...]
    warmup: int = 1
    diagnostics: Diagnostics = CONVERGED

    def __repr__(self):
        return f"Noted({state(self)})"


def test_a_print_shows_a_few_notes_and_says_where_the_others_are():
    assert with_notes(Noted(())) == "Noted(converged)"
    assert with_notes(Noted(("a",), warmup=0)).splitlines() == ["Noted(drawn from the prior, 1 note)", "- a"]
    seven = with_notes(Noted(tuple("abcdefg"), diagnostics=replace(CONVERGED, min_ess=5.0)))
    first, *shown, last = seven.splitlines()
    assert first == "Noted(not converged, 7 notes)"
    assert shown == [f"- {name}" for name in "abcde"]
    assert last == "- ... and 2 more in .notes"
