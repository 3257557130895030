"""The head for batches: how candidates stand to a query that grows, and that it learns what they are worth then."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from agents.policies import learned
from agents.policies.batch_head import RELATIONS, BatchHead, Relations
from agents.policies.batch_training import PartialQueries, collect_partial, fit_head
from agents.policies.gain_imitation import SHOWN, correlation
from agents.policies.gain_network import Blend, Candidates, GainNetworks, GainPolicy, blended
from agents.policies.gain_training import MarginalGain
from agents.policies.training import LearningTask
from alenv import BatchedEnv
from alenv.descriptors import BOUND, CONTEXT, NAMES, Descriptors
from alenv.errors import CorruptRun

TASK = LearningTask(
    "ALDigitsRidge-v0",
    {"initial_size": 20, "query_size": 6, "budget": 12, "candidates": 60, "validation": 100},
)
MIX = LearningTask(
    "ALMix-v0", {"datasets": ["digits"], "pool_size": 300, "cycles": 2, "query_size": 20, "candidates": 40}
)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shown(episodes: int = 3, candidates: int = 15, size: int = 5) -> Candidates:
    draws = stream(1)
    described = Descriptors(
        torch.randn(episodes, candidates, len(NAMES), generator=draws),
        torch.randn(episodes, len(CONTEXT), generator=draws),
    )
    points = torch.nn.functional.normalize(torch.randn(episodes, candidates, 7, generator=draws), dim=2)
    probabilities = torch.randn(episodes, candidates, 4, generator=draws).softmax(2)
    return Candidates(described, points, probabilities, torch.full((episodes,), float(size)))


def trained_head(seed: int = 2) -> BatchHead:
    """A head that adds something."""
    head = BatchHead(stream(seed), width=8)
    torch.nn.init.normal_(head.leave, generator=stream(seed))
    return head


def related(case: Candidates, episode: int, chosen: Sequence[int], candidate: int) -> list[float]:
    """The relations of one candidate by their definition, in float64."""
    if not chosen:
        return [0.0] * len(RELATIONS)
    points, chances = case.points[episode].double().numpy(), case.probabilities[episode].double().numpy()
    own, others = points[candidate], points[list(chosen)]
    cosines = others @ own
    weights = np.linalg.solve(others.T @ others + 0.3 * np.eye(len(own)), own)
    predicted, size = chances.argmax(1), float(case.sizes[episode])
    same = sum(int(predicted[each] == predicted[candidate]) for each in chosen)
    return [
        max(0.0, cosines.max()),
        cosines.mean(),
        math.log(0.3 * own @ weights),  # the ridge form of a Gaussian process's variance
        float(chances[candidate] @ chances[list(chosen)].mean(0)),
        same / len(chosen),
        same / size,
        len(chosen) / size,
        math.log(1 + len(chosen)) / 5,
    ]


def test_relations_are_those_of_their_definition() -> None:
    case = shown()
    relations, orders = (
        Relations(case.points, case.probabilities, case.sizes),
        [[3, 1, 8], [0, 14, 2], [5, 6, 7]],
    )
    for step in range(4):
        for episode in range(3):
            for candidate in range(15):
                expected = related(case, episode, orders[episode][:step], candidate)
                torch.testing.assert_close(
                    relations.now[episode, candidate],
                    torch.tensor(expected, dtype=torch.float32),
                    atol=1e-4,
                    rtol=1e-4,
                )
        if step < 3:
            relations.add(torch.tensor([[order[step]] for order in orders]))


@torch.no_grad()
def test_queries_are_those_of_a_slow_greedy_rule() -> None:
    case = shown()
    policy = GainPolicy(GainNetworks(2, stream(), width=8), Blend(), trained_head())
    found = policy.chosen(case, 5)
    plain = GainPolicy(policy.networks, policy.blend).chosen(case, 5)
    assert not torch.equal(found, plain)
    scores, diversity = blended(policy.networks, case.described, policy.blend.table)
    assert policy.head is not None
    for episode in range(3):
        chosen: list[int] = []
        for pick in found[episode].tolist():
            worth = {}
            for place in set(range(15)) - set(chosen):
                relations = torch.tensor(related(case, episode, chosen, place), dtype=torch.float32)
                added = policy.head(
                    relations[None], scores[episode, place][None], case.described.context[episode]
                )
                worth[place] = float(
                    scores[episode, place] - BOUND * diversity[episode] * relations[0] + added[0]
                )
            assert worth[pick] == pytest.approx(max(worth.values()), abs=1e-3)
            chosen.append(pick)


def test_a_classifier_that_diverged_gives_a_query_of_different_images() -> None:
    case = shown()
    broken = case._replace(probabilities=torch.full_like(case.probabilities, torch.nan))
    policy = GainPolicy(GainNetworks(2, stream(), width=8), Blend(), trained_head())
    assert all(len(set(query.tolist())) == 15 for query in policy.chosen(broken, 15))


def test_a_new_head_adds_nothing() -> None:
    case, networks = shown(), GainNetworks(2, stream(), width=8)
    plain, headed = (
        GainPolicy(networks, Blend(), head).chosen(case, 6) for head in (None, BatchHead(stream()))
    )
    assert torch.equal(plain, headed)


def test_a_head_learns_what_candidates_lose_beside_the_query() -> None:
    draws = stream(3)
    count, size = 800, 16
    relations = torch.randn(count, size, len(RELATIONS), generator=draws)
    scores = torch.randn(count, size, generator=draws)
    context = torch.randn(count, len(CONTEXT), generator=draws)
    gains = scores - 2 * relations[:, :, 2] * (context[:, 1:2] > 0)  # in some states only
    gains = (gains - gains.mean(1, keepdim=True)) / gains.std(1, keepdim=True, correction=0)
    examples = PartialQueries(relations.half(), scores, scores, context, gains)
    seen, unseen = (
        PartialQueries(*(part[rows] for part in examples)) for rows in (slice(600), slice(600, None))
    )
    head = BatchHead(draws)

    @torch.no_grad()
    def quality() -> float:
        added = head(unseen.relations.float(), unseen.scores, unseen.context)
        return float(correlation(unseen.diverse + added, unseen.gains).mean())

    before = quality()
    history = fit_head(head, seen, draws, epochs=20)
    assert history[-1] > history[0]
    assert before < 0.8
    assert quality() > 0.9


def environments(task: LearningTask) -> BatchedEnv:
    env = gym.make_vec(
        task.env_id,
        num_envs=4,
        autoreset_mode="Disabled",
        **{"observe": "progress", "allow_peek": True, **task.settings},
    ).unwrapped
    assert isinstance(env, BatchedEnv)
    return env


@pytest.mark.parametrize("task", [TASK, MIX])
def test_states_lie_in_the_midst_of_queries(task: LearningTask, monkeypatch: pytest.MonkeyPatch) -> None:
    env = environments(task)
    asked: list[tuple[np.ndarray, Sequence[np.ndarray], np.ndarray]] = []
    gains = env.gains

    def noted(indices: np.ndarray, after: Sequence[np.ndarray]) -> Tensor:
        asked.append((indices, after, env.batch.query_sizes))
        return gains(indices, after)

    monkeypatch.setattr(env, "gains", noted)
    policy = GainPolicy(GainNetworks(2, stream(), width=8), Blend())
    found = collect_partial(env, range(4), policy, stream(5))
    assert found.relations.shape[1:] == (SHOWN, len(RELATIONS))
    assert len(asked) == env.protocol.cycles
    assert len(found.gains) <= 4 * env.protocol.cycles
    filled = found.relations[:, 0, RELATIONS.index("filled")].float().tolist()
    counts = []
    for indices, after, sizes in asked:
        for row, before, size in zip(indices, after, sizes, strict=True):
            assert len(before) < size
            assert not set(row.tolist()) & set(before.tolist())
            counts.append(len(before) / size)
    assert len(set(counts)) > 2
    if len(filled) == len(counts):
        assert filled == pytest.approx(counts, abs=1e-3)


def test_gains_after_a_query_are_those_once_it_is_bought() -> None:
    for task in (TASK, MIX):
        env = environments(task)
        env.reset(seed=[1, 2, 3, 4])
        query, sizes = env.batch.candidates[:, : env.batch.query_size], env.batch.query_sizes
        asked = env.batch.candidates[:, -8:]
        now = env.gains(asked)
        after = env.gains(asked, [row[:size] for row, size in zip(query, sizes, strict=True)])
        torch.testing.assert_close(env.gains(asked), now, atol=0, rtol=0)  # it is forgotten again
        torch.testing.assert_close(env.gains(asked, [row[:0] for row in query]), now, atol=0, rtol=0)
        env.step(query)
        torch.testing.assert_close(env.gains(asked), after, atol=1e-6, rtol=1e-4)
        assert not torch.allclose(now, after, atol=1e-4)


OPTIONS: dict[str, Any] = {"episodes": 4, "epochs": 1, "batch_rounds": 2}


def test_a_head_is_learned_for_a_policy_that_is_kept(tmp_path: Path) -> None:
    before = GainPolicy(GainNetworks(2, stream(), width=8), Blend(diversity=(1.0, 0.5, 0.2)))
    learned.save(before, tmp_path / "start", {"round": 7})
    made = MarginalGain([TASK], start=str(tmp_path / "start"), **OPTIONS)
    assert made.advance(16).keys() == {"correlation/partial"}
    state = made.get_state()
    again = MarginalGain([TASK], start=str(tmp_path / "start"), **OPTIONS)
    again.set_state(state)
    for trainer, name in ((made, "one"), (again, "two")):
        trainer.advance(16)
        assert (trainer.round, trainer.steps) == (2, 16)
        trainer.save(tmp_path / name, {"round": 2})
    one, two = (tmp_path / name / "weights.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    after = learned.load(tmp_path / "one")
    torch.testing.assert_close(after.networks.state_dict(), before.networks.state_dict())
    torch.testing.assert_close(after.blend.table, before.blend.table)
    assert after.head is not None
    assert after.head.leave.abs().max() > 0
    assert learned.how_made(tmp_path / "one") == {"round": 2, "start": {"round": 7}}
    with pytest.raises(CorruptRun, match="cannot be read"):
        MarginalGain([TASK], start=str(tmp_path), **OPTIONS)


def test_a_folder_from_before_the_head_is_read(tmp_path: Path) -> None:
    learned.save(GainPolicy(GainNetworks(2, stream(), width=8), Blend()), tmp_path / "p", {})
    config = tmp_path / "p" / "config.json"
    old = json.loads(config.read_text())
    assert old.pop("head") is None
    config.write_text(json.dumps({**old, "format": 2}))
    assert learned.load(tmp_path / "p").head is None
