"""What runs on a GPU: the checkers, every recipe family, every agent and regime, repeats, states, recorded steps.

Run with ``pytest -m gpu``; skipped where there is no CUDA.
"""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds: hence the ignored attr-defined in this file.
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from equality import assert_equal
from gymnasium.utils.env_checker import check_env
from spellings import EVERY
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import agents
import alenv
from agents.policies.training import LearningTask, trainers
from alenv import descriptors, needs, nets, pretraining
from alenv.learners.images import ImageSet, Origin
from alenv.learners.network import NetworkLearner
from alenv.learners.trivial import trivial_augment
from alenv.pretraining import training
from alenv.pretraining.views import views
from alenv.runtime import Runtime
from alenv.settings import Recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here"),
]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
QUICK: dict[str, Any] = {"epochs": 2, "width": 8, "initial_size": 20, "query_size": 5, "budget": 10}
OWN = Path(__file__).parent / "own"


def made(name: str = "ALDigits-v0", device: str = DEVICE, **settings: Any) -> Any:
    quick = {
        key: value for key, value in QUICK.items() if "Ridge" not in name or key not in ("epochs", "width")
    }
    return gym.make(name, **{**quick, "device": device, **settings}).unwrapped


@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_both_checkers(name: str) -> None:
    env = made(name)
    assert env.runtime.device == DEVICE
    check_env(env)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        sb3_check_env(env, skip_render_check=True)


@pytest.mark.parametrize("backbone", nets.names())
def test_a_step_of_every_backbone(backbone: str, fixture_sets: None) -> None:
    env = made("ALCifar10-v0", backbone=backbone, width=None, epochs=1)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(env.view.unlabeled[:5])
    assert 0 <= reward <= 1
    assert info["labeled_count"] == 25


@pytest.mark.parametrize("recipe", ["Ridge", "Fast"])
def test_a_step_of_every_recipe(recipe: str, fixture_sets: None) -> None:
    settings = {"Ridge": {"embedding": "pixels", "validation": 10}, "Fast": {"epochs": 3, "width": None}}
    env = made(f"ALCifar10{recipe}-v0", **settings[recipe])
    env.reset(seed=0)
    env.step(env.view.unlabeled[:5])
    assert env.view.logits().device.type == "cuda"


REGIMES: list[dict[str, Any]] = [
    *({"joint": name} for name in alenv.objectives()),
    {"joint": f"{OWN / 'teacher.py'}:Teacher"},
    {"head": f"{OWN / 'five.py'}:Five"},
    {"dropout": 0.3},
    {"ensemble": 2, "joint": "loss_prediction"},
    {"start": "warm", "optimizer": "adam", "lr": 1e-3},
    {"optimizer": "rmsprop", "lr": 1e-3},
    {"embedding": "pixels", "initial_set": "kcenter"},
    {"cutout": 3, "trivial_augment": True, "low_resolution": 0.5, "label_smoothing": 0.1},
]


@pytest.mark.parametrize("regime", REGIMES, ids=str)
def test_every_regime_repeats_to_the_byte(regime: dict[str, Any]) -> None:
    traces = []
    for _ in range(2):
        env = made(**regime)
        trace: list[Any] = [env.reset(seed=3)]
        trace.append(env.step(env.view.unlabeled[:5]))
        traces.append((trace, env.get_state()["learner"]))
    assert_equal(traces[0], traces[1])


@pytest.mark.parametrize("spelling", [*EVERY, "coreset+margin", f"{OWN / 'apart.py'}:Apart"])
def test_every_agent_for_a_cycle(spelling: str) -> None:
    agent, settings = agents.make(spelling), {}
    for need in needs.missing(agent.needs, needs.offers(Recipe())):
        settings |= needs.settings_for(need, Recipe()) or {}
    queries = []
    for _ in range(2):
        env = made(**settings, on_invalid="raise")
        env.reset(seed=0)
        agent.reset(env.view, seed=0)
        queries.append(agent.act(None))
        env.step(queries[-1])
    np.testing.assert_array_equal(*queries)


@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_a_state_moves_between_devices(name: str) -> None:
    source = made(name)
    source.reset(seed=0)
    source.step(source.view.unlabeled[:5])
    for device in ("cpu", DEVICE):
        other = made(name, device)
        other.reset(options={"state": source.get_state()})
        torch.testing.assert_close(
            other.view.logits().cpu(), source.view.logits().cpu(), rtol=2e-2, atol=2e-2
        )
        other.step(other.view.unlabeled[:5])
        assert other.view.previous is not None


def test_bf16_is_near_fp32() -> None:
    accuracies = []
    for precision in ("fp32", "bf16"):
        env = made(precision=precision, initial_size=300, epochs=30, width=None)
        accuracies.append(env.reset(seed=0)[1]["test_accuracy"])
    assert min(accuracies) > 0.85
    assert abs(accuracies[0] - accuracies[1]) < 0.05


def trained(monkeypatch: pytest.MonkeyPatch, records: bool, **recipe: Any) -> dict[str, torch.Tensor]:
    """Returns the weights after one cycle of 16 x 16 images."""
    monkeypatch.setenv("ALENV_CUDA_GRAPHS", str(int(records)))
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (300, 16, 16, 3), dtype=np.uint8)).to(DEVICE)
    images = ImageSet(pixels, np.arange(300), (0.5,) * 3, (0.25,) * 3)
    settings = {"width": 16, "epochs": 30, "batch_size": 64, "crop_padding": 2, **recipe}
    learner = NetworkLearner(Recipe(**settings), images.shape, 4, Runtime(DEVICE, "bf16", 4))
    with learner.runtime.active():
        learner.begin(5)
        learner.fit(images, np.arange(250), random.integers(0, 4, 250), 0)
    return {**learner.get_state()["classifier"], **learner.get_state()["networks"]}


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"joint": "loss_prediction"},
        {"schedule": "onecycle", "warmup": 0.2, "nesterov": True, "decay": "weights", "label_smoothing": 0.1},
        {"low_resolution": 0.5, "trivial_augment": True, "backbone": "airbench"},
        {"momentum": 0.0},
    ],
    ids=str,
)
def test_recorded_steps_end_with_the_plain_ones_weights(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kernels that are not deterministic; nothing may fall back
        warnings.filterwarnings("error", message=".*without CUDA graphs")
        plain, recorded = (trained(monkeypatch, records, **recipe) for records in (False, True))
    for name, value in plain.items():
        assert torch.equal(value, recorded[name]), name


@pytest.mark.parametrize("name", pretraining.NAMES)
def test_a_stopped_pretraining_goes_on_to_the_same_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "INTERVAL", 0.0)
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (300, 16, 16, 3), dtype=np.uint8)).to(DEVICE)
    images = ImageSet(pixels, np.arange(300), (0.5,) * 3, (0.25,) * 3, origin=Origin("noise", "noise"))
    quick = {"width": 16, "pretraining_epochs": 4, "pretraining_batch_size": 64}
    task = pretraining.pretext(name, images, Recipe(**quick))
    where = Runtime(DEVICE, "bf16", 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kernels that are not deterministic
        whole = training.train(task, where, tmp_path / "whole")
        loss, steps = task.loss, list[int]()

        def stopping(*arguments: Any) -> torch.Tensor:
            steps.append(len(steps))
            if len(steps) == 12:
                raise KeyboardInterrupt
            return loss(*arguments)

        monkeypatch.setattr(task, "loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            training.train(task, where, tmp_path / "stopped")
        assert_equal(training.train(task, where, tmp_path / "stopped"), whole)
    assert len(steps) == 12 + 10


def test_views_are_the_same_on_both_devices() -> None:
    images = torch.randint(0, 256, (500, 16, 16, 3), dtype=torch.uint8)
    one, other = (
        views(images.to(device), True, torch.Generator().manual_seed(0)).cpu() for device in ("cpu", DEVICE)
    )
    torch.testing.assert_close(one, other, atol=0.1, rtol=0)


def test_augmentation_is_the_same_on_both_devices() -> None:
    images = torch.randint(0, 256, (500, 16, 16, 3), dtype=torch.uint8)
    fill = torch.tensor([9, 8, 7], dtype=torch.uint8)
    cpu = trivial_augment(images, fill, torch.Generator().manual_seed(1))
    gpu = trivial_augment(images.to(DEVICE), fill.to(DEVICE), torch.Generator().manual_seed(1)).cpu()
    far = (cpu.int() - gpu.int()).abs()
    assert (far > 1).float().mean() < 0.005  # a pixel on a border may round the other way


def test_bench_train_runs_here() -> None:
    from scenarios.bench import train

    found = train.measure(backbone="airbench", batch_size=64, rounds=1, device=DEVICE, threads=4)
    assert found["images_per_second"] > 0
    assert found["device"] == DEVICE


def test_descriptors_are_those_of_a_cpu() -> None:
    generator = torch.Generator().manual_seed(0)

    def rows(*shape: int) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)

    shown = descriptors.Situation(
        logits=torch.randn(4, 300, 10, generator=generator),
        points=rows(4, 300, 64),
        typicality=torch.rand(4, 300, generator=generator),
        labeled=rows(4, 50, 64),
        labels=torch.randint(-1, 10, (4, 50), generator=generator),
        anchors=rows(64, 64),
        query_size=10,
    )
    there = descriptors.Situation(*(part.to(DEVICE) for part in shown[:6]), shown.query_size)
    found, expected = descriptors.describe(there), descriptors.describe(shown)
    torch.testing.assert_close(found.candidates.cpu(), expected.candidates, atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(found.context.cpu(), expected.context, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["MixScores", "TopOfCandidates", "ScoreCandidates", "PickOneByOne"])
@pytest.mark.parametrize("recipe", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_policies_see_candidates(name: str, recipe: str) -> None:
    env = getattr(agents, name)(made(recipe, observe="progress", validation=50))
    shown, _ = env.reset(seed=0)
    over = False
    while not over:
        assert env.observation_space.contains(shown)
        shown, _, over, _, _ = env.step(env.action_space.sample())


@pytest.mark.parametrize("name", ["ALDigitsRidge-v0", "ALMix-v0"])
def test_a_batch_of_episodes_is_that_of_the_cpu(name: str) -> None:
    settings: dict[str, Any] = {"query_size": 10, "allow_peek": True, "candidates": 40}
    settings |= {"datasets": ["digits"], "cycles": 3} if name == "ALMix-v0" else {"budget": 30}
    envs: list[Any] = [
        gym.make_vec(name, num_envs=3, autoreset_mode="SameStep", device=device, **settings)
        for device in ("cpu", DEVICE)
    ]
    # Where two classes are equal to the last digits, rounding decides.
    one_image = 1 / 50  # of the smallest split
    for one, other in [[env.reset(seed=1)[0] for env in envs]]:
        assert one["indices"].tolist() == other["indices"].tolist()
    random = np.random.default_rng(0)
    for _ in range(7):
        asked = random.integers(200, size=(3, 2, 10))
        np.testing.assert_allclose(*(env.unwrapped.peek(asked) for env in envs), atol=one_image)
        (one, earned, *_), (other, theirs, *_) = (env.step(asked[:, 1]) for env in envs)
        np.testing.assert_allclose(earned, theirs, atol=one_image)
        np.testing.assert_allclose(one["features"], other["features"], atol=1e-5)
        np.testing.assert_allclose(one["probabilities"], other["probabilities"], atol=1e-3)
    assert envs[1].unwrapped.batch.logits.device.type == torch.device(DEVICE).type
    agent = agents.InBatch("margin", envs[1].unwrapped)
    assert agent.act().shape == (3, 10)


@pytest.mark.parametrize("name", ["marginal_gain", "peek_pg"])
def test_a_policy_learns_from_episodes_here(name: str) -> None:
    settings: dict[str, Any] = {
        "query_size": 5,
        "budget": 10,
        "candidates": 50,
        "validation": 100,
        "device": DEVICE,
    }
    options: dict[str, Any] = {"episodes": 4, "candidates": 50}
    if name == "marginal_gain":
        options |= {"rounds": 1, "tuning_rounds": 1, "batch_rounds": 1, "group": 4, "epochs": 1, "members": 1}
    trainer = trainers()[name]([LearningTask("ALDigitsRidge-v0", settings)], **options)
    for _ in range(3):
        assert all(np.isfinite(number) for number in trainer.advance(24).values())
