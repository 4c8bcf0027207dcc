"""A world as tables that people read: the moves of each stage, channels, personas, pain points, calendars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from journeysim.moves import Direction
    from journeysim.parts import Calendar, Channel, Flight, Persona, Shift
    from journeysim.spec import Stage, World


UNAWARE = "unaware"
FOR_GOOD = 3000  # days


@dataclass(frozen=True, slots=True)
class BaseMove:
    """A move of the plain customer: no contacts, no pain points, no seasons, every multiplier of the persona 1."""

    origin: str
    target: str
    direction: Direction
    share: float  # of those who leave `origin`, in [0, 1]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; the columns named in `numbers` are figures."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()
    note: str = ""


def base_moves(world: World) -> tuple[BaseMove, ...]:
    """Every move with a base hazard, and the ones that only contacts cause (share 0), in the order of the stages.

    The share of a move is its hazard over the sum of the hazards of its stage: competing exponentials.
    """
    moves = []
    for stage in world.stages:
        total = sum(stage.moves_per_day.values())
        for target, rate in stage.moves_per_day.items():
            if rate > 0 or target == world.pushed_move(stage):
                share = rate / total if total else 0.0
                moves.append(BaseMove(stage.name, target, world.direction(stage.name, target), share))
    return tuple(moves)


def stay_days(stage: Stage) -> float | None:
    """Mean days of the plain customer in a stage, without contacts; None if nobody leaves."""
    total = sum(stage.moves_per_day.values())
    return 1 / total if total else None


def marks(stage: Stage) -> tuple[str, ...]:
    """What happens in a stage besides moves."""
    found = [name for name in ("purchase", "experience") if getattr(stage, name)]
    found += ["refers others"] if stage.advocates else []
    asked = ", ".join(survey.kind for survey in stage.surveys)
    return (*found, f"asks {asked}") if asked else (*found,)


def percent(share: float) -> str:
    """Whole percents, but never a 0% that is not one."""
    return f"{share:.0%}" if share >= 0.01 or share == 0 else "<1%"


def three_digits(number: float) -> str:
    """A number to three digits, and to the whole from a thousand on: never in powers of ten."""
    return f"{number:,.0f}" if number >= 999.5 else f"{number:.3g}"


def days_of(number: float) -> str:
    """So many days, and one day."""
    return f"{number:g} day{'' if number == 1 else 's'}"


def begins(world: World) -> str:
    """How many stages there are, and whether customers begin unaware, which frameworks do not count as a stage."""
    n, first = len(world.stages), world.stage_names[0]
    if first == UNAWARE:
        return f"{n - 1} stage{'' if n == 2 else 's'} and {first}"
    return f"{n} stage{'' if n == 1 else 's'}"


def world_tables(world: World) -> tuple[Table, ...]:
    """All tables of a world, those without rows left out."""
    tables = (
        journey_table(world),
        channel_table(world),
        *(contact_tables(world)),
        trigger_table(world),
        pain_point_table(world),
        persona_table(world),
        people_table(world),
        calendar_table(world),
        survey_table(world),
        desk_table(world),
    )
    return tuple(table for table in tables if table.rows)


def journey_table(world: World) -> Table:
    """The map in text: where the plain customer goes from each stage, and how long it takes."""
    moves = base_moves(world)
    rows = []
    for number, stage in enumerate(world.stages, start=1):
        mine = [move for move in moves if move.origin == stage.name]
        days = stay_days(stage)
        rows.append(
            (
                f"{number}",
                "\n".join((stage.name, *(f"· {mark}" for mark in marks(stage)))),
                "∞" if days is None else three_digits(days),
                _moves(mine, "forward", "→"),
                _moves(mine, "back", "←"),
                _moves(mine, "exit", "✕"),
            )
        )
    return Table(
        "The journey",
        ("", "stage", "days", "forward", "back", "out"),
        tuple(rows),
        frozenset({"", "days"}),
        "Shares of those who leave the stage, and mean days in it, of the plain customer: before contacts, personas, "
        "pain points and seasons.",
    )


def channel_table(world: World) -> Table:
    """What a contact is: whose medium, what it costs, how long it works."""
    rows = []
    for channel in world.channels:
        where = channel.kind if channel.online else f"{channel.kind}, offline"
        where = where if channel.active else f"{where}, off"
        rows.append(
            (
                channel.name,
                where,
                f"{channel.cost_per_contact:g}",
                f"{channel.half_life_days:g}",
                f"{channel.fatigue:g}",
                "\n".join(_habits(world, channel)),
            )
        )
    return Table(
        "Channels",
        ("channel", "medium", f"{world.currency}\na contact", "half-life,\ndays", "fatigue", "besides"),
        tuple(rows),
        frozenset({f"{world.currency}\na contact", "half-life,\ndays", "fatigue"}),
    )


def contact_tables(world: World) -> Iterator[Table]:
    """Contacts and pull by stage: stages are numbered as in the journey."""
    numbers = tuple(f"{i}" for i in range(1, len(world.stages) + 1))
    stages = world.stage_names

    def rows(cells: Mapping[str, list[float]]) -> tuple[tuple[str, ...], ...]:
        return tuple((name, *(f"{x:.3g}" if x else "·" for x in row)) for name, row in cells.items() if any(row))

    contacts = {c.name: [100 * world.contacts_in(c, stage) for stage in stages] for c in world.channels}
    pulls = {c.name: [100 * world.pull_in(c, stage) for stage in stages] for c in world.channels}
    head = ("channel", *numbers)
    yield Table("Contacts in 100 days, by stage", head, rows(contacts), frozenset(numbers))
    yield Table(
        "Pull of a contact in percent, by stage",
        head,
        rows(pulls),
        frozenset(numbers),
        "Of 100 such contacts, how many move the customer on. Stages are numbered as above.",
    )


def trigger_table(world: World) -> Table:
    """Contacts that answer an entry."""
    rows = tuple(
        (channel.name, trigger.entering, f"{trigger.chance:.0%}", f"{trigger.after_days:g}")
        for channel in world.channels
        for trigger in channel.triggers
    )
    return Table(
        "Contacts that follow an entry",
        ("channel", "entered", "chance", "days later"),
        rows,
        frozenset({"chance", "days later"}),
    )


def pain_point_table(world: World) -> Table:
    """Barriers, in the order of the world."""
    rows = tuple(
        (pain.name, pain.stage, f"{pain.chance:.0%}", f"×{pain.slows:g}", f"×{pain.loses:g}", f"{pain.hurts:g}")
        for pain in world.pain_points
    )
    return Table(
        "Pain points",
        ("pain point", "met in", "chance", "forward", "exits", "hurts"),
        rows,
        frozenset({"chance", "forward", "exits", "hurts"}),
        "Chance per entry into the stage; hurts is taken from satisfaction, which lies between 0 and 1.",
    )


def persona_table(world: World) -> Table:
    """The multipliers of each persona."""
    fields = ("pace", "patience", "pain", "satisfaction", "spending", "price_elasticity", "talk")
    short = ("pace", "pa-\ntience", "pain", "satis-\nfaction", "spen-\nding", "elas-\nticity", "talk")
    rows = tuple((p.name, f"{p.share:.0%}", *(f"{getattr(p, field):g}" for field in fields)) for p in world.personas)
    return Table("Personas", ("persona", "share", *short), rows, frozenset({"share", *short}))


def people_table(world: World) -> Table:
    """Who the personas are, and what reaches and convinces them otherwise than others."""
    rows = tuple((persona.name, "\n".join(_portrait(persona))) for persona in world.personas)
    return Table("Who they are", ("persona", ""), tuple(row for row in rows if row[1]))


def calendar_table(world: World) -> Table:
    """When rates are others than usual."""
    parts = [(f"moves from {stage.name}", stage.calendar) for stage in world.stages]
    parts += [(channel.name, channel.calendar) for channel in world.channels]
    rows = tuple((name, "\n".join(_calendar(calendar))) for name, calendar in parts if any(_calendar(calendar)))
    note = "×1 where nothing is said. Days count from the window's start."
    return Table("Calendars", ("of", "rates"), rows, note=note)


def survey_table(world: World) -> Table:
    """Who is asked what."""
    rows = tuple((s.name, survey.kind, f"{survey.response:.0%}") for s in world.stages for survey in s.surveys)
    return Table("Surveys", ("asked on entering", "kind", "answer"), rows, frozenset({"answer"}))


def desk_table(world: World) -> Table:
    """Staff that contacts queue for."""
    rows = []
    for channel in world.channels:
        if desk := channel.desk:
            patience = "endless" if desk.patience_minutes is None else f"{desk.patience_minutes:g}"
            staff = "\n".join((f"{desk.staff}", *(_shift(shift) for shift in desk.shifts)))
            costs = f"{desk.hurts_per_hour:g} an hour, {desk.loses:.0%} of those who hang up"
            rows.append((channel.name, staff, f"{desk.service_minutes:g}", patience, costs))
    head = ("channel", "staff", "minutes\na service", "minutes\nof patience", "waiting hurts, and loses")
    note = "Staff of each market. A world with desks is simulated on the SimPy engine, which is slower."
    return Table("Desks", head, tuple(rows), frozenset(head[2:4]), note)


def facts(world: World) -> tuple[str, ...]:
    """What holds for the whole world, a line each."""
    basket, product, told = world.basket, world.product_experience, world.word_of_mouth
    lines = [
        f"made for a window of {world.horizon_days:g} days",
        f"a basket: median {basket.median:,g} {world.currency}, log-normal with sd {basket.log_sd:g} of the log",
    ]
    if product.mean_shift or product.sd:
        lines.append(f"using the product: {product.mean_shift:+g} satisfaction on average, sd {product.sd:g}")
    if world.price != 1:
        side = "above" if world.price > 1 else "below"
        lines.append(f"price: {three_digits(100 * abs(world.price - 1))}% {side} what baskets assume")
    if world.satisfaction_effect:
        times = f"{math.exp(world.satisfaction_effect):.2g}"  # exp(g (1 - 1/2)) / exp(g (0 - 1/2))
        lines.append(f"after the first purchase, satisfaction 1 moves customers on {times} times as fast as 0")
    if told and told.referrals_per_day:
        who = ", ".join(stage.name for stage in world.stages if stage.advocates)
        often = f"tells one of {world.market_size:,} every {three_digits(1 / told.referrals_per_day)} days"
        later = "at once" if told.delay_days == 0 else f"{days_of(told.delay_days)} later"
        heard = f"a contact on {told.channel} {later}"
        lines.append(f"word of mouth: who is in {who} {often}, {heard}")
    return tuple(lines)


def _moves(moves: Iterable[BaseMove], direction: Direction, sign: str) -> str:
    chosen = sorted((move for move in moves if move.direction == direction), key=lambda move: -move.share)
    return "\n".join(f"{sign} {move.target} {percent(move.share)}" for move in chosen)


def _habits(world: World, channel: Channel) -> Iterator[str]:
    for other, times in channel.synergy.items():
        yield f"pull ×{times:g} after {other}"
    if channel.irritation:
        harm = channel.irritation
        yield f"irritates above {harm.tolerated:g} in {harm.forgotten_days:g} days"
    if channel.service:
        yield f"service {channel.service:+g}"
    if channel.desk:
        yield "has a desk"
    if world.word_of_mouth and world.word_of_mouth.channel == channel.name:
        yield "word of mouth"


def _portrait(persona: Persona) -> Iterator[str]:
    if persona.about:
        yield persona.about
    for name, of in persona.demographics.items():
        yield f"{name}: {_shares(of) if isinstance(of, Mapping) else of}"
    if persona.interests:
        yield f"interests: {_shares(persona.interests)}"
    if persona.goals:
        yield f"wants: {'; '.join(persona.goals)}"
    if persona.challenges:
        yield f"struggles with: {'; '.join(persona.challenges)}"
    if persona.reach:
        yield f"reached: {', '.join(_reach(name, of) for name, of in persona.reach.items())}"
    if persona.appeal:
        yield f"convinced: {', '.join(f'{name} ×{times:g}' for name, times in persona.appeal.items())}"


def _shares(of: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in of.items())


def _reach(channel: str, of: float | Mapping[str, float]) -> str:
    if isinstance(of, Mapping):
        return f"{channel} {', '.join(f'×{times:g} in {stage}' for stage, times in of.items())}"
    return f"{channel} ×{of:g}"


def _calendar(calendar: Calendar) -> tuple[str, ...]:
    lines = [
        " ".join(f"{name}×{times:g}" for name, times in of.items()) for of in (calendar.weekdays, calendar.months) if of
    ]
    if calendar.flights:
        flights = ", ".join(_flight(flight) for flight in calendar.flights)
        lines.append(f"{flights}, otherwise ×{calendar.outside_flights:g}")
    return tuple(lines)


def _flight(flight: Flight) -> str:
    """Its days, the last one included; a flight of more than `FOR_GOOD` days was meant to have no end."""
    first, last = flight.from_day, flight.until_day - 1
    if last == first:
        when = f"day {first}"
    elif last - first > FOR_GOOD:
        when = f"from day {first}"
    else:
        when = f"days {first}-{last}"
    return f"{when} ×{flight.times:g}"


def _shift(shift: Shift) -> str:
    days = "" if len(shift.weekdays) == 7 else f" {', '.join(shift.weekdays)}"
    return f"{shift.staff} from {shift.from_hour:g} to {shift.until_hour:g}{days}"
