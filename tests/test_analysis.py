"""The analysis of real logs through the command line: the public shop log, and logs with little in them."""

from dataclasses import replace
from importlib.resources import files

import polars as pl
import pytest
from pages import Page, assert_self_contained
from test_cli import EVENTS, MAP, NAMES_OF_ALL_KINDS
from typer.testing import CliRunner

from journeysim.bayes import Posterior
from journeysim.cli import app
from journeysim.forecasts import forecast
from journeysim.scenario import improve_stage
from journeysim.sections import forecast_sentences

DATASETS = files("journeysim") / "datasets"
SHOP = DATASETS / "retentioneering_ecom.csv.gz"


def analyze(events, map_file, out, *options):
    arguments = ["analyze", str(events), "--map", str(map_file), "--out", str(out), *map(str, options)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """(folder, what was printed)"""
    out = tmp_path_factory.mktemp("shop") / "out"
    return out, analyze(SHOP, DATASETS / "retentioneering_ecom.yaml", out)


def test_what_if_checkout_lost_a_third_fewer_customers(shop):
    out, printed = shop
    answers = pl.read_csv(out / "forecast.csv").filter(pl.col("scenario") == "checkout loses a third fewer customers")
    conversion = answers.row(0, named=True)
    assert (conversion["measure"], conversion["days"]) == ("conversion", 90)
    assert 0 < conversion["low"] < conversion["difference"] < conversion["high"] < 0.02
    assert conversion["forecast"] - conversion["baseline"] == pytest.approx(conversion["difference"])
    interval = f"{100 * conversion['low']:+.2f} to {100 * conversion['high']:+.2f}"
    assert interval in printed
    assert any("Checkout loses a third" in p and interval in p for p in Page.read(out / "report.html").paragraphs)


def test_it_leaves_exactly_what_is_documented(shop):
    tables = ("kpis", "drop_off", "pain_points", "attribution", "stage_rates", "forecast")
    assert {path.name for path in shop[0].iterdir()} == {
        "report.html",
        "posterior.nc",
        *(f"{name}.csv" for name in tables),
    }
    assert list(shop[0].parent.iterdir()) == [shop[0]]
    for name in tables:
        assert not pl.read_csv(shop[0] / f"{name}.csv").is_empty()


def test_the_report_of_a_real_log_is_whole_and_says_what_the_model_misses(shop):
    page = Page.read(shop[0] / "report.html")
    assert_self_contained(page)
    assert len(page.pictures) == 4
    checks = [p for p in page.paragraphs if p.startswith("Check of the model")]
    assert len(checks) == 2
    assert "conversion at 90 days" in checks[0]
    assert checks[0].endswith("they agree.")
    assert "retention at 30 days" in checks[1]
    assert "the model is outside" in checks[1]
    assert any("does not say that it does no harm" in p for p in page.paragraphs)


def test_the_what_if_is_two_thirds_of_the_exits_and_nothing_else(shop):
    posterior = Posterior.load(shop[0] / "posterior.nc")
    asked = improve_stage("checkout", exit=2 / 3, name="checkout loses a third fewer customers")
    expected = forecast(posterior, [asked], conversion_days=90, retention_days=30).to_frame()["difference"].to_list()
    written = pl.read_csv(shop[0] / "forecast.csv").filter(pl.col("scenario") == asked.name)["difference"].to_list()
    assert written == pytest.approx(expected, rel=1e-9)
    third = improve_stage("checkout", exit=1 / 3)
    other = forecast(posterior, [third], conversion_days=90, retention_days=30).to_frame()["difference"].to_list()
    assert written != pytest.approx(other, rel=0.1)  # the control: another factor gives another answer


def test_what_nobody_was_seen_to_do_is_said_and_not_forecast(shop):
    posterior = Posterior.load(shop[0] / "posterior.nc")
    kept = [m for m, move in enumerate(posterior.moves) if move != ("cart", "lost")]
    history = replace(
        posterior.history,
        moves=tuple(posterior.moves[m] for m in kept),
        counts=posterior.history.counts[:, kept].copy(),
    )
    unseen = replace(
        posterior,
        history=history,
        hazards_by_chain=posterior.hazards_by_chain[..., kept].copy(),
        typical_by_chain=posterior.typical_by_chain[..., kept].copy(),
    )
    result = forecast(unseen, [improve_stage("cart", exit=0.5)], conversion_days=90, retention_days=30)
    assert result.to_frame()["unseen"].to_list() == ["exit from cart"] * 2
    (sentence,) = forecast_sentences(result)
    assert "nobody was seen to make this move (exit from cart), so the log cannot tell" in sentence


def test_the_saved_posterior_is_that_of_the_log(shop):
    posterior = Posterior.load(shop[0] / "posterior.nc")
    assert posterior.stages == ("browse", "product", "cart", "checkout", "purchase")
    assert posterior.starts.sum() == 600


def rows(n_customers, *, channel, buy_every=2):
    """Customers who look on the first of the month and on the second; some buy on the third; one lasts to the end."""
    lines = []
    for i in range(n_customers):
        lines += [f'{i},2026-01-{day:02}T{i % 24:02}:00,view,"{channel(i)}"' for day in (1, 2)]
        if i % buy_every == 0:
            lines.append(f'{i},2026-01-03T{i % 24:02}:30,buy,"{channel(i)}"')
    return EVENTS + "\n".join([*lines, f'last,2026-02-01,view,"{channel(0)}"']) + "\n"


def test_segments_and_scenarios_of_ones_own(tmp_path):
    (tmp_path / "e.csv").write_text(rows(60, channel=lambda i: "ab"[i % 3 == 0]))
    (tmp_path / "map.yaml").write_text(MAP.replace("source}", "source, segments: [source]}"))
    (tmp_path / "s.yaml").write_text("name: quick buyers\nchanges: [{stage: browse, forward: 2}]\n")
    options = ["--by", "source", "--scenario", tmp_path / "s.yaml", "--seed", 7]
    printed = analyze(tmp_path / "e.csv", tmp_path / "map.yaml", tmp_path / "out", *options)
    assert "quick buyers" in printed
    assert pl.read_csv(tmp_path / "out" / "forecast.csv")["scenario"].unique().to_list() == ["quick buyers"]
    assert set(pl.read_csv(tmp_path / "out" / "stage_rates.csv")["segment"]) == {"a", "b"}


def test_buyers_who_are_never_seen_again_are_lost_at_once(report):
    _, printed = report(rows(60, channel=lambda i: "a"))
    retention = [line.split()[3] for line in printed.splitlines() if line.strip().startswith("retention")]
    assert set(retention) == {"0.00%"}


@pytest.fixture
def report(tmp_path):
    """Analyze a log given as text, and read its report."""

    def report(events, event_map=MAP):
        (tmp_path / "e.csv").write_text(events, encoding="utf-8")
        (tmp_path / "map.yaml").write_text(event_map, encoding="utf-8")
        printed = analyze(tmp_path / "e.csv", tmp_path / "map.yaml", tmp_path / "out")
        page = Page.read(tmp_path / "out" / "report.html")
        assert_self_contained(page)
        return page, printed

    return report


def test_hostile_names_and_a_path_of_ten_thousand_touches(report):
    events = rows(50, channel=lambda i: NAMES_OF_ALL_KINDS[i % len(NAMES_OF_ALL_KINDS)])
    long = "".join(f"long,2026-01-05T00:{i // 200:02}:{i % 200 / 4:05.2f},view,a{i % 2}\n" for i in range(10_000))
    page, printed = report(events + long + "long,2026-01-06,buy,a0\n")
    (credit,) = (rows for caption, rows in page.tables.items() if caption.startswith("Markov"))
    assert {row[0] for row in credit[1:]} == {*NAMES_OF_ALL_KINDS, "a0", "a1"}
    chart = page.pictures["Share of credit by channel and method"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in chart
    assert "cost $5 and $6" in chart
    assert "日本語チャネル" in chart
    assert "<script>" in printed


def test_one_channel_only(report):
    page, _ = report(rows(40, channel=lambda i: "search"))
    assert any("credited to 1 channel." in p for p in page.paragraphs)


def test_a_map_without_a_channel_column_leaves_attribution_out(report, tmp_path):
    page, printed = report(rows(40, channel=lambda i: "a"), MAP.replace(", channel: source", ""))
    assert "Attribution" not in page.headings
    assert "Attribution" not in printed
    assert not (tmp_path / "out" / "attribution.csv").exists()


def test_a_log_of_one_customer_where_nobody_is_lost_has_no_default_question(report, tmp_path):
    page, printed = report(EVENTS + "1,2026-01-01,view,a\n1,2026-01-03,buy,a\n")
    for told in (printed.replace("\n", " "), " ".join(page.paragraphs)):
        assert "No stage of this log loses customers" in told
    forecasts = pl.read_csv(tmp_path / "out" / "forecast.csv")
    assert forecasts.is_empty()
    assert "difference" in forecasts.columns


def test_a_log_shorter_than_the_horizon_says_that_it_cannot_check_the_model(report):
    page, _ = report(rows(40, channel=lambda i: "a"))
    assert any("the log is too short, or too small, to show it" in p for p in page.paragraphs)
