"""`journeysim attribute`: credit to channels, with its uncertainty, costs and segments."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from journeysim.cli.app import Seed
from journeysim.cli.method_list import print_methods
from journeysim.cli.result_files import FormatOption, Out, Result, planned
from journeysim.cli.source import File, MapFile, Separator, is_log, read_source
from journeysim.cli.spend import OF_THE_LOG, read_spend
from journeysim.cli.terminal import progress, step
from journeysim.errors import InputError

if TYPE_CHECKING:
    from journeysim.attribution import Attribution, RemovalEffect, UncertainAttribution
    from journeysim.attribution.credit import Credit
    from journeysim.cli.source import Source
    from journeysim.events import EventLog
    from journeysim.journeys import Journeys
    from journeysim.markov import OrderChoice
    from journeysim.outputs import OnProgress
    from journeysim.report import Report

DRAWS = 1_000
WITH_POSTERIOR = ("markov", "hidden_markov", "digital_twin")


class IntervalMethod(StrEnum):
    """Where draws come from."""

    posterior = "posterior"
    bootstrap = "bootstrap"


def _order(text: str) -> int | str:
    if text != "auto" and not (text.isdecimal() and int(text) >= 1):
        raise typer.BadParameter(f"{text!r} is neither a whole number >= 1 nor 'auto'.")
    return text if text == "auto" else int(text)


def _list(wanted: bool) -> None:
    if wanted:
        print_methods()
        raise typer.Exit


def attribute(
    file: File,
    method: Annotated[str, typer.Option(help="markov, first_touch, linear, ...; --list tells all.")] = "markov",
    _list_methods: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="Print what there is to know of each method.")
    ] = False,
    order: Annotated[
        str | None,
        typer.Option(parser=_order, metavar="N|auto", help="Of the Markov chain: how many touches it remembers."),
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Say how sure the credit is.")] = False,
    interval_method: Annotated[
        IntervalMethod | None, typer.Option(help="By default the posterior, if the method has one.")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=2, help=f"Of --intervals; by default {DRAWS:,}.")] = None,
    level: Annotated[float | None, typer.Option(help="Of --intervals; by default 0.9.")] = None,
    costs: Annotated[
        str | None,
        typer.Option(help="File with columns channel and cost (and that of --by); or `log`: what its touches cost."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Segment: a column of the customers of a log.")] = None,
    seed: Seed = 1,
    out_files: Out = None,
    form: FormatOption = None,
    separator: Separator = " > ",
    map_file: MapFile = None,
) -> None:
    """Credit conversions to channels.

    Reads ChannelAttribution's format (path, total_conversions, total_conversion_value, total_null), the directory of a
    log that `simulate` wrote, or, with --map, an event log made by others.

    \b
    Examples:
      journeysim attribute paths.csv --order auto --intervals --out credit.html
      journeysim attribute paths.csv --method linear --format json
      journeysim attribute out/log --costs log --by persona --out credit.csv
      journeysim attribute --list
    """
    from journeysim.attribution import journeys_by_segment, log_methods, method_info, returns
    from journeysim.attribution.credit import ALL, Credit

    method_info(method)  # an unknown name is told at once
    if order is not None and method != "markov":
        raise InputError(f"--order belongs to --method markov, not to {method!r}. Leave one of them out.")
    of_log = method in log_methods()
    if of_log and by is not None:
        raise InputError(f"--method {method} takes a whole log; leave --by out, or see `journeysim twin --by`.")
    needs_log = {"--by": by, "--costs log": costs == OF_THE_LOG, f"--method {method}": of_log}
    for option, value in needs_log.items():
        if value and not is_log(file, map_file):
            raise InputError(
                f"{option} needs a log, and {file} is none: it has paths, not customers and their touches. Give the "
                "directory of a log, or an event log with --map."
            )
    how = _how_sure(method, intervals, interval_method, draws, level)
    with planned(out_files, form) as outputs, progress() as on_progress:
        source = read_source(file, map_file, separator, on_progress)
        if by is None or source.log is None:
            parts = {ALL: source.journeys}
        else:
            with step(on_progress, "split the log"):
                parts = journeys_by_segment(source.log, by)
        spent = {} if costs is None else read_spend(costs, source, by, parts)
        choice, chosen = (
            _chain(order or 1, source.journeys, seed, on_progress) if method == "markov" else (None, method)
        )
        found: dict[str, Attribution | UncertainAttribution] = {}
        for part, journeys in parts.items():
            name = "attribute" if by is None else f"attribute {part}"
            try:
                if of_log and source.log is not None:
                    with step(on_progress, name):
                        found[part] = _of_log(source.log, how, seed)
                else:
                    found[part] = _attribute(journeys, chosen, how, seed, name, on_progress)
            except InputError as error:
                raise error if by is None else InputError(f"{by} {part!r}: {error}") from error
        money = {part: returns(found[part], amounts) for part, amounts in spent.items()}
        credit = Credit(found, by, money, choice, 0.9 if level is None else level)
        result = _result(credit, source)
        if outputs.files:
            with step(on_progress, "write"):
                outputs.write(result)
    outputs.print(result)


def _how_sure(
    method: str, intervals: bool, asked: IntervalMethod | None, draws: int | None, level: float | None
) -> tuple[IntervalMethod, int] | None:
    """How draws are made, and how many; None without intervals."""
    given = {"--interval-method": asked, "--draws": draws, "--level": level}
    stray = [option for option, value in given.items() if value is not None]
    if stray and not intervals:
        raise InputError(f"{stray[0]} belongs to --intervals. Add that, or leave {stray[0]} out.")
    if level is not None and not 0 < level < 1:
        raise InputError(f"--level must be between 0 and 1, such as 0.9; got {level:g}.")
    if asked is IntervalMethod.posterior and method not in WITH_POSTERIOR:
        these = " and ".join(WITH_POSTERIOR)
        raise InputError(f"--interval-method posterior belongs to --method {these}; for {method!r} take bootstrap.")
    if not intervals:
        return None
    default = IntervalMethod.posterior if method in WITH_POSTERIOR else IntervalMethod.bootstrap
    return asked or default, draws or DRAWS


def _of_log(log: EventLog, how: tuple[IntervalMethod, int] | None, seed: int) -> Attribution | UncertainAttribution:
    """Credit by the digital twin, whose draws are worlds."""
    from journeysim.twin import DigitalTwin

    if how is None:
        return DigitalTwin(seed=seed).attribute_log(log).point
    source, n_draws = how
    if source is IntervalMethod.bootstrap:
        raise InputError("--method digital_twin has draws of its own; leave --interval-method bootstrap out.")
    return DigitalTwin(seed=seed, n_worlds=n_draws).attribute_log(log)


def _chain(
    order: int | str, journeys: Journeys, seed: int, on_progress: OnProgress
) -> tuple[OrderChoice | None, RemovalEffect]:
    """How the order was found, on all journeys so that segments can be compared; and the method."""
    from journeysim.attribution import RemovalEffect
    from journeysim.markov import choose_order

    if order != "auto":
        return None, RemovalEffect(order=int(order))
    with step(on_progress, "choose the order"):
        choice = choose_order(journeys, seed=seed)
    return choice, RemovalEffect(order=choice.order)


def _attribute(
    journeys: Journeys,
    method: str | RemovalEffect,
    how: tuple[IntervalMethod, int] | None,
    seed: int,
    name: str,
    on_progress: OnProgress,
) -> Attribution | UncertainAttribution:
    from journeysim.attribution import HiddenMarkov, attribute, bootstrap_attribution, posterior_attribution

    if how is None:
        with step(on_progress, name):
            return attribute(journeys, method)
    source, n_draws = how
    if source is IntervalMethod.posterior and method == "hidden_markov":
        with step(on_progress, name):
            return HiddenMarkov().posterior(journeys, seed=seed, n_draws=n_draws)

    def report(done: int) -> None:
        on_progress(name, done, n_draws)

    report(0)
    if source is IntervalMethod.bootstrap or isinstance(method, str):
        return bootstrap_attribution(journeys, method, seed=seed, n_draws=n_draws, on_progress=report)
    order = int(method.order)
    return posterior_attribution(journeys, order=order, seed=seed, n_draws=n_draws, on_progress=report)


def _result(credit: Credit, source: Source) -> Result:
    from journeysim.cli.credit_screen import credit_screens

    def report() -> Report:
        from journeysim.attribution_report import credit_report  # it loads the library of pictures

        return credit_report(credit, source=str(source.provenance["file"]))

    return Result(lambda: credit_screens(credit), credit.rows, credit.record, report, source.provenance)
