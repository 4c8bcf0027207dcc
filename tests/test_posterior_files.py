"""Files of posteriors: where they cannot be written, and what a damaged one says."""

import numpy as np
import pytest
from influence_stays import known_world
from test_bayes_stages import HISTORIES
from test_retention_models import covariate_history, histories

from journeysim import (
    InfluenceModel,
    InfluencePosterior,
    Posterior,
    RetentionModel,
    StageModel,
    simulate,
    to_influence_history,
)
from journeysim.bayes.netcdf import CHECKSUM
from journeysim.bayes.retention import ChurnPosterior, PurchasePosterior
from journeysim.errors import InputError


def influence():
    log = simulate(known_world(), n_customers=100, horizon_days=60, seed=1)
    history = to_influence_history(log, by="persona", customers=True)
    return InfluenceModel(hidden_personas=2).prior(history, seed=1, draws=5)


KINDS = {
    "stages": (Posterior, lambda: StageModel().prior(next(reversed(HISTORIES.values())), seed=1, draws=5)),
    "influence": (InfluencePosterior, influence),
    "renewals": (ChurnPosterior, lambda: RetentionModel().prior_predictive(covariate_history(), seed=1, draws=5)),
    "purchases": (
        PurchasePosterior,
        lambda: RetentionModel().prior_predictive(histories()["three segments"], seed=1, draws=5),
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    """The class, a posterior of it, and the bytes of its file."""
    cls, make = KINDS[request.param]
    path = tmp_path_factory.mktemp("posterior") / "fit.nc"
    posterior = make()
    posterior.save(path)
    return cls, posterior, path.read_bytes()


N_DAMAGED = 200


def damaged(content, rng, n=N_DAMAGED):
    """The content with one byte changed: mostly in the header, where a change does most harm."""
    for i in range(n):
        at = int(rng.integers(min(5000, len(content)) if i % 4 else len(content)))
        changed = bytearray(content)
        changed[at] = (changed[at] + int(rng.integers(1, 256))) % 256
        yield bytes(changed)


def test_one_damaged_byte_is_noticed(kind, tmp_path):
    cls, posterior, content = kind
    path, refused, equal = tmp_path / "damaged.nc", 0, 0
    for changed in damaged(content, np.random.default_rng(1)):
        path.write_bytes(changed)
        try:
            loaded = cls.load(path)
        except InputError as error:
            refused += str(path) in str(error)
        else:  # only in the name of the checksum itself
            equal += loaded._draws().identical(posterior._draws())
    assert refused + equal == N_DAMAGED
    assert equal <= 5


def test_a_damaged_file_without_a_checksum_is_refused_or_read_but_never_raises_anything_else(kind, tmp_path):
    cls, posterior, content = kind
    content = content.replace(CHECKSUM.encode(), b"of_old_version")
    path, refused, read = tmp_path / "old.nc", 0, 0
    path.write_bytes(content)
    assert cls.load(path)._draws().identical(posterior._draws())
    for changed in damaged(content, np.random.default_rng(2)):
        path.write_bytes(changed)
        try:
            cls.load(path)
            read += 1
        except InputError as error:
            refused += str(path) in str(error)
    assert refused + read == N_DAMAGED
    assert refused > 20


@pytest.mark.parametrize("part", [0, 1, 100, 0.5, -1])
def test_a_file_that_was_cut_is_refused(kind, tmp_path, part):
    cls, _, content = kind
    path = tmp_path / "cut.nc"
    path.write_bytes(content[: int(len(content) * part) if isinstance(part, float) else part])
    with pytest.raises(InputError, match=r"cut\.nc is not .* again"):
        cls.load(path)


def test_a_file_of_another_kind_is_refused(kind, tmp_path):
    cls, _, content = kind
    path = tmp_path / "other.nc"
    path.write_bytes(content)
    for other in {of for of, _ in KINDS.values()} - {cls}:
        with pytest.raises(InputError, match="load it with the class that saved it"):
            other.load(path)


def test_a_place_that_cannot_be_written_is_named(kind, tmp_path, monkeypatch):
    _, posterior, _ = kind
    with pytest.raises(InputError, match=r"there is no folder .*missing; make it first, or write fit\.nc elsewhere"):
        posterior.save(tmp_path / "missing" / "fit.nc", overwrite=True)
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"is a folder; name a file in it, such as .*posterior\.nc"):
            posterior.save(tmp_path, overwrite=overwrite)
    assert not [*tmp_path.iterdir()]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match=r"fit\.nc cannot be written: No space left on device"):
        posterior.save(tmp_path / "fit.nc")
    assert not [*tmp_path.iterdir()]
