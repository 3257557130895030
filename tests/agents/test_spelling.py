"""Agents as text."""

from __future__ import annotations

import importlib
import sys

import gymnasium as gym
import pytest

import agents
from agents import registry
from agents.spelling import Spelling, parse
from alenv.errors import InvalidQuery, UnknownName


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("margin", Spelling(("margin",))),
        ("margin:pool=all", Spelling(("margin",), {"pool": "all"})),
        ("coreset+margin:factor=5:pool=all", Spelling(("coreset", "margin"), {"factor": 5, "pool": "all"})),
        ("ll4al@joint=loss_prediction", Spelling(("ll4al",), {}, {"joint": "loss_prediction"})),
        (
            "margin:pool=all@dropout=0.5@augment=false@width=null@lr=1e-3@backbone=vgg16",
            Spelling(
                ("margin",),
                {"pool": "all"},
                {"dropout": 0.5, "augment": False, "width": None, "lr": 1e-3, "backbone": "vgg16"},
            ),
        ),
        ("a@x=NaN@y=Infinity@z=[1]", Spelling(("a",), {}, {"x": "NaN", "y": "Infinity", "z": "[1]"})),
        ("a@x=1=2", Spelling(("a",), {}, {"x": "1=2"})),
        ("mine.py:Own", Spelling(("mine.py:Own",))),
        ("a.b:Own:x=1@lr=2", Spelling(("a.b:Own",), {"x": 1}, {"lr": 2})),
        ("coreset+mine.py:Own:x=1", Spelling(("coreset", "mine.py:Own"), {"x": 1})),
        ("policy=runs/a:b+c", Spelling(("policy",), {"path": "runs/a:b+c"})),
        ("policy=p@validation=100", Spelling(("policy",), {"path": "p"}, {"validation": 100})),
    ],
)
def test_parsing(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "+margin", "a+b+c", "margin:pool=all:x", "margin:=all", "margin@joint", "a:x=1:x=2", "margin:"],
)
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(UnknownName, match="cannot be read"):
        parse(text)


def test_what_an_agent_must_define_and_what_it_may():
    with pytest.raises(NotImplementedError):
        agents.Agent().act(None)
    with pytest.raises(NotImplementedError):
        agents.Strategy().pick(None, None, 1, None)
    assert agents.Agent().get_state() == {}


def test_an_agent_is_text():
    with pytest.raises(UnknownName, match="None was given as an agent"):
        agents.make(None)


def test_making_by_text_and_by_keyword():
    assert agents.make("margin").pool == "candidates"
    assert agents.make("margin:pool=all").pool == agents.make("margin", pool="all").pool == "all"
    assert agents.make("margin:pool=all", pool="candidates").pool == "candidates"
    assert agents.make("coreset").pool == agents.make("badge").pool == agents.make("kmeans").pool == "all"
    assert agents.make("ll4al@joint=loss_prediction").pool == "candidates"
    assert agents.make("coreset+margin:factor=5").factor == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("margn", "did you mean 'margin'"),
        ("coreset+margn", "did you mean 'margin'"),
        ("margin:pool", "write each option as name=value"),
        ("margin:pol=all", "did you mean 'pool'"),
        ("margin:pool=al", "did you mean 'all'"),
        ("coreset+margin:by=badge", "no options"),
    ],
)
def test_unknown_names_point_to_the_nearest(text, message):
    with pytest.raises(UnknownName, match=message):
        agents.make(text)


def test_a_saved_policy_takes_its_own_options_only():
    with pytest.raises(UnknownName, match="did you mean 'deterministic'"):
        agents.make("policy=somewhere", determinstic=True)


@pytest.mark.parametrize("seed", [-1, "x", 1.5, None, True])
def test_a_seed_is_a_whole_number(seed):
    env = gym.make("ALDigitsRidge-v0")
    env.reset(seed=0)
    with pytest.raises(InvalidQuery, match="at least 0"):
        agents.make("margin").reset(env.unwrapped.view, seed=seed)


@pytest.mark.parametrize("name", ["margin", "entropy", "least_confidence"])
def test_nothing_is_chosen_from_an_exhausted_pool(name):
    env = gym.make("ALDigitsRidge-v0", initial_size=1097, budget=0)
    env.reset(seed=0)
    agent = agents.make(name)
    agent.reset(env.unwrapped.view)
    with pytest.raises(InvalidQuery, match="only 0 are unlabeled"):
        agent.act(None)


@pytest.mark.parametrize("place", ["strategies", "policies"])
def test_every_file_of_a_package_is_found(place, tmp_path, monkeypatch):
    name = f"walked_{place}"
    (tmp_path / f"{name}.py").write_text(
        "from agents.base import Agent\nfrom agents.registry import register\n"
        f"@register\nclass Walked(Agent):\n    name = '{name}'"
    )
    package = importlib.import_module(f"agents.{place}")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_AGENTS", dict(registry._AGENTS))
    assert registry.find(name).name == name
    sys.modules.pop(f"agents.{place}.{name}")


@pytest.mark.parametrize("name", ["Number", "number"])
def test_what_is_no_agent_is_refused(name, tmp_path):
    (tmp_path / "mine.py").write_text("class Number: pass\nnumber = 3")
    with pytest.raises(UnknownName, match="is no agent; give a subclass"):
        registry.find(f"{tmp_path / 'mine.py'}:{name}")
