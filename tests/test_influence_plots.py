"""The picture of pulls shows the numbers of the summary."""

import numpy as np
import pytest
from influence_stays import known_world

from journeysim import InfluenceModel, simulate, to_influence_history
from journeysim.errors import InputError
from journeysim.influence_plots import pull_chart


@pytest.fixture(scope="module")
def posterior():
    history = to_influence_history(simulate(known_world(), n_customers=300, horizon_days=60, seed=1))
    return InfluenceModel(fatigue=False).fit(history, seed=1, draws=100, warmup=200, chains=2)


def test_every_interval_of_the_summary_is_drawn(posterior):
    figure = pull_chart(posterior)
    pulls = posterior.summary().filter(parameter="pull")
    assert [axes.get_title("left") for axes in figure.axes] == ["looking", "choosing"]
    for axes in figure.axes:
        lines = [
            segment[:, 0].tolist() for drawn in axes.collections for segment in getattr(drawn, "get_segments", list)()
        ]
        wanted = pulls.filter(stage=axes.get_title("left")).select("low", "high").rows()
        np.testing.assert_allclose(sorted(lines), sorted(wanted))


def test_truth_must_name_every_channel_that_was_met(posterior):
    with pytest.raises(InputError, match=r"no pull for \('mail', 'looking'\)"):
        pull_chart(posterior, truth={})
