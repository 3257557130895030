"""What is compared: the paper's experiments as data, the runner, statistics, pictures, command line."""

from __future__ import annotations

from scenarios.scenario import Arm, Grid, Reference, Scenario, View, build, names, product, register

__all__ = ["Arm", "Grid", "Reference", "Scenario", "View", "build", "names", "product", "register"]
