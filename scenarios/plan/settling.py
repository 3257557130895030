"""Settles arms before anything is played: what they need, which files they rest on, one validation split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import agents
import alenv
from agents import index
from agents.spelling import POLICY, parse
from alenv import Recipe, needs, plugins
from alenv.errors import InvalidProtocol, MissingHead
from alenv.presets import resolve
from alenv.registration import known_id
from alenv.settings import Settings
from scenarios.plan import siblings
from scenarios.plan.arm import CODE, Arm, check_environment, make_environment


def settle(arms: Sequence[Arm], say: Callable[[str], None] = lambda note: None) -> tuple[Arm, ...]:
    """Resolves arms, checks that each can be made, and gives those of a dataset one validation split if need be.

    What the files behind an arm hold is recorded in ``Arm.content``.

    That split is the one that some arms of the dataset name, else a tenth of the smallest pool.

    Args:
        arms: What is to be compared.
        say: Takes one line for each image folder that is read: what was found in it.

    Raises:
        AlenvError: An environment, a setting or an agent does not exist or does not fit.
        InvalidProtocol: An agent reads validation accuracy, and two arms name different splits.
        MissingHead: An agent needs scores that its environment does not give.
    """
    siblings.check()
    resolved = [arm.resolved() for arm in arms]
    known = [
        _check_names(arm) for arm in resolved
    ]  # before torch loads, so that a misspelling is said at once
    players = [agents.make(arm.agent, **arm.agent_kwargs) for arm in resolved]
    resolved = [
        _peeking(arm) if player.ceiling else arm for arm, player in zip(resolved, players, strict=True)
    ]
    for arm, player, settings in zip(resolved, players, known, strict=True):
        if settings is not None:  # before environments are made, which may pretrain for hours
            recipe, protocol = settings.recipe, settings.protocol
            _check_needs(arm, player, needs.offers(recipe, protocol), recipe)
    _check_embeddings(resolved)
    made: dict[str, _Facts] = {}  # not the environments: their networks and images may be large
    played, said = [], set[str]()
    for position, (arm, player) in enumerate(zip(resolved, players, strict=True)):
        key = json.dumps([arm.env_id, dict(arm.env_kwargs)], sort_keys=True)
        if key not in made:
            made[key] = facts = _facts(arm)
            if facts.found is not None and facts.found not in said:
                say(facts.found)
                said.add(facts.found)
        facts = made[key]
        _check_needs(arm, player, facts.offers, facts.recipe)
        played.append(facts)
        resolved[position] = replace(arm, content=_content(arm, facts))
    return _with_split(resolved, players, played)


def _peeking(arm: Arm) -> Arm:
    """Allows a ceiling, and no other arm, to peek."""
    return replace(arm, env_kwargs={**arm.env_kwargs, "allow_peek": True})


def _with_split(
    arms: Sequence[Arm], players: Sequence[agents.Agent], played: Sequence[_Facts]
) -> tuple[Arm, ...]:
    """Gives all arms of a dataset one validation split where an agent of one needs it.

    Raises:
        InvalidProtocol: Two arms of such a dataset name different splits.
    """
    splits = {}
    for dataset in {facts.checksum for facts in played}:
        found = [
            (player, facts)
            for player, facts in zip(players, played, strict=True)
            if facts.checksum == dataset
        ]
        if not any("validation" in player.needs for player, _ in found):
            continue
        named = sorted({facts.validation for _, facts in found if facts.validation})
        if len(named) > 1:
            raise InvalidProtocol(
                f"Arms with validation={' and '.join(map(str, named))} were given beside an agent that reads "
                "validation accuracy; give all arms one split."
            )
        splits[dataset] = named[0] if named else min(facts.pool for _, facts in found) // 10
    return tuple(
        replace(arm, env_kwargs={**arm.env_kwargs, "validation": splits[facts.checksum]})
        if facts.checksum in splits and not facts.validation
        else arm
        for arm, facts in zip(arms, played, strict=True)
    )


def _check_names(arm: Arm) -> Settings | None:
    """Looks up an arm's agent, environment and settings, as far as their names alone tell.

    Returns:
        The settings of one of alenv's own environments; None for a user's, which must be made to know.
    """
    for name in parse(arm.agent).names:
        if name != POLICY and not plugins.is_own(name):
            index.describe(name)
    env_id = known_id(arm.env_id)
    if env_id in alenv.ENVIRONMENTS:
        return resolve(*alenv.ENVIRONMENTS[env_id], dict(arm.env_kwargs))
    check_environment(arm.env_id)
    return None


def _check_embeddings(arms: Sequence[Arm]) -> None:
    """Looks up the embeddings of all arms before the first of them is computed."""
    from alenv import embedding  # noqa: PLC0415  (torch loads only after the names)

    for arm in arms:
        name = arm.env_kwargs.get("embedding")
        if isinstance(name, str):
            embedding.check(name)


class _Facts(NamedTuple):
    """What ``settle`` asks of an environment."""

    pool: int
    validation: int
    checksum: str
    offers: frozenset[str]
    recipe: Recipe
    found: str | None


def _facts(arm: Arm) -> _Facts:
    """Makes an arm's environment once and lets it go."""
    env = make_environment(arm, None)
    made = alenv.core(env)
    env.close()
    if not made.options.test:
        raise InvalidProtocol(
            "test=False was given, and a comparison shows test accuracy; leave that setting out."
        )
    return _Facts(
        pool=len(made.rows),
        validation=made.protocol.validation,
        checksum=made.dataset_checksum,
        offers=made.offers,
        recipe=made.recipe,
        found=made.dataset_found,
    )


def _check_needs(arm: Arm, player: agents.Agent, offered: frozenset[str], recipe: Recipe) -> None:
    """Raises ``MissingHead`` where an agent needs what its environment does not offer; a split it is given."""
    for name in needs.missing(player.needs, offered | {"validation"}):
        settings = needs.settings_for(name, recipe)
        if settings is None or "head" in settings:
            advice = "nothing gives it there, so leave the agent out"
        else:
            spelled = "".join(f"@{setting}={value}" for setting, value in settings.items())
            advice = f"spell it {arm.agent}{spelled}"
        raise MissingHead(f"{arm.agent} needs {name}, which {arm.env_id} does not give; {advice}.")


def _content(arm: Arm, facts: _Facts) -> dict[str, str]:
    """Returns the checksums of all files and all code of a user's own that an arm's results depend on."""
    found = {"dataset": facts.checksum}
    for name in ("embedding", "pretraining", "initial_set"):
        file = arm.env_kwargs.get(name)
        if isinstance(file, str) and Path(file).expanduser().is_file():
            found[name] = _digest(Path(file).expanduser())
    code = {name: arm.env_kwargs.get(name) for name in CODE}
    own = {name: text for name, text in code.items() if isinstance(text, str) and plugins.is_own(text)}
    if place := arm.env_id.rpartition(":")[0]:
        own["environment"] = place
    for name, text in own.items():
        found |= {f"{name}/{file}": digest for file, digest in plugins.content(text).items()}
    for name, what in agents.content(arm.agent).items():
        found[name] = _digest(what) if isinstance(what, Path) else what
    return found


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
