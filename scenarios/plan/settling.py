"""Settles arms before anything is played: what they need, which files they rest on, one validation split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym

import agents
from agents.spelling import POLICY, parse
from alenv.errors import InvalidProtocol, MissingHead
from alenv.training.objectives import providing
from scenarios.plan import siblings
from scenarios.plan.arm import Arm, check_environment
from scenarios.plan.core import core


def settle(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Resolves arms, checks that each can be made, and gives all one validation split if an agent needs it.

    What the files behind an arm hold is recorded in ``Arm.content``.

    That split is the one that some arms name, else a tenth of the smallest pool.

    Raises:
        AlenvError: An environment, a setting or an agent does not exist or does not fit.
        InvalidProtocol: An agent reads validation accuracy, and two arms name different splits.
        MissingHead: An agent needs scores that its environment does not give.
    """
    siblings.check()
    resolved = [arm.resolved() for arm in arms]
    players = [agents.make(arm.agent, **arm.agent_kwargs) for arm in resolved]
    made: dict[str, _Facts] = {}  # not the environments: their networks and images may be large
    sizes = []
    for position, (arm, player) in enumerate(zip(resolved, players, strict=True)):
        key = json.dumps([arm.env_id, dict(arm.env_kwargs)], sort_keys=True)
        if key not in made:
            made[key] = _facts(arm)
        facts = made[key]
        _check_needs(arm, player, facts)
        sizes.append((facts.pool, facts.validation))
        resolved[position] = replace(arm, content=_content(arm, facts))
    if not any(player.needs_validation for player in players):
        return tuple(resolved)
    named = sorted({split for _, split in sizes if split})
    if len(named) > 1:
        raise InvalidProtocol(
            f"Arms with validation={' and '.join(map(str, named))} were given beside an agent that reads validation "
            "accuracy; give all arms one split."
        )
    split = named[0] if named else min(pool for pool, _ in sizes) // 10
    return tuple(
        arm if own else replace(arm, env_kwargs={**arm.env_kwargs, "validation": split})
        for arm, (_, own) in zip(resolved, sizes, strict=True)
    )


class _Facts(NamedTuple):
    """What ``settle`` asks of an environment."""

    pool: int
    validation: int
    checksum: str
    offers: tuple[str, ...]
    ridge: bool


def _facts(arm: Arm) -> _Facts:
    """Makes an arm's environment once and lets it go."""
    check_environment(arm.env_id)
    env = gym.make(arm.env_id, **arm.settings(None))
    made = core(env)
    env.close()
    return _Facts(
        pool=len(made.rows),
        validation=made.protocol.validation,
        checksum=made.dataset_checksum,
        offers=made.offers,
        ridge=made.recipe.head == "ridge",
    )


def _check_needs(arm: Arm, player: agents.Agent, facts: _Facts) -> None:
    """Raises ``MissingHead`` where an agent needs scores that its environment does not give."""
    for score in player.needs:
        if score in facts.offers or not (objectives := providing(score)):
            continue
        advice = (
            "a ridge head gives none, so leave the agent out"
            if facts.ridge
            else f"spell it {arm.agent}@joint={objectives[0]}"
        )
        raise MissingHead(f"{arm.agent} needs {score}, which {arm.env_id} does not give; {advice}.")


def _content(arm: Arm, facts: _Facts) -> dict[str, str]:
    """Returns the checksums of all files that an arm's results depend on."""
    found = {"dataset": facts.checksum}
    for name in ("embedding", "pretraining"):
        file = arm.env_kwargs.get(name)
        if isinstance(file, str) and Path(file).expanduser().is_file():
            found[name] = _digest(Path(file).expanduser())
    spelled = parse(arm.agent)
    if spelled.names == (POLICY,):
        folder = Path(spelled.options["path"])
        for file in sorted(folder.iterdir()):
            found[f"policy/{file.name}"] = _digest(file)
    return found


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
