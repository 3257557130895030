"""Who queries: strategies and learned policies, made by name.

``agents.make("badge")``, ``agents.make("coreset+margin")``, ``agents.make("mine.py:Mine")``,
``agents.make("policy=FOLDER")``: see ``spelling``. Importing this package loads no torch; its names do, when they
are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.index import Description, names

if TYPE_CHECKING:
    from agents.base import Agent, Strategy, best, feedback
    from agents.compose import Subset
    from agents.in_batch import InBatch
    from agents.making import content, describe, make
    from agents.policies.candidates import DescribeCandidates, ScoreCandidates, TopOfCandidates
    from agents.policies.choosing import ChooseStrategy
    from agents.policies.mixing import MixScores
    from agents.policies.picking import PickOneByOne
    from agents.policies.playing import LearnedPolicy
    from agents.policies.predictor import as_predictor
    from agents.policies.saved import load_policy, save_policy
    from agents.policies.sb3 import as_sb3
    from agents.policies.set_policies import SetGaussianPolicy, SetPickPolicy, SetTopKPolicy
    from agents.policies.vector_envs import VectorChooseStrategy, VectorMixScores, VectorTopOfCandidates
    from agents.registry import register

__all__ = [
    "Agent",
    "ChooseStrategy",
    "DescribeCandidates",
    "Description",
    "InBatch",
    "LearnedPolicy",
    "MixScores",
    "PickOneByOne",
    "ScoreCandidates",
    "SetGaussianPolicy",
    "SetPickPolicy",
    "SetTopKPolicy",
    "Strategy",
    "Subset",
    "TopOfCandidates",
    "VectorChooseStrategy",
    "VectorMixScores",
    "VectorTopOfCandidates",
    "as_predictor",
    "as_sb3",
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

_PLACES = {
    "Agent": "agents.base",
    "ChooseStrategy": "agents.policies.choosing",
    "DescribeCandidates": "agents.policies.candidates",
    "LearnedPolicy": "agents.policies.playing",
    "MixScores": "agents.policies.mixing",
    "PickOneByOne": "agents.policies.picking",
    "ScoreCandidates": "agents.policies.candidates",
    "SetGaussianPolicy": "agents.policies.set_policies",
    "SetPickPolicy": "agents.policies.set_policies",
    "SetTopKPolicy": "agents.policies.set_policies",
    "InBatch": "agents.in_batch",
    "Strategy": "agents.base",
    "Subset": "agents.compose",
    "TopOfCandidates": "agents.policies.candidates",
    "VectorChooseStrategy": "agents.policies.vector_envs",
    "VectorMixScores": "agents.policies.vector_envs",
    "VectorTopOfCandidates": "agents.policies.vector_envs",
    "as_predictor": "agents.policies.predictor",
    "as_sb3": "agents.policies.sb3",
    "best": "agents.base",
    "content": "agents.making",
    "describe": "agents.making",
    "feedback": "agents.base",
    "load_policy": "agents.policies.saved",
    "make": "agents.making",
    "register": "agents.registry",
    "save_policy": "agents.policies.saved",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415  (only for the names that need torch)

    if name not in _PLACES:
        raise AttributeError(f"module 'agents' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
