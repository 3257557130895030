"""Makes agents from their spelling, and says what they are."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.base import Agent, Strategy
from agents.compose import composed
from agents.index import Description, described
from agents.policies.learned import KIND, SHIPPED, Learned, algorithm_of
from agents.registry import construct
from agents.spelling import POLICY, parse
from alenv import plugins
from alenv.errors import unknown


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


def _policy(options: dict[str, Any]) -> Agent:
    path = options.pop("path")
    if algorithm_of(Path(path)) == KIND:
        return construct(Learned.name, {"policy": path, **options})
    from agents.policies.saved import load_policy  # noqa: PLC0415  (Stable-Baselines3 takes a second to load)

    allowed = [name for name in inspect.signature(load_policy).parameters if name != "path"]
    for option in options:
        if option not in allowed:
            raise unknown("option of a saved policy", option, allowed)
    return load_policy(path, **options)


def content(text: str) -> dict[str, Path | str]:
    """Returns what identifies the code and data behind an agent beyond its spelling.

    Args:
        text: As for ``make``.

    Returns:
        The SHA-256 of each file of a user's own code, and the path of each file of a saved policy; the one that alenv
        ships is saved as well.
    """
    spelled = parse(text)
    found: dict[str, Path | str] = {}
    if spelled.names == (POLICY,) or Learned.name in spelled.names:
        folder = Path(spelled.options.get("path", spelled.options.get("policy", SHIPPED)))
        found = {f"policy/{file.name}": file for file in sorted(folder.iterdir())}
    if spelled.names == (POLICY,):
        return found
    for name in spelled.names:
        if plugins.is_own(name):
            found |= {f"agent/{file}": digest for file, digest in plugins.content(name).items()}
    return found


def describe(text: str) -> Description:
    """Says what an agent does, needs and costs, and where it was published.

    Args:
        text: As for ``make``.
    """
    agent = make(text)
    pool = agent.pool if isinstance(agent, Strategy) else ""
    return described(
        inspect.getdoc(type(agent)) or "", pool, agent.needs, agent.cost, agent.source, agent.ceiling
    )
