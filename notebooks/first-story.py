# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What moves a customer to buy a refrigerator?
#
# A refrigerator is bought after weeks of comparing. On the way a customer meets banners, searches, reviews, mails and
# a shop. This story asks three questions that a strategist asks, and checks each answer, which is possible because the
# customers are simulated:
#
# 1. Where on the journey do we lose people?
# 2. Which channel deserves the credit for a purchase?
# 3. What would happen if we mended the worst step?
#
# Every number below is printed by the cell above it. Change a setting, run all cells, and the story follows.

# %%
# %matplotlib inline
import polars as pl

from journeysim import (
    StageModel,
    attribute,
    forecast,
    improve_stage,
    incremental_effects,
    simulate,
    simulate_changes,
    to_journeys,
    to_stage_history,
    worlds,
)
from journeysim.kpis import drop_off, kpis
from journeysim.plots import attribution_chart, forecast_chart, stage_map
from journeysim.scores import forecast_against_simulation, share_error
from journeysim.sections import forecast_sentences

CUSTOMERS, DAYS, SEED = 50_000, 180.0, 1
_ = pl.Config(tbl_rows=30, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, float_precision=4)

# %% [markdown]
# ## The world
#
# A *world* says how customers behave: the stages they pass, the channels they meet and what a contact does, what kinds
# of customers there are, and what puts them off. This one is invented, and tuned to be believable.

# %%
world = worlds.load("considered-purchase")
print(world.title, "\n\n" + world.about, "\n")
print("stages:     ", ", ".join(world.stage_names))
print("channels:   ", ", ".join(world.channel_names))
print("customers:  ", ", ".join(f"{persona.name} ({persona.share:.0%})" for persona in world.personas))
print("pain points:", ", ".join(f"{pain.name} (in {pain.stage})" for pain in world.pain_points))

# %% [markdown]
# ## Half a year in that world
#
# Simulating it gives a log of who met what and when, just like the log of a real shop.

# %%
log = simulate(world, n_customers=CUSTOMERS, horizon_days=DAYS, seed=SEED)
print(f"{log.n_customers:,} customers, {DAYS:g} days, {log.n_events:,} events")
kpis(log).filter(pl.col("value").is_not_null())

# %% [markdown]
# ## The map of the journey
#
# Read it from left to right. A blue arrow is a step forward, an orange one a step back, a red one a customer who leaves
# for good; the wider, the more customers. The number in a box counts how often that stage was entered.

# %%
history = to_stage_history(log, by="persona")
stage_map(history)

# %% [markdown]
# Few people feel the need at all, which no shop can change much. What counts is those who are on their way: how many of
# them leave, and where?

# %%
stages = drop_off(log)
before = stages.filter(pl.col("stage").is_in(world.stage_names[1 : world.stage_names.index("purchase")]))
for row in before.iter_rows(named=True):
    print(f"{row['stage']:<12}{row['entries']:>7,} entries, {row['drop_off']:.0%} of them end in leaving for good")

# %% [markdown]
# A leak near the purchase is dear: whoever leaves in *decision* has been won over at every step before it. Keep that in
# mind for the what-if below.
#
# ## Who gets the credit?
#
# Each method looks at the same log and shares out the purchases among the channels. Beside them stands what nobody has
# in real life: the truth. Each channel is switched off in turn, for the same customers with the same luck, and we count
# the purchases that are lost.

# %%
journeys = to_journeys(log)
known = ("first_touch", "last_touch", "linear", "position_based", "time_decay", "markov")
credit = {method: attribute(journeys, method) for method in known}
truth = incremental_effects(world, n_customers=CUSTOMERS, horizon_days=DAYS, seed=SEED)
attribution_chart(journeys.channels, {name: result.share for name, result in credit.items()}, truth=truth)

# %% [markdown]
# How to read it: a row is a channel, a coloured mark is what one method gives it, and the black bar is what it truly
# earns. Good marks sit on their bar. Marks to the right of it are praise for nothing; marks to the left are work that
# goes unseen.

# %%
true_share = truth.to_frame().select("channel", truth="share")
last_touch = credit["last_touch"].to_frame().select("channel", last_touch="share")
beside = true_share.join(last_touch, on="channel").with_columns(too_much=pl.col("last_touch") - pl.col("truth"))
in_order = beside.sort("channel")["truth"].to_numpy()
for name, result in credit.items():
    shares = result.to_frame().sort("channel")["share"].to_numpy()
    print(f"{name:<15}puts {share_error(shares, in_order):.0%} of the credit at the wrong channel")
praised = beside.sort("too_much")[-1].row(0, named=True)
unseen = beside.sort("too_much")[0].row(0, named=True)
print("\nLast touch, beside the truth:")
for word, row in (("most overpraised", praised), ("most overlooked", unseen)):
    print(f"{word}: {row['channel']}, which gets {row['last_touch']:.0%} and has earned {row['truth']:.0%}")
beside.sort("too_much", descending=True)

# %% [markdown]
# ## Why is that?
#
# Compare two things about each channel in *decision*, the stage just before the purchase: how often it is met there,
# and how likely one contact is to move the customer on (its *pull*, which only the world knows).

# %%
met = log.to_polars().filter(pl.col("kind") == "touch", pl.col("stage") == "decision")["channel"].cast(pl.String)
pulls = pl.DataFrame({"channel": world.channel_names, "pull": [c.pull_in("decision") for c in world.channels]})
in_decision = met.value_counts(name="contacts_in_decision").join(pulls, on="channel")
in_decision.sort("contacts_in_decision", descending=True)

# %% [markdown]
# Retargeting follows people who already have a product in mind. They meet it often, so it is often the last thing they
# see; but it hardly moves them. Being present at a purchase is not the same as causing it, and a log of contacts alone
# cannot tell the two apart, whichever rule shares out the credit.
#
# ## A model of the journey
#
# For a what-if we need more than credit: a model of how quickly customers move from stage to stage, and how many leave.
# It is fitted to the log alone and never sees the world. Its verdict says whether the fit may be trusted.

# %%
posterior = StageModel().fit(history, seed=SEED)
print(posterior.diagnostics.verdict)

# %% [markdown]
# ## What if decision lost half as many?
#
# Say that fees were shown early and the checkout was quick, so that half as many customers gave up with a product in
# the basket. For comparison, two other projects: helping people to compare, and better service after the purchase.

# %%
scenarios = [
    improve_stage("decision", exit=0.5, name="decision loses half as many"),
    improve_stage("evaluation", forward=1.25, name="evaluation 25% quicker"),
    improve_stage("experience", exit=0.5, name="experience loses half as many"),
]
result = forecast(posterior, scenarios, conversion_days=DAYS, retention_days=90.0)
print("\n\n".join(forecast_sentences(result)))

# %% [markdown]
# ## Was the forecast right?
#
# In real life we would have to wait and see. Here we make each change in the world itself and simulate new customers,
# with and without it.

# %%
simulated = simulate_changes(
    world, scenarios, n_customers=4 * CUSTOMERS, conversion_days=DAYS, retention_days=90.0, seed=SEED + 1
)
forecast_chart(result, simulated=simulated)

# %% [markdown]
# Blue is the forecast, orange what the simulator found; the lines are 90% intervals. Left: how many more customers buy.
# Right: how many of the buyers are still with us after three months.

# %%
check = forecast_against_simulation(result, simulated)
for row in check.iter_rows(named=True):
    verdict = "agree" if row["agrees"] else "differ by more than chance"
    print(
        f"{row['scenario']}, {row['measure']}: forecast {100 * row['forecast']:+.2f} points, "
        f"simulated {100 * row['simulated']:+.2f}; they {verdict}"
    )

# %% [markdown]
# Where the two differ by more than chance, the reason is the model's one simplification: it takes customers of a kind
# to be equally likely to move on each day they stay. In this world mails come after a delay, contacts fade, and pain
# points hold back some customers and not others. Trust the direction and the rough size of a forecast, and its ranking
# of the projects where the gaps between them are wide.
#
# ## What to do next

# %%
best = check.filter(pl.col("measure") == "conversion").sort("simulated")[-1].row(0, named=True)
extra = best["simulated"] * CUSTOMERS
spent = log.to_polars().filter(pl.col("channel") == praised["channel"])["cost"].sum()
won = truth.to_frame().filter(pl.col("channel") == praised["channel"]).row(0, named=True)
error = won["standard_error"] * truth.n_conversions
claimed = praised["last_touch"] * journeys.n_conversions
print(f"1. Start with this project: {best['scenario']}. It should bring {extra:,.0f} more buyers in {DAYS:g} days.")
print(f"2. Give {praised['channel']} no more money because of the report: that says {claimed:,.0f} buyers for")
print(f"   {spent:,.0f} {world.currency}; the truth is {won['conversions']:,.0f}, give or take {2 * error:,.0f}.")
print(f"3. Spare {unseen['channel']}: last touch overlooks it, and it has earned {unseen['truth']:.0%} of the credit.")

# %% [markdown]
# Then try a question of your own: change `scenarios` above, or load another packaged world with
# `worlds.load("impulse-purchase")`; `worlds.names()` lists them. With your own customers' log, `read_log` takes the
# place of `simulate`, and only the two checks against the truth fall away.
