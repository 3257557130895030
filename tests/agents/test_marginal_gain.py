"""The strategy that has learned: its networks, its batches, its folder, and that it acts everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
from agents.policies.batch_head import BatchHead
from agents.policies.gain_imitation import Examples, correlation, fit, quality
from agents.policies.gain_network import (
    STAGES,
    Blend,
    GainNetworks,
    GainPolicy,
    batches,
    blended,
    weights_at,
)
from agents.policies.gain_tuning import Tuning, draw
from agents.policies.learned import load, save
from alenv import BatchedEnv, core
from alenv.descriptors import CONTEXT, NAMES, Descriptors
from alenv.errors import CorruptRun, RunConflict

RIDGE = {"initial_size": 20, "query_size": 5, "budget": 15, "candidates": 40, "observe": "progress"}


def networks(members: int = 2) -> GainNetworks:
    return GainNetworks(members, torch.Generator().manual_seed(0), width=8)


def situation(episodes: int = 3, candidates: int = 20) -> Descriptors:
    generator = torch.Generator().manual_seed(1)
    return Descriptors(
        torch.randn(episodes, candidates, len(NAMES), generator=generator),
        torch.randn(episodes, len(CONTEXT), generator=generator),
    )


def test_members_are_networks_of_their_own() -> None:
    both, shown = networks(), situation()
    found = both(shown.candidates, shown.context)
    assert found.shape == (2, 3, 20)
    rows = torch.cat([shown.candidates[1], shown.context[1].expand(20, -1)], dim=1)
    for member in range(2):
        hidden = rows
        for layer in range(3):
            hidden = hidden @ both.weights[layer][member] + both.constants[layer][member]
            hidden = hidden.relu() if layer < 2 else hidden
        torch.testing.assert_close(found[member, 1], hidden[:, 0])
    each = shown.candidates.expand(2, -1, -1, -1), shown.context.expand(2, -1, -1)
    torch.testing.assert_close(both(*each), found)


def test_a_score_is_standardized_and_moves_with_its_candidate() -> None:
    both, shown = networks(), situation()
    scores = both.scores(shown)
    torch.testing.assert_close(scores.mean(1), torch.zeros(3), atol=0.05, rtol=0)  # some are clipped
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2))
    moved = both.scores(Descriptors(shown.candidates[:, order], shown.context))
    torch.testing.assert_close(moved, scores[:, order], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_blend_is_given_at_three_stages_and_linear_between(at: int) -> None:
    rows = torch.rand(6, 3, generator=torch.Generator().manual_seed(5))
    table = Blend.of(rows).table
    torch.testing.assert_close(table, rows)
    context = torch.zeros(3, len(CONTEXT))
    place = CONTEXT.index("log_labels_per_class")
    logs = np.log(STAGES)
    context[:, place] = torch.tensor([logs[at], (logs[0] + logs[1]) / 2, 20.0])
    found = weights_at(table, context)
    torch.testing.assert_close(found[0], rows[:, at])
    torch.testing.assert_close(found[1], (rows[:, 0] + rows[:, 1]) / 2)
    torch.testing.assert_close(found[2], rows[:, 2])  # beyond the last, as there


def test_scores_are_mixed_with_the_weights_of_the_stage() -> None:
    both, shown = networks(), situation()
    blend = Blend((1.0,) * 3, (0.5,) * 3, typicality=(-2.0,) * 3, diversity=(0.7,) * 3)
    scores, diversity = blended(both, shown, blend.table)
    margin, typicality = (shown.candidates[:, :, NAMES.index(name)] for name in ("log_margin", "typicality"))
    torch.testing.assert_close(scores, both.scores(shown) + 0.5 * margin - 2 * typicality)
    torch.testing.assert_close(diversity, torch.full((3,), 0.7))


def test_drawn_queries_have_the_gradients_of_their_probabilities() -> None:
    generator = torch.Generator().manual_seed(6)
    scores = torch.randn(2, 8, generator=generator, dtype=torch.float64).requires_grad_()
    diversity = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    points = torch.nn.functional.normalize(torch.randn(2, 8, 3, generator=generator), dim=2).double()
    drawn = draw(scores.detach(), points, diversity.detach(), 4, 5, generator)
    assert all(len(set(query.tolist())) == 4 for query in drawn.places.flatten(0, 1))
    for episode in range(2):
        for member in range(5):
            logarithm, chosen = torch.zeros((), dtype=torch.float64), []
            for place in drawn.places[episode, member].tolist():
                cosines = points[episode] @ points[episode, chosen].T
                nearest = torch.cat([cosines, torch.zeros(8, 1, dtype=torch.float64)], dim=1).amax(1)
                logits = scores[episode] - diversity[episode] * nearest
                free = torch.ones(8, dtype=torch.bool)
                free[chosen] = False
                logarithm = logarithm + logits.masked_fill(~free, -torch.inf).log_softmax(0)[place]
                chosen.append(place)
            by_scores, by_diversity = torch.autograd.grad(logarithm, (scores, diversity))
            torch.testing.assert_close(drawn.of_scores[episode, member], by_scores[episode])
            torch.testing.assert_close(drawn.of_diversity[episode, member], by_diversity[episode])


def test_queries_are_drawn_by_their_probabilities() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).log_softmax(1)
    points, generator = torch.zeros(1, 4, 2), torch.Generator().manual_seed(7)
    first = draw(scores, points, torch.zeros(1), 1, 20_000, generator).places.flatten()
    shares = torch.bincount(first, minlength=4) / 20_000
    torch.testing.assert_close(shares, scores[0].exp(), atol=0.015, rtol=0)  # four standard errors


def test_batches_are_those_of_a_slow_greedy_rule() -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(4, 12, generator=generator)
    points = torch.nn.functional.normalize(torch.randn(4, 12, 3, generator=generator), dim=2)
    diversity = torch.tensor([0.0, 0.3, 1.0, 5.0])
    found = batches(scores, points, diversity, 6)
    for episode in range(4):
        chosen: list[int] = []
        for _ in range(6):
            worth = {}
            for i in set(range(12)) - set(chosen):
                near = max((float(points[episode, i] @ points[episode, j]) for j in chosen), default=0.0)
                worth[i] = float(scores[episode, i]) - 3 * float(diversity[episode]) * max(near, 0.0)
            chosen.append(max(worth, key=lambda i: worth[i]))
        assert found[episode].tolist() == chosen
    assert found[0].tolist() == scores[0].argsort(descending=True)[:6].tolist()


def test_networks_learn_what_is_to_be_foreseen() -> None:
    generator = torch.Generator().manual_seed(4)
    candidates = torch.randn(600, 16, len(NAMES), generator=generator)
    gains = candidates[:, :, 3].abs() + candidates[:, :, 7].abs()  # which no descriptor says
    gains = (gains - gains.mean(1, keepdim=True)) / gains.std(1, keepdim=True, correction=0)
    context = torch.zeros(600, len(CONTEXT))
    seen = Examples(candidates[:500].half(), context[:500], gains[:500])
    unseen = Examples(candidates[500:].half(), context[500:], gains[500:])
    both = GainNetworks(2, generator, width=32)
    assert abs(quality(both, unseen)) < 0.3
    assert (
        max(float(correlation(unseen.candidates[:, :, i].float(), unseen.gains).mean()) for i in range(29))
        < 0.2
    )
    history = fit(both, seen, generator, epochs=25)
    assert history[-1] > history[0]
    assert quality(both, unseen) > 0.8


def test_tuning_finds_what_queries_are_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a query is worth the typicality of its images, typical images come to be chosen."""
    settings = {**RIDGE, "candidates": 60, "validation": 100, "allow_peek": True}
    env = gym.make_vec("ALDigitsRidge-v0", num_envs=8, autoreset_mode="Disabled", **settings).unwrapped
    assert isinstance(env, BatchedEnv)

    def typical(queries: np.ndarray) -> np.ndarray:
        places = torch.from_numpy((env.batch.candidates[:, None, None] == queries[..., None]).argmax(3))
        rows = env.batch.descriptors().candidates[:, :, NAMES.index("typicality")]
        return rows.gather(1, places.flatten(1)).view(places.shape).mean(2).numpy().astype(np.float64)

    monkeypatch.setattr(env, "peek", typical)
    generator = torch.Generator().manual_seed(8)
    tuning = Tuning(networks(), Blend(), group=8, temperature=0.3, rate=3e-3)
    worths = [tuning.play(env, range(8 * at, 8 * at + 8), generator)["worth"] for at in range(14)]
    assert abs(worths[0]) < 0.7
    assert worths[-1] > 1.2
    assert min(tuning.blend.typicality[:2]) > 0.1  # there are 2 to 4 labels a class
    assert tuning.blend.typicality[2] == 0
    assert tuning.blend.diversity[0] < Blend().diversity[0]


def test_episodes_at_once_are_played_as_alone() -> None:
    batch = gym.make_vec("ALDigitsRidge-v0", num_envs=3, **RIDGE)
    batch.reset(seed=5)
    player = agents.InBatch("learned", batch.unwrapped)  # type: ignore[arg-type]  # Gymnasium says any
    queries = []
    for _ in range(3):
        queries.append(player.act())
        batch.step(queries[-1])
    for episode in range(3):
        env = gym.make("ALDigitsRidge-v0", **RIDGE)
        env.reset(seed=5 + episode)
        agent = agents.make("learned")
        agent.reset(core(env).view, seed=core(env).key)
        for cycle in range(3):
            query = agent.act(None)
            np.testing.assert_array_equal(query, queries[cycle][episode])
            env.step(query)


@pytest.mark.parametrize(
    ("env_id", "settings"),
    [
        ("ALDigits-v0", {"epochs": 1, "width": 4, "initial_size": 20}),
        ("ALDigitsRidge-v0", {"initial_size": 0}),
        ("ALDigitsLogistic-v0", {"initial_size": 3}),
        ("ALDigitsRidge-v0", {"initial_size": 20, "candidates": 5}),
    ],
)
def test_it_acts_on_any_environment(env_id: str, settings: dict[str, int]) -> None:
    env = gym.make(env_id, on_invalid="raise", query_size=5, budget=10, **settings)
    env.reset(seed=0)
    agent, over = agents.make("learned"), False
    agent.reset(core(env).view, seed=0)
    while not over:
        query = agent.act(None)
        assert len(set(query.tolist())) == 5
        over = env.step(query)[2]


def test_it_chooses_better_than_chance_and_margin() -> None:
    settings = {**RIDGE, "query_size": 10, "budget": 50, "candidates": 200, "test": True}
    areas = {}
    for spelled in ("learned", "margin:pool=candidates", "random"):
        env = gym.make_vec("ALDigitsRidge-v0", num_envs=24, autoreset_mode="Disabled", **settings)
        env.reset(seed=30_000)
        player = agents.InBatch(spelled, env.unwrapped)  # type: ignore[arg-type]  # Gymnasium says any
        areas[spelled] = np.mean([env.step(player.act())[4]["test_accuracy"] for _ in range(5)])
    assert areas["learned"] > areas["margin:pool=candidates"] > areas["random"]


def test_a_folder_is_whole_and_holds_data_only(tmp_path: Path) -> None:
    both, blend = networks(), Blend((1.0, 1.0, 0.0))
    head = BatchHead(torch.Generator().manual_seed(1), width=4)
    torch.nn.init.ones_(head.leave)
    save(GainPolicy(both, blend, head), tmp_path / "p", {"seed": 3})
    assert sorted(file.name for file in (tmp_path / "p").iterdir()) == ["config.json", "weights.safetensors"]
    again = load(tmp_path / "p")
    assert again.blend == blend
    shown = situation()
    torch.testing.assert_close(blended(again.networks, shown, blend.table), blended(both, shown, blend.table))
    assert again.head is not None
    torch.testing.assert_close(again.head.state_dict(), head.state_dict())
    assert json.loads((tmp_path / "p" / "config.json").read_text())["made"] == {"seed": 3}
    with pytest.raises(RunConflict, match="choose another folder"):
        save(GainPolicy(both, blend), tmp_path / "p", {})
    assert isinstance(agents.make(f"policy={tmp_path / 'p'}"), agents.Strategy)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"descriptors": 0}, "version 0 of the descriptors"),
        ({"format": 9}, "another kind"),
        ({"members": 5}, "cannot be read"),
        ({"blend": {"network": [1]}}, "cannot be read"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    save(GainPolicy(networks(), Blend()), tmp_path / "p", {})
    config = tmp_path / "p" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(CorruptRun, match=sentence):
        agents.make(f"policy={tmp_path / 'p'}")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    save(GainPolicy(networks(), Blend()), tmp_path / "p", {})
    weights = tmp_path / "p" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CorruptRun, match="cannot be read"):
        agents.make(f"policy={tmp_path / 'p'}")


def test_what_ships_is_small() -> None:
    folder = Path(agents.__file__).parent / "policies" / "shipped"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 200_000
    made = json.loads((folder / "config.json").read_text())["made"]
    assert {"training", "versions"} <= made.keys()


@pytest.mark.parametrize("spelled", ["learned", "learned:pool=all", "random+learned"])
def test_the_shipped_policy_is_part_of_what_identifies_a_run(spelled: str) -> None:
    found = agents.content(spelled)
    assert sorted(found) == ["policy/config.json", "policy/weights.safetensors"]
    assert all(isinstance(file, Path) and file.is_file() for file in found.values())
    assert agents.content("margin") == {}
