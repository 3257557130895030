"""Who queries: strategies and learned policies, made by name.

``agents.make("badge")``, ``agents.make("coreset+margin")``, ``agents.make("mine.py:Mine")``,
``agents.make("policy=FOLDER")``: see ``spelling``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.base import Agent, Strategy, best, feedback
from agents.compose import Subset, composed
from agents.policies.choosing import ChooseStrategy
from agents.policies.predictor import as_predictor
from agents.policies.saved import LearnedPolicy, load_policy, save_policy
from agents.registry import names, register
from agents.spelling import POLICY, parse
from alenv import plugins
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
    "content",
    "describe",
    "feedback",
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
            (``"coreset+margin"``), a class of your own (``"mine.py:Mine"``) or a saved policy
            (``"policy=FOLDER"``). Environment kwargs after an ``@`` are for whoever makes the environment, and
            play no part here.
        **options: Options of the agent; they go before those in the text.

    Raises:
        UnknownName: The agent or an option does not exist, or the text cannot be read.
        CorruptRun: The folder of a saved policy cannot be read.
    """
    spelled = parse(text)
    chosen = {**spelled.options, **options}
    if spelled.names == (POLICY,):
        return _policy(chosen)
    return composed(replace(spelled, options=chosen))


def _policy(options: dict[str, Any]) -> LearnedPolicy:
    allowed = inspect.signature(load_policy).parameters
    for option in options:
        if option not in allowed:
            raise unknown("option of a saved policy", option, [name for name in allowed if name != "path"])
    return load_policy(**options)


def content(text: str) -> dict[str, Path | str]:
    """Returns what identifies the code and data behind an agent beyond its spelling.

    Args:
        text: As for ``make``.

    Returns:
        The SHA-256 of each file of a user's own code, and the path of each file of a saved policy.
    """
    spelled = parse(text)
    if spelled.names == (POLICY,):
        return {f"policy/{file.name}": file for file in sorted(Path(spelled.options["path"]).iterdir())}
    found: dict[str, Path | str] = {}
    for name in spelled.names:
        if plugins.is_own(name):
            found |= {f"agent/{file}": digest for file, digest in plugins.content(name).items()}
    return found


@dataclass(frozen=True)
class Description:
    """What an agent is, in words.

    Attributes:
        what: One sentence.
        details: The rest of its docstring, plain text.
        pool: What a strategy chooses from unless told otherwise: ``"all"`` unlabeled images or this cycle's
            ``"candidates"``; empty for other agents.
        needs: What the recipe must offer, names of ``alenv.offers``.
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
    what, _, details = (inspect.getdoc(type(agent)) or "").replace("``", "").partition("\n")
    pool = agent.pool if isinstance(agent, Strategy) else ""
    return Description(what, details.strip(), pool, agent.needs, agent.cost, agent.source)
