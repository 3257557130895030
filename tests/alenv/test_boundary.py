"""The boundary between agents and environment: what an agent cannot reach, and states that give labels away."""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds: hence the ignored attr-defined in this file.
import inspect
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import alenv
from alenv import errors
from alenv.episode import Episode
from alenv.oracle import Oracle

QUICK: dict[str, Any] = {"initial_size": 10, "query_size": 5, "budget": 15}


def made(seed: int = 0, **settings: Any) -> Any:
    env = gym.make("ALDigitsRidge-v0", **{**QUICK, **settings}).unwrapped
    env.reset(seed=seed)
    return env


def changed(state: dict[str, Any], **episode: Any) -> dict[str, Any]:
    return {**state, "episode": {**state["episode"], **episode}}


# ---- the attacks that once gave hidden labels away ----


def test_labels_cannot_be_had_by_writing_them_into_a_state() -> None:
    env = made()
    state = env.get_state()
    everything = torch.arange(len(env.rows))
    for labels in (torch.zeros_like(everything), state["episode"]["labels"]):
        with pytest.raises(errors.InvalidState):
            env.reset(options={"state": changed(state, labeled=everything, labels=labels)})
    hidden = torch.from_numpy(env.view.unlabeled[:10].copy())  # as many as were bought, but others
    with pytest.raises(errors.InvalidState, match="initial set"):
        env.reset(options={"state": changed(state, labeled=hidden)})
    with pytest.raises(errors.HiddenLabel):
        env.view.labels(hidden.numpy())


def test_labels_cannot_be_had_by_stepping_and_going_back() -> None:
    env = made()
    state = env.get_state()
    env.step(env.view.unlabeled[:5])
    env.view.labels()
    bought = env.view.labeled.copy()
    with pytest.raises(errors.InvalidState, match="revealed in this episode"):
        env.reset(options={"state": state})
    np.testing.assert_array_equal(env.view.labeled, bought)  # and the episode goes on
    env.reset(seed=1)  # nor by a way round
    with pytest.raises(errors.InvalidState, match="revealed in this episode"):
        env.reset(options={"state": state})
    other = made(seed=3)  # an environment of its own has revealed nothing
    other.reset(options={"state": state})
    np.testing.assert_array_equal(other.ledger, np.sort(state["episode"]["labeled"].numpy()))


def test_labels_that_a_state_does_not_own_up_to_are_refused_elsewhere_too() -> None:
    env = made(allow_peek=True)
    state = env.get_state()
    query = env.view.unlabeled[:5].copy()
    env.step(query)
    env.reset(options={"state": state})  # with leave to peek, one may go back ...
    assert set(query) <= set(env.ledger)  # ... and the ledger remembers
    tainted = env.get_state()
    assert len(tainted["revealed"]) == 15
    made(seed=1, allow_peek=True).reset(options={"state": tainted})
    with pytest.raises(errors.InvalidState, match="revealed in this episode"):
        made(seed=1).reset(options={"state": tainted})


def reachable(start: object, depth: int = 3) -> list[object]:
    """Returns everything that public attributes, and methods that can be called with nothing, lead to."""
    found, seen, waiting = [], set(), [(start, 0)]
    while waiting:
        each, far = waiting.pop()
        if id(each) in seen or isinstance(each, (torch.Tensor, np.ndarray, type, torch.device)):
            continue
        seen.add(id(each))
        found.append(each)
        if far == depth or isinstance(each, (str, int, float, bool, torch.nn.Module)) or each is None:
            continue
        if isinstance(each, (tuple, list, frozenset)):
            waiting += [(one, far + 1) for one in each]
            continue
        for name in dir(each):
            if not name.startswith("_"):
                try:
                    value = getattr(each, name)
                except errors.AlenvError:
                    continue
                waiting.append((value, far + 1))
                owner = getattr(value, "__self__", None)
                assert owner is None or owner is each or inspect.isbuiltin(value) or inspect.isclass(owner)
    return found


def test_a_view_leads_to_no_environment_no_label_no_seed_and_no_path(
    tmp_path: Path, image_folder: Path
) -> None:
    weights = {"backbone": "convnet", "width": 8, "epochs": 1, "image_size": 12, "validation": 6}
    env = gym.make("ALImageFolder-v0", root=str(image_folder), **{**QUICK, **weights}).unwrapped
    env.reset(seed=0)
    env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]
    forbidden = [str(image_folder), *env.paths]  # type: ignore[attr-defined]
    found = reachable(env.view)  # type: ignore[attr-defined]
    assert any(isinstance(each, alenv.View) and each is not env.view for each in found)  # type: ignore[attr-defined]
    for each in found:
        assert not isinstance(each, (gym.Env, Oracle, Episode)), each
        assert each is not env.key  # type: ignore[attr-defined]
        if isinstance(each, int):
            assert each != env.key  # type: ignore[attr-defined]
        if isinstance(each, str):
            assert not any(path in each for path in forbidden), each
    names = {name for name in dir(env.view) if not name.startswith("_")}  # type: ignore[attr-defined]
    assert not names & {"episode", "refresh", "test_accuracy", "key", "paths", "rows", "costs", "oracle"}


def test_a_recipe_in_the_view_names_no_file(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.random.default_rng(0).random((1797, 5), np.float32))
    view = made(embedding=str(tmp_path / "e.npy")).view
    assert view.recipe.embedding == "file"
    assert view.recipe.beta == 10.0
    assert made().view.recipe.embedding == "pixels"


def test_the_view_has_the_facts_that_strategies_need() -> None:
    view = made(validation=100).view
    assert (view.num_classes, view.query_size, view.protocol.cycles, view.protocol.budget) == (10, 5, 3, 15)
    assert (view.recipe.lr, view.recipe.epochs, view.recipe.weight_decay) == (0.1, 30, 5e-4)
    right = (view.validation.logits().argmax(1) == view.validation.labels()).float().mean()
    assert view.validation.accuracy == pytest.approx(float(right))
    assert (str(view.device), view.runtime.device) == ("cpu", "cpu")


# ---- the ledger ----


def test_the_ledger_holds_what_was_bought_and_nothing_else() -> None:
    env = made(allow_peek=True, validation=100)
    np.testing.assert_array_equal(env.ledger, np.sort(env.view.labeled))
    env.peek([env.view.unlabeled[:5]])  # a reward, no label
    np.testing.assert_array_equal(env.ledger, np.sort(env.view.labeled))
    env.step(env.view.unlabeled[:5])
    np.testing.assert_array_equal(env.ledger, np.sort(env.view.labeled))
    with pytest.raises(errors.HiddenLabel):
        env.view.labels(env.view.unlabeled[:1])
    np.testing.assert_array_equal(env.ledger, np.sort(env.view.labeled))  # what was refused was not revealed
    env.reset(seed=0)
    assert len(env.ledger) == 10


def test_an_interrupted_cycle_reveals_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    env = made()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(env._learner, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            env.step(env.view.unlabeled[:5])
    assert len(env.ledger) == 10


# ---- states at either end ----


@pytest.mark.parametrize("initial_size", [0, 1])
def test_an_episode_with_few_labels_and_a_finished_one_are_restored(initial_size: int) -> None:
    source, other = (made(seed, initial_size=initial_size) for seed in (0, 1))
    for steps in (0, source.protocol.cycles):
        for _ in range(steps):
            source.step(source.view.unlabeled[:5])
        other.reset(options={"state": source.get_state()})
        assert other.view.cycle == steps
        np.testing.assert_array_equal(other.view.labeled, source.view.labeled)
    with pytest.raises(errors.EpisodeOver):
        other.step(other.view.unlabeled[:5])


@pytest.mark.parametrize("beyond", ["below", "above"])
def test_an_index_outside_the_pool_is_named_as_such(beyond: str) -> None:
    source = made(seed=4)
    labeled = source.get_state()["episode"]["labeled"]
    labeled[-1] = -1 if beyond == "below" else len(source.rows)
    with pytest.raises(errors.InvalidState, match="labeled images are no distinct pool indices"):
        made().reset(options={"state": changed(source.get_state(), labeled=labeled)})


# ---- states that cannot be ----

IMPOSSIBLE: list[tuple[str, Any]] = [
    ("key", -1),
    ("key", 2**63),
    ("key", 1.5),
    ("key", "x"),
    ("labeled", lambda e: e["labeled"].clone().fill_(3)),
    ("labeled", lambda e: -e["labeled"] - 1),
    ("labeled", lambda e: e["labeled"] + 5000),
    ("labeled", lambda e: e["labeled"].float()),
    ("labeled", lambda e: e["labeled"][:, None]),
    ("labeled", lambda e: e["labeled"][:-1]),
    ("labeled", lambda e: e["labeled"].flip(0)),
    ("labeled", lambda e: e["labeled"].tolist()),
    ("labels", lambda e: e["labels"][:-1]),
    ("labels", lambda e: e["labels"] + 99),
    ("labels", lambda e: e["labels"] - 20),
    ("labels", lambda e: e["labels"].float()),
    ("labels", lambda e: (e["labels"] + 1) % 10),
    ("initial_size", 5),
    ("initial_size", -1),
    ("test_correct", []),
    ("test_correct", [1, 2, 3]),
    ("test_correct", [1, 10_000]),
    ("test_correct", [1, -1]),
    ("test_correct", [1.5, 2]),
    ("test_correct", 3),
    ("validation_correct", []),
    ("validation_correct", [1]),
    ("validation_correct", [1, 101]),
    ("replaced", -1),
    ("replaced", 6),
    ("replaced", None),
]


@pytest.mark.parametrize("which", range(len(IMPOSSIBLE)))
def test_an_impossible_state_is_refused_and_changes_nothing(which: int) -> None:
    source = made(seed=4, validation=100)
    source.step(source.view.unlabeled[:5])
    state = source.get_state()
    name, value = IMPOSSIBLE[which]
    env = made(validation=100)
    before, stream = env.view.labeled.copy(), env.np_random.bit_generator.state
    wrong = value(state["episode"]) if callable(value) else value
    with pytest.raises(errors.InvalidState) as caught:
        env.reset(seed=2, options={"state": changed(state, **{name: wrong})})
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(env.view.labeled, before)
    assert env.np_random.bit_generator.state == stream
    env.step(env.view.unlabeled[:5])
    env.reset(options={"state": state})
    np.testing.assert_array_equal(env.view.labeled, source.view.labeled)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: {**s, "previous": None},
        lambda s: {**s, "previous": {**s["previous"], "inverses": torch.zeros(3, 3)}},
        lambda s: {**s, "learner": {**s["learner"], "weights": torch.zeros(2, 2)}},
        lambda s: {**s, "learner": {**s["learner"], "weights": s["learner"]["weights"].double()}},
        lambda s: {**s, "learner": {**s["learner"], "count": -1}},
        lambda s: {**s, "learner": {**s["learner"], "count": 1.5}},
        lambda s: {**s, "revealed": s["revealed"][:0].float()},
        lambda s: {**s, "revealed": torch.tensor([5, 5])},
        lambda s: {**s, "revealed": torch.arange(500)},
        lambda s: {k: v for k, v in s.items() if k != "revealed"},
    ],
)
def test_impossible_weights_and_ledgers_are_refused(spoil: Any) -> None:
    source = made(seed=4)
    source.step(source.view.unlabeled[:5])
    env = made()
    before = env.get_state()
    with pytest.raises(errors.InvalidState):
        env.reset(options={"state": spoil(source.get_state())})
    for name, value in env.get_state()["learner"].items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(before["learner"][name]))
