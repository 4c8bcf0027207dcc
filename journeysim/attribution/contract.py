"""The contract of attribution methods, as a suite to run: for ours, and for those of other distributions.

In a test of your own: ::

    from journeysim.attribution.contract import PROPERTIES, check_method, check_property

    def test_my_method_keeps_the_contract():
        check_method(MyMethod())

    @pytest.mark.parametrize("name", PROPERTIES)  # or one test per property
    def test_my_method(name):
        check_property(MyMethod(), name)
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.attribution.base import Attribution, Attributor
from journeysim.errors import InputError
from journeysim.journeys import Journeys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    Credit = dict[str, tuple[float, float]]

RELATIVE: Final = 1e-7
"""How exactly credit must add up and stay the same, as a share of all conversions or value."""


class ContractError(AssertionError):
    """A method breaks the contract; the message says which properties, and how."""


def check_method(method: Attributor) -> None:
    """Check every property of the contract on small journeys.

    Parameters
    ----------
    method : with its settings; journeys have the channels "beta", "eta", "mail", "e-mail", fractional weights and times

    Raises
    ------
    ContractError : naming each property that does not hold, and what came instead
    """
    failures = []
    for name in PROPERTIES:
        try:
            check_property(method, name)
        except ContractError as error:
            failures.append(str(error))
    if failures:
        raise ContractError("\n".join(failures))


def check_property(method: Attributor, name: str) -> None:
    """Check one property, by its name in `PROPERTIES`.

    Raises
    ------
    ContractError : if it does not hold, or if the method fails with anything but what the property expects
    """
    try:
        PROPERTIES[name](method)
    except ContractError as error:
        raise ContractError(f"{type(method).__name__}: {name}: {error}") from error
    except Exception as error:
        raise ContractError(f"{type(method).__name__}: {name}: raised {type(error).__name__}: {error}") from error


def make_journeys(
    paths: Sequence[Sequence[str]],
    conversions: Sequence[float],
    nulls: Sequence[float],
    value: Sequence[float],
    *,
    channels: tuple[str, ...],
) -> Journeys:
    """Journeys by hand, with a touch a day, the last one a day before the end."""
    codes = np.array([channels.index(name) for path in paths for name in path], dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(path) for path in paths])]).astype(np.int64)
    ages = np.concatenate([np.zeros(0), *(np.arange(len(path), 0, -1.0) for path in paths)])
    weights = [np.array(column, dtype=np.float64) for column in (conversions, nulls, value)]
    return Journeys(channels, codes, offsets, weights[0], weights[1], weights[2], ages_days=ages)


def small_journeys() -> Journeys:
    """Journeys with fractional weights, repeats, and channel names that contain each other."""
    paths = [
        ["beta", "mail", "eta"],
        ["eta"],
        ["e-mail", "eta", "eta", "mail"],
        ["mail", "e-mail"],
        ["beta"],
        ["eta", "beta"],
        ["mail"],
    ]
    journeys = make_journeys(
        paths,
        conversions=[1.5, 2, 0.25, 3, 0, 0.75, 1],
        nulls=[2, 0.5, 7, 0, 4, 1.25, 6],
        value=[30, 44.5, 1, 9, 0, 12, 7],
        channels=("beta", "eta", "mail", "e-mail"),
    )
    return replace(journeys, untouched_conversions=5.0, untouched_value=60.0, untouched_nulls=100.0)


def _credit(result: Attribution) -> Credit:
    credit = zip(result.conversions.tolist(), result.value.tolist(), strict=True)
    return dict(zip(result.channels, credit, strict=True))


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise ContractError(message)


def _expect_same(got: Credit, want: Credit, times: float = 1.0) -> None:
    _expect(got.keys() == want.keys(), f"the channels are {sorted(got)}, expected {sorted(want)}")
    for part, name in enumerate(("conversions", "value")):
        scale = RELATIVE * times * max(1e-12, sum(abs(credit[part]) for credit in want.values()))
        for channel, credit in want.items():
            expected = times * credit[part]
            _expect(
                abs(got[channel][part] - expected) <= scale,
                f"{name} of {channel!r} are {got[channel][part]:.9g}, expected {expected:.9g}",
            )


def _adds_up(method: Attributor) -> None:
    journeys = small_journeys()
    result = method.attribute(journeys)
    _expect(isinstance(result, Attribution), f"returned {type(result).__name__}, not an Attribution")
    _expect(result.channels == journeys.channels, f"channels are {result.channels}, expected {journeys.channels}")
    for name, got, want in (
        ("conversions", result.total_conversions, journeys.n_conversions),
        ("value", result.total_value, journeys.total_value),
    ):
        _expect(abs(got - want) <= RELATIVE * want, f"{name} credited add up to {got:.9g}, not to {want:.9g}")


def _untouched(method: Attributor) -> None:
    journeys = small_journeys()
    result = method.attribute(journeys)
    said = (result.untouched_conversions, result.untouched_value)
    _expect(said == (5.0, 60.0), f"untouched conversions and value are {said}, expected (5.0, 60.0)")
    without = replace(journeys, untouched_conversions=0.0, untouched_value=0.0)
    _expect_same(_credit(method.attribute(without)), _credit(result))


def _notes(method: Attributor) -> None:
    result = method.attribute(replace(small_journeys(), notes=("Cut at 30 days.",)))
    _expect("Cut at 30 days." in result.notes, f"the notes of the journeys are lost: {result.notes}")


def _input_stays(method: Attributor) -> None:
    journeys = small_journeys()
    before = pickle.dumps(journeys)
    method.attribute(journeys)
    _expect(pickle.dumps(journeys) == before, "the journeys were changed")


def _repeatable(method: Attributor) -> None:
    first, second = method.attribute(small_journeys()), method.attribute(small_journeys())
    same = first.conversions.tobytes() == second.conversions.tobytes()
    _expect(same and first.value.tobytes() == second.value.tobytes(), "two runs gave different bits")


def _renamed(method: Attributor) -> None:
    journeys = small_journeys()
    new_code = np.array([2, 0, 3, 1], dtype=np.int32)
    names = [""] * 4
    for code, name in enumerate(("zeta", "eta2", "a", "b")):
        names[new_code[code]] = name
    renamed = replace(journeys, channels=tuple(names), codes=new_code[journeys.codes])
    old = _credit(method.attribute(journeys))
    want = {names[new_code[code]]: old[name] for code, name in enumerate(journeys.channels)}
    _expect_same(_credit(method.attribute(renamed)), want)


def _reordered(method: Attributor) -> None:
    journeys = small_journeys()
    order = [3, 6, 0, 4, 2, 5, 1]
    _expect_same(_credit(method.attribute(_rows(journeys, order))), _credit(method.attribute(journeys)))


def _split_rows(method: Attributor) -> None:
    journeys = small_journeys()
    rows = [j for j in range(journeys.n_journeys) for _ in range(2)]
    part = np.tile([0.25, 0.75], journeys.n_journeys)
    split = _rows(journeys, rows)
    split = replace(split, conversions=split.conversions * part, nulls=split.nulls * part, value=split.value * part)
    _expect_same(_credit(method.attribute(split)), _credit(method.attribute(journeys)))


def _without_weight(method: Attributor) -> None:
    journeys = small_journeys()
    more = _rows(journeys, [*range(journeys.n_journeys), 2])
    keep = np.append(np.ones(journeys.n_journeys), 0.0)
    more = replace(more, conversions=more.conversions * keep, nulls=more.nulls * keep, value=more.value * keep)
    _expect_same(_credit(method.attribute(more)), _credit(method.attribute(journeys)))


def _doubled(method: Attributor) -> None:
    journeys = small_journeys()
    twice = replace(journeys, conversions=2 * journeys.conversions, nulls=2 * journeys.nulls, value=2 * journeys.value)
    _expect_same(_credit(method.attribute(twice)), _credit(method.attribute(journeys)), times=2)


def _unmet(method: Attributor) -> None:
    journeys = small_journeys()
    credit = _credit(method.attribute(replace(journeys, channels=(*journeys.channels, "radio"))))
    got = credit.pop("radio", None)
    _expect(got == (0, 0), f"a channel that nobody met is credited with {got}")
    _expect_same(credit, _credit(method.attribute(journeys)))


def _one_channel(method: Attributor) -> None:
    journeys = make_journeys([["a", "a"], ["a"]], [1, 0], [0, 3], [8, 0], channels=("a",))
    _expect_same(_credit(method.attribute(journeys)), {"a": (1.0, 8.0)})


def _many_channels(method: Attributor) -> None:
    channels = tuple(f"c{i:02d}" for i in range(24))
    rng = np.random.default_rng(5)
    paths = [[channels[i] for i in rng.integers(0, 24, rng.integers(1, 6))] for _ in range(120)]
    conversions, nulls = rng.integers(0, 3, 120) * 1.0, rng.integers(1, 9, 120) * 1.0
    journeys = make_journeys(paths, conversions.tolist(), nulls.tolist(), (3 * conversions).tolist(), channels=channels)
    result = method.attribute(journeys)
    for got, want in ((result.total_conversions, conversions.sum()), (result.total_value, 3 * conversions.sum())):
        _expect(abs(got - want) <= RELATIVE * want, f"24 channels: credit adds up to {got:.9g}, not to {want:.9g}")


def _without_value(method: Attributor) -> None:
    journeys = small_journeys()
    result = method.attribute(replace(journeys, value=np.zeros(journeys.n_journeys)))
    _expect(not result.value.any(), f"value credited is {result.value.tolist()} where there is none")
    want = {name: (credit[0], 0.0) for name, credit in _credit(method.attribute(journeys)).items()}
    _expect_same(_credit(result), want)


def _without_times(method: Attributor) -> None:
    journeys = small_journeys()
    try:
        result = method.attribute(replace(journeys, ages_days=None))
    except InputError as error:
        _expect("time" in str(error), f"refuses journeys without times, but does not say so: {error}")
        return
    _expect_same(_credit(result), _credit(method.attribute(journeys)))


def _all_convert(method: Attributor) -> None:
    journeys = small_journeys()
    try:
        result = method.attribute(replace(journeys, nulls=np.zeros(journeys.n_journeys)))
    except InputError as error:
        _expect("convert" in str(error), f"refuses journeys that all convert, but does not say so: {error}")
        return
    got, want = result.total_conversions, journeys.n_conversions
    _expect(abs(got - want) <= RELATIVE * want, f"conversions credited add up to {got:.9g}, not to {want:.9g}")


def _nothing_converts(method: Attributor) -> None:
    never = make_journeys([["beta"]], [0], [3], [0], channels=("beta",))
    none = make_journeys([], [], [], [], channels=("beta",))
    for journeys in (never, none):
        try:
            method.attribute(journeys)
        except InputError:
            continue
        raise ContractError(f"{journeys!r} has no conversion and was not refused with an InputError")


def _frozen(method: Attributor) -> None:
    result = method.attribute(small_journeys())
    _expect(not (result.conversions.flags.writeable or result.value.flags.writeable), "the result can be changed")
    again = pickle.loads(pickle.dumps(result))  # noqa: S301  our own bytes
    _expect_same(_credit(again), _credit(result))


def _rows(journeys: Journeys, rows: Sequence[int]) -> Journeys:
    """These rows of the journeys, in this order."""
    parts = [slice(journeys.offsets[j], journeys.offsets[j + 1]) for j in rows]
    lengths = [part.stop - part.start for part in parts]
    ages = journeys.ages_days
    return replace(
        journeys,
        codes=np.concatenate([journeys.codes[part] for part in parts]),
        ages_days=None if ages is None else np.concatenate([ages[part] for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        conversions=journeys.conversions[list(rows)],
        nulls=journeys.nulls[list(rows)],
        value=journeys.value[list(rows)],
    )


PROPERTIES: Final[dict[str, Callable[[Attributor], None]]] = {
    "credit adds up to what had a touch": _adds_up,
    "what had no touch is reported and not credited": _untouched,
    "notes of the journeys are kept": _notes,
    "inputs are never written to": _input_stays,
    "the same journeys give the same bits": _repeatable,
    "renaming and renumbering channels renames credit and nothing else": _renamed,
    "the order of journeys does not matter": _reordered,
    "a row split in two is the same row": _split_rows,
    "rows without weight change nothing": _without_weight,
    "doubling the weights doubles the credit": _doubled,
    "a channel that nobody met is credited with nothing": _unmet,
    "one channel gets all": _one_channel,
    "many channels add up": _many_channels,
    "without values conversions are credited all the same": _without_value,
    "journeys without times are refused clearly or do as well": _without_times,
    "journeys that all convert are refused clearly or add up": _all_convert,
    "journeys that never convert are refused": _nothing_converts,
    "results are frozen and can be pickled": _frozen,
}
