"""Who queries: strategies and learned policies, made by name.

``agents.make("badge")``, ``agents.make("coreset+margin")``, ``agents.make("policy=FOLDER")``: see
``spelling``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agents.base import Agent, Strategy, best, names, register, registered
from agents.learned import LearnedPolicy, as_predictor, load_policy, save_policy
from agents.spelling import POLICY, parse
from agents.strategies import from_spelling
from agents.subset import Subset
from agents.wrappers import ChooseStrategy

__all__ = [
    "Agent",
    "ChooseStrategy",
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
    return load_policy(**spelled.options) if spelled.names == (POLICY,) else from_spelling(spelled)


def describe(text: str) -> str:
    """Says in one line what an agent does, needs and costs, and where it was published.

    Args:
        text: As for ``make``.
    """
    kind = type(make(text)) if text not in names() else registered(text)
    what = (kind.__doc__ or "").splitlines()[0]
    needs = f" Needs: {', '.join(kind.needs)}." if kind.needs else ""
    return f"{what}{needs} Cost: {kind.cost}. Source: {kind.source}."
