"""The methods by name: the one place that lists them, and where users and other distributions add their own."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING
from warnings import warn

import polars as pl

from journeysim.attribution.any_touch import AnyTouch
from journeysim.attribution.base import Attribution, Attributor, LogAttributor
from journeysim.attribution.elimination import BackwardsElimination
from journeysim.attribution.hazard import AdditiveHazard
from journeysim.attribution.heuristic import (
    FirstTouch,
    LastNonDirect,
    LastTouch,
    Linear,
    PositionBased,
    TimeDecay,
    WShaped,
)
from journeysim.attribution.hidden_markov import HiddenMarkov
from journeysim.attribution.logistic import BaggedLogistic
from journeysim.attribution.markov_shapley import MarkovShapley
from journeysim.attribution.method import Method
from journeysim.attribution.plugins import PluginWarning, found_plugins, load_plugin
from journeysim.attribution.probabilistic import SimpleProbabilistic
from journeysim.attribution.propensity import PropensityWeighted
from journeysim.attribution.removal import RemovalEffect
from journeysim.attribution.shapley import OrderedShapley, SetShapley, SimplifiedShapley
from journeysim.attribution.uncertainty import UncertainAttribution
from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.journeys import Journeys, to_journeys

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

_METHODS: dict[str, Method] = {
    "first_touch": Method(
        FirstTouch,
        assumes="the first touch decides, what follows only harvests",
        misleads="praises channels that reach many people early, whether they persuade or not",
    ),
    "last_touch": Method(
        LastTouch,
        assumes="the last touch decides, what came before did nothing",
        misleads="praises retargeting and search for the own brand, which meet customers who buy anyway",
    ),
    "last_non_direct": Method(
        LastNonDirect,
        assumes="as last touch, and a direct visit is the echo of an earlier touch",
        misleads="as last touch; and where direct visits come from offline advertising, online channels get its credit",
    ),
    "any_touch": Method(
        AnyTouch,
        assumes="being met on the way to a conversion is what counts",
        misleads="a channel that everybody meets gets most, though it may do nothing",
    ),
    "linear": Method(
        Linear,
        assumes="every touch does the same",
        misleads="a channel earns more by touching more often",
    ),
    "position_based": Method(
        PositionBased,
        assumes="opening and closing a journey matter most, in shares fixed beforehand",
        misleads="the shares .4, .2, .4 are a convention, not an estimate",
    ),
    "w_shaped": Method(
        WShaped,
        assumes="as position-based, with the middle touch as a third key moment",
        misleads="the middle touch of a path is rarely the moment when a lead was made",
    ),
    "time_decay": Method(
        TimeDecay,
        assumes="influence fades with a known half-life, the same for all channels",
        misleads="like last touch when the half-life is short against the journey",
        needs=frozenset({"times"}),
    ),
    "markov": Method(
        RemovalEffect,
        paper="Anderl, Becker, von Wangenheim & Schumann 2016, IJRM 33(3)",
        assumes="customers move as the fitted chain does, and without a channel they leave",
        misleads="gives much to every channel that is often met, causal or not; high orders become any touch",
    ),
    "markov_shapley": Method(
        MarkovShapley,
        paper="the removal game of Anderl et al. 2016, Shapley value",
        assumes="as markov, and channels share alike in each walk that meets them",
        misleads="as any touch: nothing tells a channel that persuades from one that is merely met",
    ),
    "shapley_simplified": Method(
        SimplifiedShapley,
        paper="Zhao, Mahboobi & Bagheri 2018, arXiv 1804.05327",
        assumes="a journey converts only with all of its channels together",
        misleads="ignores journeys that do not convert, so companions share alike with causes",
    ),
    "shapley_ordered": Method(
        OrderedShapley,
        paper="Zhao, Mahboobi & Bagheri 2018, arXiv 1804.05327",
        assumes="as shapley_simplified; its table by touchpoint adds where in the journey",
        misleads="by channel it says the same as shapley_simplified",
    ),
    "shapley": Method(
        SetShapley,
        paper="Shapley 1953; Dalessandro, Perlich, Stitelman & Provost 2012, ADKDD",
        assumes="customers who met different sets of channels are alike otherwise",
        misleads="rates of rare sets are noise, and credit can be negative where a channel meets poor prospects",
        may_be_negative=True,
    ),
    "probabilistic": Method(
        SimpleProbabilistic,
        paper="Shao & Li 2011, KDD, section 3.2",
        assumes="customers who met different pairs of channels are alike otherwise; no effects of three or more",
        misleads="a channel shown to good prospects has a high rate and gets credit for it",
        may_be_negative=True,
    ),
    "logistic": Method(
        BaggedLogistic,
        paper="Shao & Li 2011, KDD, section 3.1",
        assumes="channels add up in log odds, and nothing else drives both exposure and conversion",
        misleads="targeting looks like effect; and who converts early meets fewer channels, which looks like harm",
        needs=frozenset({"nulls"}),
    ),
    "additive_hazard": Method(
        AdditiveHazard,
        paper="Zhang, Wei & Ren 2014, ICDM",
        assumes="hazards of touches add up and fade exponentially; nobody converts without a touch",
        misleads="credits conversions that would have happened anyway to whatever touch was recent",
        needs=frozenset({"times"}),
    ),
    "hidden_markov": Method(
        HiddenMarkov,
        paper="Abhishek, Fader & Hosanagar 2012, SSRN 2158421; the digital twin for touches alone",
        assumes="customers pass hidden stages in one direction, and contacts come by chance, given stage and kind",
        misleads="where stages cannot be told from touches: few touches per journey, few conversions, moves back",
        needs=frozenset({"times", "nulls"}),
    ),
    "backwards_elimination": Method(
        BackwardsElimination,
        paper="Shender et al. 2023, Journal of Data Science, arXiv 2009.08432",
        assumes="the model of conversion is causal, and later touches need earlier ones, not the reverse",
        misleads="between two that do the same, the earlier one gets nearly all",
        needs=frozenset({"nulls"}),
    ),
    "propensity": Method(
        PropensityWeighted,
        paper="Hirano, Imbens & Ridder 2003, Econometrica 71(4); Dalessandro et al. 2012, ADKDD",
        assumes="given the other channels met, exposure is as good as random",
        misleads="what decides exposure but is not in the log (intent, targeting) stays in the effect",
        needs=frozenset({"nulls"}),
    ),
}

_OF_LOGS: dict[str, Method] = {
    # The twin stands above attribution, and data flows one way: only its name is known here.
    "digital_twin": Method(
        lambda: import_module("journeysim.twin").DigitalTwin(),
        assumes="contacts add to the hazard of the next stage and fade; customers are of one hidden kind or of two",
        misleads="where word of mouth, seasons or unlogged touches decide; takes minutes",
        needs=frozenset({"times", "nulls", "stages"}),
    ),
}


def methods() -> tuple[str, ...]:
    """Names of the registered methods of journeys, those of other distributions last; none of those is imported.

    `method_table()` says where each comes from, what it assumes and when it misleads.

    >>> "markov" in methods()
    True
    """
    return (*_METHODS, *_plugins_now())


def log_methods() -> tuple[str, ...]:
    """Names of the methods that need a log with stages."""
    return (*_OF_LOGS,)


def method_info(name: str) -> Method:
    """What the registry knows of a method.

    Raises
    ------
    InputError : for an unknown name, or a method of another distribution that cannot be loaded
    """
    for known in (_METHODS, _OF_LOGS):
        if name in known:
            return known[name]
    plugins = _plugins_now()
    if name in plugins:
        return load_plugin(plugins[name])
    known_names = (*methods(), *log_methods())
    near = get_close_matches(name, known_names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"Unknown attribution method {name!r}.{hint} Methods: {', '.join(known_names)}.")


def name_of(method: str | Attributor | LogAttributor) -> str:
    """The registered name of a method, or that of its class where it has none."""
    if isinstance(method, str):
        return method
    names = (name for name, info in _METHODS.items() if info.factory is type(method))
    return next(names, type(method).__name__)


def method_table() -> pl.DataFrame:
    """One row per method: method, paper, assumes, misleads, needs, may_be_negative, provided_by.

    A method of another distribution that cannot be loaded is left out, with a `PluginWarning` that says why.
    """
    rows = []
    for name in (*methods(), *log_methods()):
        try:
            info = method_info(name)
        except InputError as error:
            warn(str(error), PluginWarning, stacklevel=2)
            continue
        needs = ", ".join(sorted(info.needs))
        rows.append((name, info.paper, info.assumes, info.misleads, needs, info.may_be_negative, info.provided_by))
    columns = ["method", "paper", "assumes", "misleads", "needs", "may_be_negative", "provided_by"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def register(name: str, factory: Callable[[], Attributor] | Method) -> None:
    """Add a method under a new name, for this process.

    Parameters
    ----------
    factory : makes the method with its default settings; or a `Method` that also says what to think of it

    Raises
    ------
    InputError : if the name is taken
    """
    if name in (*methods(), *log_methods()):
        raise InputError(f"There is an attribution method {name!r} already; register yours under another name.")
    _METHODS[name] = factory if isinstance(factory, Method) else Method(factory, provided_by="register()")


def attribute(source: Journeys | EventLog, method: str | Attributor | LogAttributor = "markov") -> Attribution:
    """Credit conversions to channels.

    Parameters
    ----------
    source : paths of touches and what each led to; or a log, for methods that need its stages (others make journeys of
        it, by `to_journeys`)
    method : a registered name, for its default settings, or a method with settings such as `RemovalEffect(order=2)`

    Raises
    ------
    InputError : for an unknown name, journeys without conversions or where a log is needed, a method of another
        distribution that does not keep the protocol, or whatever the method refuses
    """
    told = f"The attribution method {name_of(method)!r}"
    if isinstance(method, str):
        info = method_info(method)
        told += f" of {info.provided_by}"
        method = info.factory()
        if not isinstance(method, Attributor | LogAttributor):
            raise InputError(f"{told} makes {type(method).__name__}, which has no attribute(journeys).")
    credit: object
    if isinstance(source, EventLog) and isinstance(method, LogAttributor):
        credit = method.attribute_log(source)
    elif isinstance(method, Attributor):
        credit = method.attribute(to_journeys(source) if isinstance(source, EventLog) else source)
    else:
        raise InputError(f"{told} needs a log with stages, which journeys are not: attribute(log, ...).")
    if isinstance(credit, UncertainAttribution):
        credit = credit.point
    if not isinstance(credit, Attribution):
        raise InputError(f"{told} returned {type(credit).__name__}, not an Attribution.")
    return credit


def _plugins_now() -> dict[str, EntryPoint]:
    return {name: point for name, point in _plugins().items() if name not in _METHODS}


@cache
def _plugins() -> dict[str, EntryPoint]:
    """Looked for once, when first asked: reading the metadata of all distributions takes a while."""
    return found_plugins(_METHODS)
