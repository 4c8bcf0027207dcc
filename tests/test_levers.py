"""Each lever does what it says: in the world that comes out, and in one consequence that is known exactly."""

import math

import numpy as np
import polars as pl
import pytest
from log_tables import table
from small_worlds import INSTANT, full_world, rich_world, small_world
from statistical import assert_proportion, assert_student

from journeysim import scenario as s
from journeysim.errors import InputError
from journeysim.scenario import Scenario
from journeysim.simulation import simulate
from journeysim.spec import Calendar, Channel, Desk, PainPoint, Persona, Shift, WordOfMouth, World

RICH, FULL = rich_world(), full_world()
RUN = {"n_customers": 2000, "horizon_days": 60, "seed": 4}
STAYING = {"home": {"buy": 1e-12}, "buy": {}}


def both(scenario, world=RICH, **how):
    """Logs of the world without and with the scenario."""
    return [table(simulate(version, **RUN | how)) for version in (world, scenario.apply(world))]


def part(world, field, name):
    return next(one for one in getattr(world, field) if one.name == name)


def others_are_the_same(scenario, world, field, name):
    """The part before and after; all else must be as it was."""
    changed = scenario.apply(world)
    before, after = part(world, field, name), part(changed, field, name)
    rest = tuple(before if one.name == name else one for one in getattr(changed, field))
    assert World.model_validate({**dict(changed), field: rest}) == world
    return before, after


# --- pain points ----------------------------------------------------------------------------------------------------


def test_a_fixed_pain_point_is_never_met_and_those_who_never_met_it_are_untouched():
    fix = s.fix_pain_point("hidden costs")
    _, after = others_are_the_same(fix, RICH, "pain_points", "hidden costs")
    assert after.chance == 0
    old, new = both(fix)
    met = old.filter(pl.col("pain_point") == "hidden costs")["customer"].unique()
    assert 100 < len(met) < RUN["n_customers"]
    assert "hidden costs" not in new["pain_point"].to_list()
    spared = ~pl.col("customer").is_in(met.implode())
    assert old.filter(spared).equals(new.filter(spared))


def test_half_the_chance_is_met_by_half_of_those_who_met_it():
    world = small_world(
        {"home": {"buy": 1.0}, "buy": {}}, pain_points=[PainPoint(name="queue", stage="home", chance=0.6)]
    )
    old, new = (log.filter(kind="pain") for log in both(s.change_pain_point("queue", chance_times=0.5), world))
    assert set(new["customer"]) < set(old["customer"])
    assert_proportion(new.height, RUN["n_customers"], 0.3)
    with pytest.raises(AssertionError):
        assert_proportion(old.height, RUN["n_customers"], 0.3)


def test_a_worse_pain_point_slows_by_the_new_factor():
    world = small_world(
        {"home": {"buy": 0.1}, "buy": {}}, pain_points=[PainPoint(name="queue", stage="home", chance=1)]
    )
    worse = s.change_pain_point("queue", slows=0.5, loses=3, hurts=0.2)
    before, after = others_are_the_same(worse, world, "pain_points", "queue")
    assert after == before.model_copy(update={"slows": 0.5, "loses": 3, "hurts": 0.2})
    logs = both(worse, world, horizon_days=10)
    for log, p in zip(logs, (1 - math.exp(-1), 1 - math.exp(-0.5)), strict=True):
        assert_proportion(log.filter(kind="purchase").height, RUN["n_customers"], p)


# --- channels: how often --------------------------------------------------------------------------------------------


def test_half_the_volume_thins_the_contacts_of_that_channel_only():
    """Poisson thinning: every contact stays with probability 1/2, triggered ones too, and nothing else changes."""
    quiet = [c.model_copy(update={"pull": 0.0, "irritation": None}) for c in RICH.channels]
    world = RICH.model_copy(update={"channels": tuple(quiet)})
    scenario = s.scale_channel("email", volume_times=0.5)
    assert others_are_the_same(scenario, world, "channels", "email")[1].volume == 0.5
    old, new = both(scenario, world)
    is_email = (pl.col("channel") == "email").fill_null(value=False)
    assert old.filter(~is_email).equals(new.filter(~is_email))
    kept = new.filter(is_email).join(old.filter(is_email), on=["customer", "time"], how="semi")
    assert kept.height == new.filter(is_email).height
    n = old.filter(is_email).height
    assert_proportion(kept.height, n, 0.5)
    with pytest.raises(AssertionError):
        assert_proportion(kept.height, n, 0.6)


def test_where_moves_are_the_same_every_contact_after_was_there_before():
    old, new = both(s.scale_channel("ad", volume_times=0.3))
    way = [log.filter(kind="stage").group_by("customer").agg("time", "stage") for log in (old, new)]
    same = way[0].join(way[1].rename({"time": "t", "stage": "s"}), on="customer")
    unmoved = same.filter((pl.col("time") == pl.col("t")) & (pl.col("stage") == pl.col("s")))["customer"]
    assert 100 < len(unmoved) < RUN["n_customers"]
    keys = ["customer", "time", "channel"]
    touches = [log.filter(pl.col("kind") == "touch", pl.col("customer").is_in(unmoved.implode())) for log in (old, new)]
    assert touches[1].join(touches[0], on=keys, how="anti").is_empty()
    assert touches[1].height < touches[0].height


def test_volumes_multiply():
    twice = s.scale_channel("ad", volume_times=0.5) + s.scale_channel("ad", volume_times=3)
    assert part(twice.apply(RICH), "channels", "ad").volume == 1.5


def test_a_dropped_channel_is_the_world_without_it_and_can_be_taken_back():
    dropped = s.drop_channel("ad").apply(RICH)
    assert dropped == RICH.without("ad")
    assert Scenario(name="back", changes=[{"channel": "ad", "active": True}]).apply(dropped) == RICH


# --- channels: to whom ----------------------------------------------------------------------------------------------


def test_silence_in_a_stage_is_the_world_without_the_channel_there():
    scenario = s.retarget("search", silence_in=["decision"])
    assert scenario.apply(RICH) == RICH.without("search", stages=["decision"])
    both_stages = scenario + s.retarget("search", silence_in=["interest", "decision"])
    assert part(both_stages.apply(RICH), "channels", "search").silent_in == ("decision", "interest")


def two_channels(**parts):
    channels = [Channel(name=name, contacts_per_day={"home": 0.2}, half_life_days=INSTANT) for name in ("ad", "other")]
    return small_world(STAYING, channels=channels, **parts)


def share_of_ads(log):
    touches = log.filter(kind="touch")
    return touches.filter(channel="ad").height, touches.height


def test_new_rates_give_contacts_in_their_proportion():
    """Superposed Poisson processes: each contact is on a channel with probability rate / total rate."""
    old, new = both(s.retarget("ad", contacts_per_day={"home": 0.6}), two_channels())
    assert_proportion(*share_of_ads(old), 0.5)
    assert_proportion(*share_of_ads(new), 0.75)


def test_a_rate_in_a_stage_ends_the_silence_there():
    silent = s.retarget("search", silence_in=["decision", "interest"])
    again = s.retarget("search", contacts_per_day={"decision": 0.7})
    search = part((silent + again).apply(RICH), "channels", "search")
    assert search.silent_in == ("interest",)
    assert dict(search.contacts_per_day) == {"interest": 0.2, "decision": 0.7}
    still = s.retarget("search", contacts_per_day={"decision": 0})
    assert part((silent + still).apply(RICH), "channels", "search").silent_in == ("decision", "interest")


def test_reach_is_of_one_persona():
    personas = [Persona(name="young", share=0.5), Persona(name="old", share=0.5)]
    scenario = s.retarget("ad", reach={"young": {"home": 3}})
    before, after = others_are_the_same(scenario, two_channels(personas=personas), "personas", "young")
    assert (dict(before.reach), dict(after.reach)) == ({}, {"ad": {"home": 3}})
    _, new = both(scenario, two_channels(personas=personas))
    assert_proportion(*share_of_ads(new.filter(persona="young")), 0.75)
    assert_proportion(*share_of_ads(new.filter(persona="old")), 0.5)


def test_a_reach_by_stage_leaves_the_other_stages_as_they_were():
    of = s.retarget("ad", reach={"quick": {"interest": 3}}).apply(RICH).personas[0]
    assert [of.reach_of("ad", stage) for stage in RICH.stage_names] == [0.5, 3, 0.5, 0.5, 0.5, 0.5]
    again = s.retarget("ad", reach={"quick": {"unaware": 2}}) + s.retarget("ad", reach={"quick": {"interest": 3}})
    both_set = again.apply(RICH).personas[0]
    assert [both_set.reach_of("ad", stage) for stage in RICH.stage_names[:3]] == [2, 3, 0.5]


# --- channels: when, what and for how much --------------------------------------------------------------------------


def test_a_new_calendar_leaves_out_days_and_nothing_else():
    scenario = s.reschedule("ad", {"weekdays": {"sat": 0, "sun": 0}})
    _, after = others_are_the_same(scenario, two_channels(), "channels", "ad")
    assert after.calendar == Calendar(weekdays={"sat": 0, "sun": 0})
    old, new = both(scenario, two_channels())
    weekend = (pl.col("channel") == "ad").fill_null(value=False) & (pl.col("time").dt.weekday() >= 6)
    assert old.filter(weekend).height > 100
    assert new.equals(old.filter(~weekend))


def test_pull_is_the_share_that_a_contact_moves():
    world = small_world(
        {"home": {"buy": 1e-12}, "buy": {}},
        channels=[Channel(name="ad", contacts_per_day={"home": 0.3}, pull={"home": 0.2}, half_life_days=INSTANT)],
    )
    scenario = s.change_pull("ad", times=1.5)
    assert others_are_the_same(scenario, world, "channels", "ad")[1].pull == {"home": pytest.approx(0.3)}
    for log, p in zip(both(scenario, world), (0.2, 0.3), strict=True):
        first = log.filter(kind="touch").group_by("customer").agg(pl.col("time").min())
        bought = log.filter(kind="purchase").select("customer", bought="time")
        at_once = first.join(bought, on="customer").filter(pl.col("bought") - pl.col("time") < pl.duration(seconds=1))
        assert_proportion(at_once.height, first.height, p)


def test_pull_may_be_set_by_stage_or_as_a_whole():
    search = {"interest": 0.3, "decision": 0.2}
    by_stage = s.change_pull("search", pull={"decision": 0.5, "unaware": 0.1}).apply(RICH)
    assert part(by_stage, "channels", "search").pull == search | {"decision": 0.5, "unaware": 0.1}
    assert part(s.change_pull("search", pull=0.4).apply(RICH), "channels", "search").pull == 0.4
    one_stage = s.change_pull("ad", pull={"unaware": 0.4}).apply(RICH)
    ad = part(one_stage, "channels", "ad")
    assert [ad.pull_in(stage) for stage in RICH.stage_names] == [0.4, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert part(s.change_pull("ad", times=0.5).apply(RICH), "channels", "ad").pull == 0.05


def test_cost_changes_the_bill_alone():
    old, new = both(s.change_cost("search", times=0.9))
    assert new.drop("cost").equals(old.drop("cost"))
    assert new.filter(channel="search")["cost"].unique().to_list() == [pytest.approx(0.72)]
    assert new.filter(channel="ad")["cost"].unique().to_list() == [0.02]
    set_to = s.change_cost("email", cost_per_contact=0.3).apply(RICH)
    assert part(set_to, "channels", "email").cost_per_contact == 0.3


# --- desks ----------------------------------------------------------------------------------------------------------

PHONE = Channel(name="phone", contacts_per_day={"home": 4.0}, desk=Desk(staff=1, service_minutes=30))


def test_a_desk_with_staff_for_everybody_lets_nobody_wait():
    world = small_world(STAYING, channels=[PHONE], market_size=10)
    scenario = s.staff_desk("phone", staff=10)
    _, after = others_are_the_same(scenario, world, "channels", "phone")
    assert after.desk == Desk(staff=10, service_minutes=30)
    waited = [
        log.filter(kind="touch")["value"].drop_nulls() for log in both(scenario, world, n_customers=30, horizon_days=5)
    ]
    assert (waited[0] > 0).mean() > 0.2
    assert len(waited[1]) > 100
    assert (waited[1] == 0).all()


def test_a_desk_is_changed_field_by_field_and_may_be_opened():
    world = small_world(STAYING, channels=[PHONE, Channel(name="chat", contacts_per_day={"home": 1})])
    shift = {"from_hour": 8, "until_hour": 18, "staff": 3}
    changed = s.staff_desk("phone", shifts=[shift], patience_minutes=5, loses=0.1).apply(world)
    wanted = Desk(staff=1, service_minutes=30, patience_minutes=5, loses=0.1, shifts=[Shift(**shift)])
    assert part(changed, "channels", "phone").desk == wanted
    opened = s.staff_desk("chat", staff=2, service_minutes=8) + s.staff_desk("chat", staff=3)
    assert part(opened.apply(world), "channels", "chat").desk == Desk(staff=3, service_minutes=8)


# --- people, price, talk --------------------------------------------------------------------------------------------


def test_a_new_mix_has_the_shares_that_are_named_and_scales_the_others():
    personas = [Persona(name=name, share=share) for name, share in (("a", 0.5), ("b", 0.3), ("c", 0.2))]
    world = small_world(STAYING, personas=personas)
    shares = {p.name: p.share for p in s.change_mix({"b": 0.6}).apply(world).personas}
    assert shares == pytest.approx({"a": 0.4 * 5 / 7, "b": 0.6, "c": 0.4 * 2 / 7})
    all_named = s.change_mix({"c": 0.1, "a": 0.7, "b": 0.2}).apply(world)
    assert [p.share for p in all_named.personas] == [0.7, 0.2, 0.1]


def test_who_stays_the_same_persona_lives_the_same_life():
    old, new = both(s.change_mix({"quick": 0.6}))
    who = [log.group_by("customer").agg(pl.col("persona").first()).sort("customer") for log in (old, new)]
    assert_proportion((who[1]["persona"] == "quick").sum(), RUN["n_customers"], 0.6)
    same = who[0].filter(who[0]["persona"] == who[1]["persona"])["customer"]
    assert len(same) > 1000
    spared = pl.col("customer").is_in(same.implode())
    assert old.filter(spared).equals(new.filter(spared))


def test_a_price_that_nobody_minds_only_multiplies_baskets():
    indifferent = [p.model_copy(update={"price_elasticity": 0.0}) for p in RICH.personas]
    world = RICH.model_copy(update={"personas": tuple(indifferent)})
    old, new = both(s.change_price(times=1.1), world)
    assert new.drop("value").equals(old.drop("value"))
    values = [log.filter(kind="purchase")["value"].to_numpy() for log in (old, new)]
    np.testing.assert_allclose(values[1], 1.1 * values[0])


def test_a_price_that_people_mind_slows_purchases_by_its_power():
    world = small_world(
        {"home": {"buy": 0.1}, "buy": {}}, personas=[Persona(name="thrifty", share=1, price_elasticity=2)]
    )
    scenario = s.change_price(times=0.5) + s.change_price(times=1.6)
    assert scenario.apply(world).price == pytest.approx(0.8)
    _, new = both(scenario, world, horizon_days=10)
    assert_proportion(new.filter(kind="purchase").height, RUN["n_customers"], 1 - math.exp(-(0.8**-2)))


def talkers():
    return small_world(
        STAYING,
        stages={"home": {"advocates": True}, "buy": {"purchase": True}},
        channels=[Channel(name="friends")],
        word_of_mouth=WordOfMouth(channel="friends", referrals_per_day=0.05, delay_days=1),
        market_size=100,
    )


def test_advocates_talk_more_often_by_the_factor():
    """Referrals of an advocate are a Poisson process: 0.1 a day for 60 days are 6 on average."""
    old, new = both(s.change_word_of_mouth(referrals_per_day_times=2), talkers())
    counts = [
        np.bincount(log.filter(kind="referral")["customer"].to_numpy(), minlength=RUN["n_customers"])
        for log in (old, new)
    ]
    assert_student(counts[0], 3.0)
    assert_student(counts[1], 6.0)
    with pytest.raises(AssertionError):
        assert_student(counts[1], 5.5)


def test_talk_is_heard_after_the_new_delay():
    old, new = both(s.change_word_of_mouth(delay_days=3), talkers())
    assert new.filter(kind="referral").equals(old.filter(kind="referral"))  # nobody moves, so they tell the same
    for log, delay in ((old, 1), (new, 3)):
        told = log.filter(kind="referral")["time"].sort().dt.offset_by(f"{delay}d")
        heard = log.filter(kind="touch")["time"].sort()
        told = told.head(len(heard))  # the last ones are heard after the end
        assert len(heard) > 1000
        assert (heard - told).abs().max().total_seconds() < 1e-5  # both are rounded to microseconds


def test_nobody_talks_where_talk_is_silenced():
    quiet = Scenario(name="hush", changes=[{"word_of_mouth": {"referrals_per_day_times": 0}}])
    old, new = both(quiet, FULL)
    assert "referral" in old["kind"].to_list()
    assert not {"referral"} & {*new["kind"]}
    assert "friends" not in new["channel"].to_list()


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        (s.fix_pain_point("hidden cost"), r"changes pain point 'hidden cost', .*did you mean 'hidden costs'\?"),
        (s.fix_pain_point("delayed answers"), r"hanging up at the desk 'support'; change that desk"),
        (s.drop_channel("emial"), r"changes channel 'emial', which is unknown \(did you mean 'email'\?\)"),
        (s.retarget("ad", silence_in=["intrest"]), r"changes stage 'intrest', .*did you mean 'interest'\?"),
        (s.retarget("ad", contacts_per_day={"intrest": 1}), r"changes stage 'intrest'"),
        (s.retarget("ad", reach={"quik": 2}), r"changes persona 'quik', .*did you mean 'quick'\?"),
        (s.retarget("ad", reach={"quick": {"intrest": 2}}), r"changes stage 'intrest'"),
        (s.change_pull("ad", pull={"intrest": 0.2}), r"changes stage 'intrest'"),
        (s.staff_desk("suport", staff=2), r"changes desk 'suport', .*did you mean 'support'\?"),
        (s.staff_desk("ad", staff=2), r"that channel has no desk \(desks: support\); to open one, give both staff and"),
        (s.change_mix({"quik": 0.5}), r"changes persona 'quik'"),
        (s.change_mix({"quick": 1}), r"gives 1 of the population to some personas, which leaves nothing for careful"),
        (s.change_mix({"quick": 0.5, "careful": 0.6}), r"shares of all personas to a sum of 1.1; it must be 1"),
        (s.scale_channel("friends", volume_times=2), r"whose contacts are referrals.*use word_of_mouth"),
        (s.reschedule("friends", {"weekdays": {"mon": 0}}), r"has no contacts_per_day; a calendar does not move"),
        (
            s.retarget("ad", silence_in=["interest"], contacts_per_day={"interest": 1}),
            r"to make contacts in 'interest' and to be silent there; choose one",
        ),
        (s.change_pain_point("boredom", chance_times=4), r"takes pain point 'boredom' out of bounds: chance: .* 1\.2"),
        (
            s.change_pull("search", times=4),
            r"takes channel 'search' out of bounds: pull\.interest: must be less than 1",
        ),
        (
            s.change_pull("email", times=3),
            r"cannot be by changing channel 'email': personas\.1\.appeal\.email: the app",
        ),
        (s.combine(*[s.change_price(times=99)] * 2), r"cannot be by changing the price: price: must be less than or"),
        (
            s.combine(*[s.change_word_of_mouth(referrals_per_day_times=100)] * 4),
            r"word of mouth out of bounds: referrals",
        ),
        (
            s.reschedule("ad", {"flights": [{"from_day": 9, "until_day": 3}]}),
            r"cannot be by changing channel 'ad': channels\.0\.calendar\.flights\.0\.until_day: a flight ends after",
        ),
        (s.staff_desk("friends", staff=1, service_minutes=2), r"friends need no staff"),
    ],
)
def test_what_a_world_cannot_do_is_refused(scenario, message):
    channels = [
        c.model_copy(update={"desk": Desk(staff=1, service_minutes=9)}) if c.name == "support" else c
        for c in FULL.channels
    ]
    with pytest.raises(InputError, match=rf"^Scenario '.*{message}"):
        scenario.apply(FULL.model_copy(update={"channels": tuple(channels)}))


def test_a_world_without_talk_has_no_word_of_mouth_to_change():
    with pytest.raises(InputError, match="changes the word of mouth, but world 'small' has none"):
        s.change_word_of_mouth(delay_days=2).apply(RICH)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: s.scale_channel("ad", volume_times=-1),
            r"volume_times: must be greater than or equal to 0 \(found -1\)",
        ),
        (lambda: s.change_pull("ad"), "channel 'ad' stays as it is; give one of"),
        (lambda: s.change_pull("ad", times=2, pull=0.1), "give pull or pull_times, not both"),
        (lambda: s.change_pull("ad", pull={"x": 1.0}), r"pull\.x: must be less than 1"),
        (lambda: s.retarget("ad"), "stays as it is"),
        (lambda: s.reschedule("ad", {"weekday": {}}), r"calendar\.weekday: unknown key; did you mean 'weekdays'"),
        (lambda: s.staff_desk("phone", staff=1.5), r"staff: must be a valid integer"),
        (lambda: s.staff_desk("phone", shifts=[{"from_hour": 1}]), r"shifts\.0\.until_hour: this key is required"),
        (lambda: s.change_mix({"a": 0}), r"personas\.a: must be greater than 0"),
        (lambda: s.change_price(times=0), r"price_times: must be greater than 0"),
        (lambda: s.change_word_of_mouth(), "the word of mouth stays as it is; give one of referrals_per_day_times"),
        (lambda: s.change_word_of_mouth(delay_days=0), r"word_of_mouth\.delay_days: must be greater than or equal to"),
        (lambda: s.drop_channel("ad", name="n" * 201), r"name: must have at most 200 char"),
        (lambda: s.combine(), "no scenario is given"),
        (
            lambda: s.combine(*[s.drop_channel("a" * 70)] * 3),
            r"the name 'drop a.*' has 231 characters; pass name= with at most 200",
        ),
    ],
)
def test_a_wrong_call_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
