from importlib.resources import files

import polars as pl
import pytest

from journeysim.errors import InputError
from journeysim.event_map import EventMap, events_from_frame, read_events
from journeysim.journeys import to_journeys
from journeysim.stage_history import to_stage_history

DATASETS = files("journeysim") / "datasets"
MAP = """
columns: {customer: user, time: at, event: what, channel: source, visit: session, value: paid, segments: [city]}
stages:
  look: [home, product]
  cart: [add]
  purchase: [pay, invoice]
purchase: purchase
pain_points:
  hidden costs: [fee]
ignore: [chat]
lost_after_days: 3
currency: EUR
"""
CSV = """user,at,what,source,session,paid,city
u2,2026-01-01 09:00,home,ads,s9,,Rome
u1,2026-01-01 10:00,home,mail,s1,,
u1,2026-01-01 10:01,product,mail,s1,,Oslo
u1,2026-01-01 10:02,chat,mail,s1,,Rome
u1,2026-01-02 10:00,add,ads,s2,99,Rome
u1,2026-01-02 10:01,fee,ads,s2,,Rome
u1,2026-01-02 10:02,pay,ads,s2,20.5,Rome
u1,2026-01-02 10:03,invoice,ads,s2,,Rome
u1,2026-01-02 10:04,home, ,s2,,Rome
u3,2026-01-06 10:00,home,,s3,,
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(csv=CSV, event_map=MAP):
        (tmp_path / "shop.csv").write_text(csv)
        return read_events(tmp_path / "shop.csv", EventMap.from_yaml(event_map))

    return write_and_read


def told(log):
    """Each event as customer, minute of its hour, kind and what."""
    what = pl.coalesce(pl.col("channel", "pain_point", "stage").cast(pl.String))
    rows = log.to_polars().select("customer", pl.col("time").dt.minute(), pl.col("kind").cast(pl.String), what, "value")
    return rows.rows()


def test_a_log_by_hand(read):
    log = read()
    assert told(log) == [
        ("u1", 0, "touch", "mail", None),
        ("u1", 0, "stage", "look", None),
        ("u1", 0, "touch", "ads", None),
        ("u1", 0, "stage", "cart", None),
        ("u1", 1, "pain", "hidden costs", None),
        ("u1", 2, "stage", "purchase", None),
        ("u1", 2, "purchase", "purchase", 20.5),
        ("u1", 3, "purchase", "purchase", None),
        ("u1", 4, "stage", "look", None),
        ("u1", 4, "lost", "lost", None),
        ("u2", 0, "touch", "ads", None),
        ("u2", 0, "stage", "look", None),
        ("u2", 0, "lost", "lost", None),
        ("u3", 0, "stage", "look", None),
    ]
    lost = log.to_polars().filter(kind="lost")["time"].dt.strftime("%F %T").to_list()
    assert lost == ["2026-01-02 10:04:01", "2026-01-01 09:00:01"]  # a second after the last event
    assert log.customers.to_pydict() == {"customer": ["u1", "u2", "u3"], "city": ["Oslo", "Rome", None]}
    assert (log.stages, log.purchase_stages, log.currency) == (("look", "cart", "purchase"), ("purchase",), "EUR")
    assert (str(log.start), str(log.end)) == ("2026-01-01 09:00:00+00:00", "2026-01-06 10:00:00+00:00")


def test_a_pain_point_is_met_in_the_stage_that_the_customer_is_in(read):
    pain = read().to_polars().filter(pl.col("pain_point").is_not_null())
    assert pain["stage"].to_list() == ["cart"]


def test_a_pain_point_before_any_stage_is_met_in_no_stage(read):
    log = read("user,at,what,source,session,paid,city\nu1,2026-01-01,add,,,,\nu2,2026-01-01,fee,,,,\n")
    assert log.to_polars().select("kind", "stage").rows() == [("stage", "cart"), ("pain", None)]


def test_a_customer_silent_for_exactly_the_limit_is_not_yet_lost(read):
    silent = "user,at,what\nu1,2026-01-01,home\nu2,2026-01-01 00:00:01,home\nu3,2026-01-04 00:00:01,home\n"
    short = MAP.replace(", channel: source, visit: session, value: paid, segments: [city]", "")
    assert [row[:3] for row in told(read(silent, short)) if row[2] == "lost"] == [("u1", 0, "lost")]


def test_contacts_without_a_visit_are_contacts_of_their_own(read):
    csv = "user,at,what,source,session,paid,city\n" + "".join(
        f"u1,2026-01-0{day},home,ads,{visit},,\n" for day, visit in enumerate(["", "s1", "", "s1", " "], 1)
    )
    assert [row[2] for row in told(read(csv))] == ["touch", "stage", "touch", "touch", "touch"]


def test_without_visits_every_event_with_a_channel_is_a_touch(read):
    log = read(event_map=MAP.replace(" visit: session,", ""))
    assert sum(row[2] == "touch" for row in told(log)) == 7


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ignore:", "ignored:", r"map line 10, ignored: unknown key; did you mean 'ignore'\?"),
        ("visit:", "visits:", r"map line 2, columns.visits: unknown key; did you mean 'visit'\?"),
        ("[add]", "[add, home]", r"line 4, stages.look.0: this event stands in 2 places of the map; keep one .*'home'"),
        ("[chat]", "[chat, chat]", r"line 10, ignore.1: this event stands in 2 places .*'chat'"),
        ("purchase: purchase", "purchase: purchas", r"line 7, purchase: no such stage; did you mean 'purchase'\?"),
        ("  cart:", "  lost:", r"line 5, stages.lost: this name has a meaning of its own"),
        ("[city]", "[time]", r"line 2, columns.segments.*the log has a column of this name itself"),
        ("lost_after_days: 3", "lost_after_days: 0", r"line 11, lost_after_days: must be greater than 0"),
        ("lost_after_days: 3", "", "lost_after_days: this key is required; add it"),
        ("EUR", "euro", "line 12, currency"),
    ],
)
def test_a_wrong_map_is_refused_with_line_and_fix(old, new, message):
    assert MAP.count(old) == 1
    with pytest.raises(InputError, match=message):
        EventMap.from_yaml(MAP.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "10:03,invoice",
            "10:03,invoic",
            r"shop.csv line 9: event 'invoic' is not in the map .did you mean 'invoice'\?.*'invoic' \(1 times\)\. Put",
        ),
        ("what", "event", r"there is no column 'what'.*Name the right one under `columns` in the map"),
        (",paid,", ",price,", "there is no column 'paid'"),
        ("u3,", " ,", r"line 11: user is blank. Fill it in or drop the row"),
        ("20.5", "20,5", r"line 8: 8 fields where the header has 7"),
        ("20.5", "20.5€", r"line 8: column 'paid' is '20.5€', not a number"),
        ("2026-01-02 10:01", "yesterday", "line 7: at is 'yesterday', which is no time"),
        ("10:03,invoice", "10:03,", r"line 9: event None is not in the map"),
    ],
)
def test_a_wrong_log_is_refused_with_line_and_fix(read, old, new, message):
    with pytest.raises(InputError, match=message):
        read(CSV.replace(old, new))


def test_unknown_events_are_counted_and_only_the_most_frequent_listed(read):
    csv = "user,at,what,source,session,paid,city\n" + "".join(
        f"u1,2026-01-01,e{event},,,,\n" for event in range(10) for _ in range(10 - event)
    )
    with pytest.raises(InputError, match=r"'e0' \(10 times\), 'e1' \(9 times\).*'e7' \(3 times\) and 2 more"):
        read(csv)


def test_a_log_of_ignored_events_is_refused(read):
    with pytest.raises(InputError, match="no event is left that the map does not ignore"):
        read("user,at,what,source,session,paid,city\nu1,2026-01-01,chat,,,,\n")


def test_frames_with_integers_and_datetimes_are_read_like_text():
    frame = pl.DataFrame({"user": [10, 9], "at": ["2026-01-01", "2026-01-02"], "what": ["home", "add"]})
    short = EventMap.from_yaml(MAP.replace(", channel: source, visit: session, value: paid, segments: [city]", ""))
    log = events_from_frame(frame, short)
    assert log.customers["customer"].to_pylist() == [9, 10]
    typed = frame.with_columns(pl.col("at").str.to_datetime(), pl.col("what").cast(pl.Categorical))
    assert events_from_frame(typed, short).equals(log)
    assert events_from_frame(frame.cast({"user": pl.String}), short).equals(log)


@pytest.fixture(scope="module")
def shop():
    return read_events(
        DATASETS / "retentioneering_ecom.csv.gz", EventMap.from_yaml(DATASETS / "retentioneering_ecom.yaml")
    )


def test_the_packaged_shop_has_the_figures_that_its_file_has(shop):
    raw = pl.read_csv(DATASETS / "retentioneering_ecom.csv.gz")
    assert (len(raw), raw["user_id"].n_unique(), raw["session_id"].n_unique()) == (31_106, 600, 3_605)
    kinds, who = shop.to_polars()["kind"].cast(pl.String), shop.to_polars()["customer"]
    assert shop.n_customers == 600
    assert (kinds == "purchase").sum() == raw.filter(pl.col("event") == "purchase").height == 470
    assert who.filter(kinds == "purchase").n_unique() == 328
    assert (kinds == "touch").sum() == 3_605
    journeys = to_journeys(shop)
    assert journeys.n_conversions + journeys.untouched_conversions == 328
    assert to_stage_history(shop, by="user_cohort").counts.sum() > 0


def test_the_packaged_visits_are_journeys_of_their_own(shop):
    visits = read_events(
        DATASETS / "retentioneering_ecom.csv.gz", EventMap.from_yaml(DATASETS / "retentioneering_ecom_visits.yaml")
    )
    kinds = visits.to_polars()["kind"].cast(pl.String)
    assert visits.n_customers == (kinds == "touch").sum() == 3_605
    assert (kinds == "purchase").sum() == 470
    assert to_stage_history(visits, by="platform").counts.sum() > 0
