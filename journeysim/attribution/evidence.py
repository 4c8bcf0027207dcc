"""Lift tests set beside an attribution: in its units, with allowance for another period, and how well they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from journeysim.attribution.calibrated import TestAgreement
from journeysim.errors import InputError
from journeysim.yaml_files import did_you_mean

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

    from journeysim.attribution.lift_tests import LiftTest
    from journeysim.attribution.uncertainty import UncertainAttribution

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

FLOOR: Final = 0.1
"""Of the mean credit of a channel: a channel without credit may still have an effect of this order."""
CONFLICT: Final = 0.01
"""P-value below which tests of one channel are said to contradict each other."""
SURPRISE: Final = 3.0
"""Standard deviations from what was held possible, beyond which a test is said to surprise."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """J tests y ~ Normal(scale x theta[channel], error^2), theta a share of the conversions that had a touch.

    Attributes
    ----------
    tests : as they were given
    channel, y, error : (J,)
    scale : (D, J); the value of a conversion where a test measured value, else 1
    notes : what was assumed
    """

    tests: tuple[LiftTest, ...]
    channel: IntArray
    y: FloatArray
    error: FloatArray
    scale: FloatArray
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        attribution: UncertainAttribution,
        tests: tuple[LiftTest, ...],
        window: tuple[date, date] | None,
        drift: float,
    ) -> Evidence:
        """Set tests beside an attribution of the journeys of `window`, in its units.

        Raises
        ------
        InputError : an unknown channel, a number of another period without its total, or value where there is none
        """
        if window is not None and window[1] < window[0]:
            raise InputError(f"calibrate: the window ends on {window[1]}, before it starts on {window[0]}.")
        point = attribution.point
        all_conversions = point.total_conversions + point.untouched_conversions
        all_value = point.total_value + point.untouched_value
        channels, y, error, scale, notes = [], [], [], [], []
        for test in tests:
            where = f"Lift test of {test.channel!r}"
            if test.channel not in attribution.channels:
                raise InputError(f"{where}: no such channel; {did_you_mean(test.channel, attribution.channels)}")
            c = attribution.channels.index(test.channel)
            apart = _apart(test.period, window)
            unit = 1.0
            if test.unit == "value":
                column = value_per_conversion(attribution)[:, c] * point.total_conversions
                unit = float(column.mean())
                if min(all_value, unit) <= 0:
                    raise InputError(
                        f"{where}: it measured value, and the journeys, or those of the channel, have none (or lose "
                        "money). Give the effect in conversions."
                    )
                times = all_value / (test.total or all_value)
            else:
                of_all = 1.0 if test.unit == "share" else 1 / (test.total or all_conversions)
                times = of_all * all_conversions / point.total_conversions
                column = np.ones(attribution.n_draws)
            if test.unit != "share" and test.total is None and apart:
                raise InputError(
                    f"{where}: it ran from {test.start} to {test.end}, the journeys are of another period. Give total, "
                    f"all {test.unit} in the period of the test, or the effect as a share."
                )
            size = np.hypot(float(point.share[c]), FLOOR / len(attribution.channels))
            moved = drift * np.sqrt(apart or 0.0) * size * unit
            channels.append(c)
            y.append(test.effect * times)
            error.append(float(np.hypot(test.standard_error * times, moved)))
            scale.append(column)
            if apart:
                notes.append(
                    f"{where}: of the days of its period and of the journeys', {1 - apart:.0%} are in both, so it "
                    f"counts for less: its standard error was taken as {error[-1] / times:.3g}, not "
                    f"{test.standard_error:.3g}."
                )
        unplaced = [test.channel for test in tests if test.period is None or window is None]
        if unplaced:
            notes.append(
                "Periods were not compared for the tests of " + ", ".join(dict.fromkeys(unplaced)) + ": give the tests "
                "start and end, and calibrate the window of the journeys. The effects were taken as of that window."
            )
        return cls(
            tests,
            np.array(channels, dtype=np.int64),
            np.array(y),
            np.array(error),
            np.array(scale).reshape(len(tests), attribution.n_draws).T,
            tuple(notes),
        )


def value_per_conversion(attribution: UncertainAttribution) -> FloatArray:
    """(D, C) value credited per conversion credited; the mean value where a channel has no credit."""
    point = attribution.point
    credited = attribution.conversions > 0
    each = attribution.value / np.where(credited, attribution.conversions, 1.0)
    return np.where(credited, each, point.total_value / point.total_conversions)


def _apart(period: tuple[date, date] | None, window: tuple[date, date] | None) -> float | None:
    """Share of the days of either that are not days of both."""
    if period is None or window is None:
        return None
    days = [(b - a).days + 1 for a, b in (period, window)]
    both = max((min(period[1], window[1]) - max(period[0], window[0])).days + 1, 0)
    return 1 - both / (sum(days) - both)


def agreement_of(evidence: Evidence, credit: FloatArray, before: FloatArray, total: float) -> tuple[TestAgreement, ...]:
    """Each test beside what credit said, and beside what was held possible, in conversions of the window."""
    found = []
    for j, test in enumerate(evidence.tests):
        c, scale = int(evidence.channel[j]), evidence.scale[:, j]
        y, error = float(evidence.y[j]), float(evidence.error[j])
        credited, expected = scale * credit[:, c], scale * before[:, c]
        unit = total / scale.mean()
        found.append(
            TestAgreement(
                test=test,
                effect=y * unit,
                standard_error=error * unit,
                credited=float(credited.mean() * unit),
                z_credit=float((y - credited.mean()) / np.hypot(error, credited.std())),
                expected=float(expected.mean() * unit),
                z_expected=float((y - expected.mean()) / np.hypot(error, expected.std())),
            )
        )
    return tuple(found)


def warnings_of(agreement: tuple[TestAgreement, ...]) -> tuple[str, ...]:
    """Where tests contradict each other (Cochran's Q), or what was held possible."""
    notes = []
    for channel in dict.fromkeys(found.test.channel for found in agreement):
        some = [found for found in agreement if found.test.channel == channel]
        effect, precision = np.array([(found.effect, found.standard_error**-2) for found in some]).T
        Q = (precision * (effect - np.average(effect, weights=precision)) ** 2).sum()
        p_value = stats.chi2.sf(Q, len(some) - 1) if len(some) > 1 else 1.0
        if p_value < CONFLICT:
            notes.append(
                f"The {len(some)} tests of {channel} contradict each other by more than their standard errors allow "
                f"(p = {p_value:.2g}). Their average was used; find out which one to believe."
            )
        notes += [
            f"A test of {channel} surprises: {found.effect:,.4g} conversions are {abs(found.z_expected):.1f} standard "
            "deviations from what was held possible. Check its unit and period, or give a wider prior."
            for found in some
            if abs(found.z_expected) > SURPRISE
        ]
    return tuple(notes)
