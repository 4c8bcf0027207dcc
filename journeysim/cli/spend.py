"""What channels cost, from a file or from the touches of a log, checked before the long work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from journeysim.cli.source import Source
    from journeysim.events import EventLog
    from journeysim.journeys import Journeys

OF_THE_LOG = "log"
"""In place of a file of costs: those of the touches of the log."""


def read_spend(
    costs: str, source: Source, by: str | None, parts: Mapping[str, Journeys]
) -> dict[str, dict[str, float]]:
    """Costs by segment and channel.

    Raises
    ------
    InputError : the file cannot be read, or its channels or segments are not those of the journeys
    """
    from journeysim.attribution import costs_of, read_costs
    from journeysim.attribution.credit import ALL
    from journeysim.attribution.money import cost_column

    if costs == OF_THE_LOG and source.log is not None:
        free = dict.fromkeys(source.journeys.channels, 0.0)  # a segment may have no touch on some
        logs = {part: _only(source.log, by, part) for part in parts}
        return {part: free | costs_of(log) for part, log in logs.items()}
    found = {ALL if part is None else part: amounts for part, amounts in read_costs(costs, by=by).items()}
    wrong = sorted(found.keys() ^ parts.keys())
    if wrong:
        fault = "there are no costs for" if wrong[0] in parts else "there are costs for an unknown"
        raise InputError(f"{costs}: {fault} {by} {wrong[0]!r}. The log has: {', '.join(parts)}.")
    for part, amounts in found.items():
        try:
            cost_column(parts[part].channels, amounts)
        except InputError as error:
            raise InputError(f"{costs}{f', {by} {part!r}' if by else ''}: {error}") from error
    return found


def _only(log: EventLog, by: str | None, part: str) -> EventLog:
    import pyarrow.compute as pc

    if by is None:
        return log
    return log.only(log.customers["customer"].filter(pc.equal(log.customers[by].cast("string"), part)))
