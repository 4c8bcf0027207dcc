"""What a user sees when the sampler itself fails, or is interrupted."""

import numpy as np
import nutpie
import pytest

from journeysim.bayes.sampling import sample


class Normal:
    """A standard normal; from the call `fails_at` on, it raises."""

    n_dim = 2

    def __init__(self, fails_at=None):
        self.calls, self.fails_at = 0, fails_at

    def __call__(self, x):
        self.calls += 1
        if self.fails_at is not None and self.calls >= self.fails_at:
            raise ZeroDivisionError("division by zero")
        return -0.5 * float(x @ x), -x


def drawn(density):
    return sample(density, where="TestModel.fit", seed=1, draws=20, warmup=20, chains=2)


def test_a_density_that_raises_ends_in_one_clear_error():
    assert drawn(Normal()).points.shape == (2, 20, 2)
    with pytest.raises(RuntimeError, match=r"TestModel\.fit: the sampler failed .*Another seed") as told:
        drawn(Normal(fails_at=30))
    assert "division by zero" in str(told.value.__cause__)


@pytest.mark.parametrize(
    ("raised", "seen"), [(KeyboardInterrupt, KeyboardInterrupt), (BaseException, RuntimeError)], ids=["Ctrl-C", "panic"]
)
def test_a_sampler_that_cannot_be_cancelled_does_not_hide_the_first_error(monkeypatch, raised, seen):
    cancelled = []

    class Failing:
        def wait(self):
            raise raised("first")

        def cancel(self):
            cancelled.append(True)
            raise BaseException("second")  # a panic of the sampler is of this class

    monkeypatch.setattr(nutpie, "sample", lambda *_, **__: Failing())
    with pytest.raises(seen, match="first"):
        drawn(Normal())
    assert cancelled


def test_draws_are_those_of_the_density():
    points = sample(Normal(), where="", seed=2, draws=500, warmup=200, chains=2).points.reshape(-1, 2)
    np.testing.assert_allclose(points.mean(axis=0), 0.0, atol=0.25)
    np.testing.assert_allclose(points.std(axis=0), 1.0, atol=0.25)
