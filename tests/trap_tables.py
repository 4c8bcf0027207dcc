"""The tables of docs/worlds/ for the worlds made to fool attribution; `python tests/test_traps.py` writes them."""

from __future__ import annotations

from trap_measures import METHODS, Estimate, Measured
from trap_worlds import (
    DISARMED,
    REFERRALS,
    TOGETHER,
    conversion_by_contact,
    conversion_by_frequency,
    cost_of_a_buyer,
    misplaced_within,
    talking,
)

from journeysim import worlds
from journeysim.attribution import RemovalEffect, attribute
from journeysim.kpis import kpis


def misplaced_line(trap: Measured) -> str:
    """The line in the comment of a world's file."""
    told = [f"{title(method)} {trap.misplaced(method).value:.0%}" for method in METHODS]
    return f"# {', '.join(told)}."


def title(method: str) -> str:
    return {"position_based": "position-based", "markov": "Markov"}.get(method, method.replace("_", " "))


def tables(trap: Measured, free: Measured | None) -> str:
    """All that a page shows of a world, and of the same world without its trap."""
    name = trap.world.name
    heads = " | ".join(title(method) for method in METHODS)
    lines = [f"| channel | incremental effect | true share | {heads} |", "|---|---|---|" + "---|" * len(METHODS)]
    for channel in trap.channels:
        effect, true = trap.effect(channel), trap.true_share(channel)
        shares = " | ".join(f"{trap.share(method, channel).value:.1%}" for method in METHODS)
        lines.append(f"| {channel} | {points(effect)} | {points(true)} | {shares} |")
    together = sum(trap.effect(channel).value for channel in trap.channels)
    lines.append(f"| sum | {together:.1%} | 100.0% |" + " 100.0% |" * len(METHODS))
    lines.append(f"| all switched off | {points(trap.effect(*trap.channels))} | |" + " |" * len(METHODS))
    lines += ["", f"| credit at the wrong channel | {heads} |", "|---|" + "---|" * len(METHODS)]
    versions = {"as it is": trap}
    if free is not None:
        versions[DISARMED[name][1]] = free
    for told, version in versions.items():
        lines.append(f"| {told} | {' | '.join(points(version.misplaced(method)) for method in METHODS)} |")
    found = {row["kpi"]: row["value"] for row in kpis(trap.log).iter_rows(named=True)}
    lines += [
        "",
        "| conversion | touches per customer | median days to buy | lost | EUR per acquisition | return on spend |",
        "|---|---|---|---|---|---|",
        f"| {found['conversion_rate']:.1%} | {found['touches_per_customer']:.1f} | "
        f"{found['median_days_to_purchase']:.0f} | {found['lost_share']:.0%} | {found['cost_per_acquisition']:.2f} | "
        f"{found['return_on_spend']:.0f} |",
        *more(name, trap),
    ]
    return "\n".join(["", *lines, ""]) + "\n"


def more(name: str, trap: Measured) -> list[str]:
    """What else shows the trap."""
    match name:
        case "trap-retargeting":
            rows = [(channel, *cost_of_a_buyer(trap, channel)) for channel in ("social", "paid_search", "retargeting")]
            return [
                "",
                "| channel | EUR per buyer by last touch | EUR per buyer it won |",
                "|---|---|---|",
                *(f"| {channel} | {credited:.2f} | {won:.2f} |" for channel, credited, won in rows),
            ]
        case "trap-hidden-persona":
            within = {method: misplaced_within(trap, method) for method in ("last_touch", "markov")}
            return [
                "",
                "| customers | bought, with podcasts | bought, without | wrong by last touch | wrong by Markov |",
                "|---|---|---|---|---|",
                *(
                    f"| {row['persona']} ({row['customers']:,}) | {row['with']:.1%} | {row['without']:.1%} | "
                    + " | ".join(
                        f"{of.get(row['persona'], trap.misplaced(method).value):.1%}" for method, of in within.items()
                    )
                    + " |"
                    for row in conversion_by_contact(trap, "podcasts").iter_rows(named=True)
                ),
            ]
        case "trap-companion":
            channel = DISARMED[name][0]
            return [
                "",
                f"| customers | bought, with a contact on {channel} | bought, without |",
                "|---|---|---|",
                *(
                    f"| {row['persona']} ({row['customers']:,}) | {row['with']:.1%} | {row['without']:.1%} |"
                    for row in conversion_by_contact(trap, channel).iter_rows(named=True)
                ),
            ]
        case "trap-synergy" | "trap-word-of-mouth":
            pair = TOGETHER if name == "trap-synergy" else ("market_stand", "neighbours")
            alone = [trap.effect(channel) for channel in pair]
            rows = by_order(trap) if name == "trap-synergy" else by_talk(trap)
            return [
                "",
                "| switched off | buyers lost |",
                "|---|---|",
                *(f"| {channel} | {points(effect)} |" for channel, effect in zip(pair, alone, strict=True)),
                f"| the sum of these | {sum(effect.value for effect in alone):.1%} |",
                f"| both at once | {points(trap.effect(*pair))} |",
                *rows,
            ]
        case "trap-saturation":
            rates = worlds.load(name).channels[0].contacts_per_day["unaware"]
            return [
                "",
                "| messages per week | conversion |",
                "|---|---|",
                *(
                    f"| {7 * rates * times:.1f} | {share:.1%} |"
                    for times, share in conversion_by_frequency(trap.n_customers)
                ),
            ]
    return []


def by_order(trap: Measured) -> list[str]:
    lines = ["", "| order of the Markov model | credit of roof_calculator |", "|---|---|"]
    code = trap.journeys.channels.index("roof_calculator")
    credit = {order: attribute(trap.journeys, RemovalEffect(order=order)).share[code] for order in (1, 2, 3, 4)}
    return [*lines, *(f"| {order} | {share:.1%} |" for order, share in credit.items())]


def by_talk(trap: Measured) -> list[str]:
    heads = "conversion | effect of market_stand | its credit by last touch"
    lines = ["", f"| referrals per advocate and day | {heads} |", "|---|---|---|---|"]
    for rate in REFERRALS:
        version = Measured(talking(trap.world, rate), trap.n_customers)
        effect, credit = version.effect("market_stand"), version.share("last_touch", "market_stand")
        lines.append(f"| {rate:g} | {version.conversion:.1%} | {points(effect)} | {credit.value:.1%} |")
    return lines


def points(found: Estimate) -> str:
    return f"{found.value:.1%} ± {found.error:.1%}"
