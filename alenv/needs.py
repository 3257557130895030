"""What a recipe offers to agents, and which setting would make another one offer what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from alenv import plugins
from alenv.errors import MissingHead
from alenv.settings import Protocol, Recipe

ALWAYS = frozenset({"features", "images", "logits", "previous", "probabilities"})

# What offers a name, as settings of an environment whose recipe trains a network; scores of joint objectives are
# found in their registry.
SETTINGS: dict[str, dict[str, Any]] = {
    "feature_maps": {},
    "classifier": {},
    "members": {"dropout": 0.5},
    "embedding": {"embedding": "patches"},
    "validation": {"validation": 500},
}
WORDS = {
    "feature_maps": "feature maps",
    "classifier": "network",
    "predicted_loss": "loss module",
    "labeled_score": "discriminator",
    "wasserstein": "Wasserstein critic",
    "validation": "validation split",
}


def offers(recipe: Recipe, protocol: Protocol | None = None) -> frozenset[str]:
    """Returns the names of all that a view of such an environment can give.

    They are the names of the view's methods and attributes: ``features``, ``logits``, ``probabilities``,
    ``images`` and ``previous`` always; ``feature_maps`` and ``classifier`` where a network is trained;
    ``members`` with dropout or an ensemble; ``embedding`` where the recipe names one; what the joint objective gives
    (``predicted_loss``, ``labeled_score``) and its own name; ``validation`` with a split.

    Args:
        recipe: How the classifier is trained.
        protocol: Says whether there is a validation split; None = there is none.

    Raises:
        UnknownName: The recipe names a head or an objective that does not exist.
    """
    from alenv.learners import registry  # noqa: PLC0415  (`import alenv` stays free of torch)

    found = ALWAYS | registry.find(recipe.head).offers(recipe)
    if recipe.embedding is not None:
        found |= {"embedding"}
    if recipe.joint is not None and not plugins.is_own(recipe.joint):
        found |= {recipe.joint}
    if protocol is not None and protocol.validation > 0:
        found |= {"validation"}
    return found


def settings_for(name: str, recipe: Recipe) -> dict[str, Any] | None:
    """Returns the settings that, added to those of ``recipe``, would offer ``name``; None where nothing does.

    Args:
        name: A name that ``offers`` could hold.
        recipe: The recipe that does not offer it.
    """
    needed = SETTINGS.get(name)
    if needed is None:
        from alenv.learners import objectives  # noqa: PLC0415  (see above)

        providers = [name] if name in objectives.names() else objectives.providing(name)
        if not providers:
            return None
        needed = {"joint": providers[0]}
    frozen = recipe.head != "network" and name not in ("embedding", "validation")
    return {**({"head": "network"} if frozen else {}), **needed}


def missing(needs: Iterable[str], offered: frozenset[str]) -> list[str]:
    """Returns what is needed and not offered, in alphabetical order."""
    return sorted(set(needs) - offered)


def missing_head(name: str, recipe: Recipe, spelling: str) -> MissingHead:
    """Returns the error for a view that does not offer ``name``; it says which environment would.

    Args:
        name: What was asked for.
        recipe: The recipe of the environment.
        spelling: The arguments of ``gym.make`` that made it, the id in quotes first.
    """
    what = WORDS.get(name, name)
    settings = settings_for(name, recipe)
    if settings is None:
        return MissingHead(f"This environment has no {what}, and no objective gives {name} yet.")
    given = ", ".join([spelling, *(f"{key}={json.dumps(value)}" for key, value in settings.items())])
    return MissingHead(f"This environment has no {what}; make one with gym.make({given}).")
