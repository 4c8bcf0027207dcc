"""Methods of other distributions: found by entry point, loaded when used; a broken one hurts nobody else."""

import importlib
import sys
from textwrap import dedent

import pytest

from journeysim.attribution import PluginWarning, attribute, method_info, method_table, methods, register, registry
from journeysim.attribution.contract import check_method, small_journeys
from journeysim.errors import InputError

CODE = """
    from dataclasses import dataclass
    from journeysim.attribution import Linear, Method

    @dataclass(frozen=True)
    class Even:
        def attribute(self, journeys):
            return Linear().attribute(journeys)

    class NoMethod:
        pass

    class Numbers:
        def attribute(self, journeys):
            return [1, 2, 3]

    described = Method(Even, paper="Ours 2026", assumes="all is even", misleads="where it is odd")
    number = 7
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Distributions with entry points, as pip would leave them; returns a function that adds one."""
    (tmp_path / "good_methods.py").write_text(dedent(CODE))
    (tmp_path / "broken_methods.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, **points):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{point} = {target}" for point, target in points.items()]
        (folder / "entry_points.txt").write_text("\n".join(["[journeysim.attribution_methods]", *lines]))
        importlib.invalidate_caches()
        registry._plugins.cache_clear()

    yield install
    registry._plugins.cache_clear()
    for module in ("good_methods", "broken_methods"):
        sys.modules.pop(module, None)


def test_a_method_of_another_distribution_is_listed_and_used_like_ours(installed):
    installed("good-methods", even="good_methods:Even", told="good_methods:described")
    assert methods()[-2:] == ("even", "told")
    assert "good_methods" not in sys.modules  # listing loads nothing
    result = attribute(small_journeys(), "even")
    assert result.total_conversions == pytest.approx(8.5)
    check_method(method_info("even").factory())
    row = method_table().filter(method="told").row(0, named=True)
    assert (row["paper"], row["assumes"], row["provided_by"]) == ("Ours 2026", "all is even", "good-methods")


def test_a_broken_one_is_named_when_used_and_leaves_the_others_alone(installed):
    installed("broken-methods", bad="broken_methods:Bad", gone="good_methods:Gone")
    installed("good-methods", even="good_methods:Even")
    with pytest.raises(InputError, match=r"'bad' of broken-methods .* ModuleNotFoundError: No module named 'no_such"):
        attribute(small_journeys(), "bad")
    with pytest.raises(InputError, match=r"'gone' of broken-methods .* AttributeError"):
        attribute(small_journeys(), "gone")
    for method in ("even", "linear"):
        assert attribute(small_journeys(), method).total_conversions == pytest.approx(8.5)
    with pytest.warns(PluginWarning) as warned:
        table = method_table()
    assert sorted("'bad'" in str(w.message) for w in warned) == [False, True]
    assert {"bad", "gone"} & {*table["method"]} == set()
    assert {"even", "markov"} <= {*table["method"]}


def test_a_name_that_is_taken_goes_to_who_had_it_with_a_warning(installed):
    installed("good-methods", linear="good_methods:Even", twice="good_methods:Even")
    installed("other-methods", twice="broken_methods:Bad")
    with pytest.warns(PluginWarning) as warned:
        names = methods()
    said = " ".join(str(w.message) for w in warned)
    assert "'linear' of good-methods is left out: journeysim has one" in said
    assert "'twice' of other-methods is left out: good-methods has one" in said
    assert names.count("linear") == names.count("twice") == 1
    assert attribute(small_journeys(), "linear").method == "linear"
    with pytest.raises(InputError, match="already"):
        register("twice", object)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("good_methods:number", "'odd' of odd-methods .* is int; its entry point must lead to"),
        ("good_methods:NoMethod", r"'odd' of odd-methods makes NoMethod, which has no attribute\(journeys\)"),
        ("good_methods:Numbers", "'odd' of odd-methods returned list, not an Attribution"),
    ],
)
def test_what_is_no_method_is_refused_with_the_distribution(installed, target, said):
    installed("odd-methods", odd=target)
    with pytest.raises(InputError, match=said):
        attribute(small_journeys(), "odd")


def test_an_unknown_name_is_answered_with_plugins_among_the_names(installed):
    installed("good-methods", even="good_methods:Even")
    with pytest.raises(InputError, match=r"Did you mean 'even'\?"):
        attribute(small_journeys(), "evne")
