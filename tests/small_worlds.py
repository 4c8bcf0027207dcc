"""Worlds for tests: one builder with plain defaults, and one world that uses every feature at once."""

from journeysim.spec import (
    Basket,
    Calendar,
    Channel,
    Flight,
    Irritation,
    PainPoint,
    Persona,
    ProductExperience,
    Stage,
    Survey,
    Trigger,
    WordOfMouth,
    World,
)

INSTANT = 1e-9  # days of half-life: a contact acts at once or never


def small_world(moves, *, stages=None, personas=(), **parts):
    """A world from its moves per day by stage.

    `stages` holds what else is said of a stage, by name; a stage named "buy" is a purchase.
    """
    extra = {"buy": {"purchase": True}, **(stages or {})}
    return World(
        name="small",
        stages=[Stage(name=name, moves_per_day=rates, **extra.get(name, {})) for name, rates in moves.items()],
        personas=personas or [Persona(name="anyone", share=1.0)],
        **{"basket": Basket(median=50), **parts},
    )


def rich_world():
    """Every feature at once, with many events for each customer."""
    return small_world(
        {
            "unaware": {"interest": 0.05},
            "interest": {"decision": 0.05, "unaware": 0.05, "lost": 0.02},
            "decision": {"buy": 0.08, "interest": 0.05, "lost": 0.05},
            "buy": {"use": 1.0},
            "use": {"loyal": 0.05, "lost": 0.02},
            "loyal": {"buy": 0.02, "use": 0.01, "lost": 0.01},
        },
        stages={
            "buy": {"purchase": True, "influence": 0.5},
            "use": {"experience": True},
            "loyal": {"pushes_to": "buy", "influence": 1.5},
        },
        channels=[
            Channel(name="ad", contacts_per_day={"unaware": 0.3, "interest": 0.1}, pull=0.1, cost_per_contact=0.02),
            Channel(
                name="search",
                contacts_per_day={"interest": 0.2, "decision": 0.2},
                pull={"interest": 0.3, "decision": 0.2},
                half_life_days=0.5,
                cost_per_contact=0.8,
            ),
            Channel(
                name="email",
                kind="owned",
                contacts_per_day={"loyal": 0.1},
                triggers=[
                    Trigger(entering="decision", chance=0.6, after_days=1),
                    Trigger(entering="decision", chance=0.3, after_days=3),
                    Trigger(entering="use"),
                ],
                pull=0.25,
                half_life_days=2,
                fatigue=0.8,
            ),
        ],
        personas=[
            Persona(name="quick", share=0.3, pace=1.6, patience=0.7, reach={"ad": 0.5}, spending=1.3),
            Persona(name="careful", share=0.7, pain=1.4, appeal={"email": 1.5}, satisfaction=0.6),
        ],
        pain_points=[
            PainPoint(name="hidden costs", stage="decision", chance=0.3, slows=0.6, loses=2, hurts=0.2),
            PainPoint(name="slow checkout", stage="decision", chance=0.2, slows=0.8, loses=1.5),
            PainPoint(name="late parcel", stage="use", chance=0.2, loses=3, hurts=0.3),
        ],
        product_experience=ProductExperience(mean_shift=0.05, sd=0.25),
        satisfaction_effect=1.5,
    )


def full_world(**changes):
    """All rules at once but desks: what `rich_world` has, and word of mouth, calendars, irritation and the rest."""
    rich = rich_world()
    ad, search, email = rich.channels
    channels = [
        ad.model_copy(update={"calendar": Calendar(weekdays={"sat": 1.5, "sun": 0.5}, months={"feb": 0.3})}),
        search.model_copy(
            update={
                "synergy": {"ad": 1.3, "friends": 1.5},
                "irritation": Irritation(tolerated=2, forgotten_days=5, loses=0.05, hurts=0.05),
            }
        ),
        email.model_copy(
            update={
                "irritation": Irritation(tolerated=1, loses=0.1, hurts=0.1),
                "contacts_per_day": {"loyal": 0.3, "lapsed": 0.2},
            }
        ),
        Channel(name="friends", kind="earned", pull=0.4, half_life_days=1, synergy={"email": 0.7}),
        Channel(name="support", kind="owned", contacts_per_day={"use": 0.3}, service=0.1),
        Channel(
            name="campaign",
            contacts_per_day={"interest": 0.3},
            pull=0.1,
            calendar=Calendar(flights=[Flight(from_day=5, until_day=20), Flight(from_day=40, until_day=60, times=2)]),
        ),
    ]
    extra = {
        "interest": {"calendar": Calendar(weekdays={"mon": 2.0}, months={"mar": 0.5})},
        "buy": {"surveys": [Survey(kind="csat", response=0.5)]},
        "use": {"surveys": [Survey(kind="csat", response=0.8), Survey(kind="nps", response=0.4)]},
        "loyal": {
            "advocates": True,
            "surveys": [Survey(kind="nps", response=0.7)],
            "moves_per_day": {"buy": 0.02, "use": 0.01, "lapsed": 0.02, "lost": 0.01},
        },
    }
    stages = [stage.model_copy(update=extra.get(stage.name, {})) for stage in rich.stages]
    lapsed = Stage(name="lapsed", moves_per_day={"loyal": 0.01, "lost": 0.02})
    quick, careful = rich.personas
    personas = [
        quick.model_copy(
            update={
                "talk": 1.5,
                "price_elasticity": 2.0,
                "reach": {"ad": 0.5, "search": {"decision": 2.0}},
                "demographics": {"age": {"18-34": 0.7, "35-54": 0.3}, "device": "phone"},
                "interests": {"sport": 0.5, "cooking": 0.2},
            }
        ),
        careful.model_copy(update={"demographics": {"age": {"35-54": 0.4, "55+": 0.6}}, "interests": {"cooking": 0.9}}),
    ]
    parts = {
        "stages": [*stages, lapsed],
        "channels": channels,
        "personas": personas,
        "pain_points": [*rich.pain_points, PainPoint(name="boredom", stage="loyal", chance=0.3, loses=3)],
        "word_of_mouth": WordOfMouth(channel="friends", referrals_per_day=0.2),
        "market_size": 500,
        "price": 1.1,
    }
    return World.model_validate({**dict(rich), **parts, **changes})
