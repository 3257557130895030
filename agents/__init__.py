"""Who queries: strategies and learned policies, made by name.

``agents.make("badge")``, ``agents.make("coreset+margin")``, ``agents.make("policy=FOLDER")``: see
``spelling``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

from agents.base import Agent, Strategy, best, names, register
from agents.learned import LearnedPolicy, as_predictor, load_policy, save_policy
from agents.spelling import POLICY, parse
from agents.strategies import from_spelling
from agents.subset import Subset
from agents.wrappers import ChooseStrategy
from alenv.errors import unknown

__all__ = [
    "Agent",
    "ChooseStrategy",
    "Description",
    "LearnedPolicy",
    "Strategy",
    "Subset",
    "as_predictor",
    "best",
    "describe",
    "load_policy",
    "make",
    "names",
    "register",
    "save_policy",
]


def make(text: str, **options: Any) -> Agent:
    """Makes an agent from its spelling.

    Args:
        text: A name from ``names()``, with options (``"margin:pool=all"``), a composition
            (``"coreset+margin"``) or a saved policy (``"policy=FOLDER"``). Environment kwargs after an ``@``
            are for whoever makes the environment, and play no part here.
        **options: Options of the agent; they go before those in the text.

    Raises:
        UnknownName: The agent or an option does not exist, or the text cannot be read.
        CorruptRun: The folder of a saved policy cannot be read.
    """
    spelled = parse(text)
    spelled = replace(spelled, options={**spelled.options, **options})
    if spelled.names != (POLICY,):
        return from_spelling(spelled)
    allowed = inspect.signature(load_policy).parameters
    for option in spelled.options:
        if option not in allowed:
            raise unknown("option of a saved policy", option, [name for name in allowed if name != "path"])
    return load_policy(**spelled.options)


@dataclass(frozen=True)
class Description:
    """What an agent is, in words.

    Attributes:
        what: One sentence.
        details: The rest of its docstring, plain text.
        pool: What a strategy chooses from unless told otherwise: ``"all"`` unlabeled images or this cycle's
            ``"candidates"``; empty for other agents.
        needs: Methods of the view that not every recipe offers.
        cost: What a query costs.
        source: The publication.
    """

    what: str
    details: str
    pool: str
    needs: tuple[str, ...]
    cost: str
    source: str


def describe(text: str) -> Description:
    """Says what an agent does, needs and costs, and where it was published.

    Args:
        text: As for ``make``.
    """
    agent = make(text)
    what, _, details = inspect.getdoc(type(agent)).replace("``", "").partition("\n")  # type: ignore[union-attr]  # all have one
    pool = agent.pool if isinstance(agent, Strategy) else ""
    return Description(what, details.strip(), pool, agent.needs, agent.cost, agent.source)
