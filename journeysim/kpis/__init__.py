"""KPIs of a log, simulated or real: the table, the funnel and its reasons, curves, surveys, spend by channel."""

from journeysim.kpis.calendar import calendar
from journeysim.kpis.channels import channel_spend
from journeysim.kpis.curves import (
    clv_curve,
    conversion_curve,
    converted_within,
    retained_after,
    retention_curve,
    time_to_purchase,
)
from journeysim.kpis.funnel import drop_off, funnel
from journeysim.kpis.intervals import Estimate, wilson
from journeysim.kpis.reasons import loss_reasons, pain_points
from journeysim.kpis.surveys import surveys
from journeysim.kpis.survival import KaplanMeier, survival
from journeysim.kpis.table import KPIS, kpis

__all__ = [
    "KPIS",
    "Estimate",
    "KaplanMeier",
    "calendar",
    "channel_spend",
    "clv_curve",
    "conversion_curve",
    "converted_within",
    "drop_off",
    "funnel",
    "kpis",
    "loss_reasons",
    "pain_points",
    "retained_after",
    "retention_curve",
    "surveys",
    "survival",
    "time_to_purchase",
    "wilson",
]
