"""Joint objectives: what is trained beside, or instead of, the plain classification loss; a file for each."""

from alenv.learners.objectives.base import Batch, Objective, Part, Step
from alenv.learners.objectives.registry import explained, find, make, names, providing, register

__all__ = [
    "Batch",
    "Objective",
    "Part",
    "Step",
    "explained",
    "find",
    "make",
    "names",
    "providing",
    "register",
]
