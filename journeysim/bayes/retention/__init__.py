"""Who stays, who buys again and what they are worth: Bayesian models of retention. Importing this compiles nothing."""

from journeysim.bayes.retention.changes import RetentionChange, RetentionWhatIf
from journeysim.bayes.retention.churn_posterior import ChurnPosterior
from journeysim.bayes.retention.cohorts import CohortHistory, to_cohorts
from journeysim.bayes.retention.families import BetaGeoNBD, GammaGamma, ShiftedBetaGeometric
from journeysim.bayes.retention.model import RetentionModel
from journeysim.bayes.retention.money import Money
from journeysim.bayes.retention.purchase_posterior import PurchasePosterior
from journeysim.bayes.retention.purchases import PurchaseHistory, to_purchase_history

__all__ = [
    "BetaGeoNBD",
    "ChurnPosterior",
    "CohortHistory",
    "GammaGamma",
    "Money",
    "PurchaseHistory",
    "PurchasePosterior",
    "RetentionChange",
    "RetentionModel",
    "RetentionWhatIf",
    "ShiftedBetaGeometric",
    "to_cohorts",
    "to_purchase_history",
]
