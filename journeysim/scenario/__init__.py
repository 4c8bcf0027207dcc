"""Scenarios: named changes of a world, one kind for every lever; what they change, as a table; and back again."""

from journeysim.scenario.changes import (
    ChannelChange,
    DeskChange,
    MixChange,
    PainPointChange,
    PriceChange,
    StageChange,
    TalkChange,
    WordOfMouthChange,
)
from journeysim.scenario.kinds import Change
from journeysim.scenario.levers import (
    change_cost,
    change_mix,
    change_pain_point,
    change_price,
    change_pull,
    change_word_of_mouth,
    drop_channel,
    fix_pain_point,
    improve_stage,
    reschedule,
    retarget,
    scale_channel,
    staff_desk,
)
from journeysim.scenario.scenario import Scenario, combine
from journeysim.scenario.table import changes_between, undo

__all__ = [
    "Change",
    "ChannelChange",
    "DeskChange",
    "MixChange",
    "PainPointChange",
    "PriceChange",
    "Scenario",
    "StageChange",
    "TalkChange",
    "WordOfMouthChange",
    "change_cost",
    "change_mix",
    "change_pain_point",
    "change_price",
    "change_pull",
    "change_word_of_mouth",
    "changes_between",
    "combine",
    "drop_channel",
    "fix_pain_point",
    "improve_stage",
    "reschedule",
    "retarget",
    "scale_channel",
    "staff_desk",
    "undo",
]
