"""Customers of the influence model, one event after the other in plain Python, and small worlds with known influence.

Nothing is shared with the package: hazards are summed contact by contact, and moves drawn by thinning.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from journeysim import EventLog, World

START = datetime(2026, 1, 1, tzinfo=UTC)
STAGES = ("looking", "choosing", "bought")
MOVES = (
    ("looking", "choosing"),
    ("looking", "lost"),
    ("choosing", "looking"),
    ("choosing", "bought"),
    ("choosing", "lost"),
)
PUSHED = {"looking": 0, "choosing": 3}
CHANNELS = ("mail", "shop")


@dataclass(frozen=True)
class Truth:
    """Parameters of two segments, two channels, two pushed stages."""

    hazards: np.ndarray  # (2, 5)
    pull: np.ndarray  # (2, 2) channel, stage
    half_life: np.ndarray  # (2,)
    fatigue: np.ndarray  # (2,)
    appeal: np.ndarray  # (2, 2) segment, channel


def strength(product):
    """The influence of a contact, see `BENDS_AT`."""
    return -math.log(1 - product) if product < 0.9 else -math.log(0.1) + (product - 0.9) / 0.1


def simulate_log(truth, *, n_customers, horizon_days, contacts_per_day, rng):
    """An EventLog of customers of the model; half of them in each segment."""
    rows = []
    for customer in range(n_customers):
        g, stage, t = customer % 2, "looking", 0.0
        seen = [0, 0]
        while True:
            rows.append((customer, t, "stage", None, stage))
            if stage == "bought":
                rows.append((customer, t, "purchase", None, stage))
            t_contact = t
            plain = [m for m, (origin, _) in enumerate(MOVES) if origin == stage]
            waits = rng.exponential(size=len(plain)) / truth.hazards[g, plain] if plain else np.array([math.inf])
            until, move = t + waits.min(), plain[waits.argmin()] if plain else None
            while stage in PUSHED:
                t_contact += rng.exponential() / contacts_per_day
                if t_contact >= min(until, horizon_days):
                    break
                c = int(rng.integers(2))
                rows.append((customer, t_contact, "touch", CHANNELS[c], stage))
                product = truth.pull[c, [*PUSHED].index(stage)] * truth.appeal[g, c] * truth.fatigue[c] ** seen[c]
                seen[c] += 1
                # thinning: a constant bound on the fading hazard, day by half-life, as long as it matters
                a, d = strength(product), math.log(2) / truth.half_life[c]
                at = t_contact
                while True:
                    bound = a * d * math.exp(-d * (at - t_contact))
                    step = rng.exponential() / bound if bound > 0 else math.inf
                    if step > truth.half_life[c]:
                        at += truth.half_life[c]
                        if at > min(until, horizon_days):
                            break
                        continue
                    at += step
                    if at >= until or rng.uniform() < math.exp(-d * (at - t_contact)) * a * d / bound:
                        break
                if at < until:
                    until, move = at, PUSHED[stage]
            if until >= horizon_days:
                break
            t, stage = until, MOVES[move][1]
            if stage == "lost":
                rows.append((customer, t, "lost", None, None))
                break
    who, when, kind, channel, in_stage = zip(*rows, strict=True)
    customers = range(n_customers)
    return EventLog.from_frame(
        pl.DataFrame(
            {
                "customer": list(who),
                "time": [START + timedelta(days=day) for day in when],
                "kind": list(kind),
                "channel": list(channel),
                "stage": list(in_stage),
            }
        ),
        customers=pl.DataFrame({"customer": list(customers), "segment": ["ab"[i % 2] for i in customers]}),
        start=START,
        end=START + timedelta(days=horizon_days),
        stages=STAGES,
        purchase_stages=("bought",),
    )


def known_world(**changes):
    """A world within the model: pulls by stage, fatigue, appeal, and a channel that only accompanies."""
    fields = {
        "name": "known",
        "stages": [
            {"name": "looking", "moves_per_day": {"choosing": 0.03, "lost": 0.02}},
            {"name": "choosing", "moves_per_day": {"bought": 0.05, "looking": 0.03, "lost": 0.04}},
            {"name": "bought", "purchase": True},
        ],
        "channels": [
            {
                "name": "mail",
                "contacts_per_day": {"looking": 0.2, "choosing": 0.15},
                "pull": {"looking": 0.08, "choosing": 0.12},
                "half_life_days": 2,
                "fatigue": 0.9,
            },
            {
                "name": "shop",
                "contacts_per_day": {"looking": 0.05, "choosing": 0.1},
                "pull": {"looking": 0.2, "choosing": 0.35},
                "half_life_days": 1,
            },
            {
                "name": "companion",
                "contacts_per_day": {"looking": 0.05, "choosing": 0.5},
                "pull": 0,
                "half_life_days": 2,
            },
        ],
        "personas": [
            {"name": "keen", "share": 0.5, "pace": 1.3, "appeal": {"shop": 1.6}},
            {"name": "slow", "share": 0.5},
        ],
        "basket": {"median": 100},
    }
    return World.model_validate({**fields, **changes})
