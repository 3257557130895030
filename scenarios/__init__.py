"""What is compared: the paper's experiments as data, the runner, statistics, pictures, command line."""

from __future__ import annotations

from scenarios.plan.analyses import Group, Ladder, TwoWay
from scenarios.plan.arm import Arm, product
from scenarios.plan.registry import build, names, register
from scenarios.plan.scenario import Check, Grid, Picture, Published, Scenario, against_one

__all__ = [
    "Arm",
    "Check",
    "Grid",
    "Group",
    "Ladder",
    "Picture",
    "Published",
    "Scenario",
    "TwoWay",
    "against_one",
    "build",
    "names",
    "product",
    "register",
]
