"""PPO in one file, in the manner of CleanRL: read it top to bottom; it needs Gymnasium, torch and alenv alone.

python cleanrl_style.py --env ALDigitsRidge-v0 --updates 25

A network scores every candidate, and a query is drawn from the scores without replacement (Plackett-Luce).
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

import alenv  # registers the environments

Shown = dict[str, Tensor]


class Network(nn.Module):
    """Scores candidates by their probabilities and the state of learning, whatever K and C; and a critic."""

    def __init__(self) -> None:
        super().__init__()
        size = alenv.STATS_SIZE
        self.actor = nn.Sequential(nn.Linear(3 + size, 64), nn.Tanh(), nn.Linear(64, 1))
        self.critic = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, shown: Shown) -> tuple[Tensor, Tensor]:
        """Returns scores (n, K) and values (n,)."""
        chances, stats = shown["probabilities"], shown["stats"]  # (n, K, C) and (n, 27)
        top = chances.topk(2, dim=2).values
        entropy = torch.special.entr(chances).sum(2) / math.log(chances.shape[2])
        each = torch.stack([top[:, :, 0] - top[:, :, 1], top[:, :, 0], entropy], 2)  # (n, K, 3)
        around = stats[:, None].expand(-1, each.shape[1], -1)
        return self.actor(torch.cat([each, around], 2))[:, :, 0], self.critic(stats)[:, 0]


def drawn(scores: Tensor, count: int) -> Tensor:
    """Draws ordered picks (n, B): the highest of scores (n, K) with Gumbel noise."""
    noise = -torch.rand_like(scores).clamp(1e-20, 1 - 1e-7).log().neg().log()
    return (scores + noise).topk(count, dim=1).indices


def log_probability(scores: Tensor, picks: Tensor) -> Tensor:
    """Returns (n,): each pick's score less the log of the sum over what was left, B < K."""
    chosen = scores.gather(1, picks)
    rest = scores.scatter(1, picks, -torch.inf).logsumexp(1, keepdim=True)
    left = torch.cat([chosen, rest], 1).flip(1).logcumsumexp(1).flip(1)[:, :-1]
    return (chosen - left).sum(1)


def train(
    env_id: str = "ALDigitsRidge-v0",
    num_envs: int = 16,
    updates: int = 25,
    seed: int = 0,
    epochs: int = 4,
    minibatches: int = 4,
    lr: float = 1e-3,
    lam: float = 0.95,  # of generalized advantages; the return is a finite sum, so that gamma is 1
    clip: float = 0.2,
    **settings: Any,
) -> tuple[Network, list[float]]:
    """Trains, and returns the network and the mean return of the episodes before each update."""
    torch.manual_seed(seed)
    env: Any = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode="SameStep", **settings)
    steps, size = (
        env.unwrapped.protocol.cycles,
        env.unwrapped.protocol.query_size,
    )  # an update: one episode of each
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=lr, eps=1e-5)
    observation, _ = env.reset(seed=seed)
    returns: list[float] = []
    for update in range(updates):
        seen, acts, logs, values = [], [], [], []
        rewards, ends = torch.zeros(steps, num_envs), torch.zeros(steps, num_envs)
        for step in range(steps):
            shown = {name: torch.from_numpy(observation[name]) for name in ("probabilities", "stats")}
            with torch.no_grad():
                scores, value = network(shown)
                picks = drawn(scores, size)
                logs.append(log_probability(scores, picks))
            seen.append(shown)
            acts.append(picks)
            values.append(value)
            query = np.take_along_axis(observation["indices"], picks.numpy(), axis=1)
            observation, reward, over, _, _ = env.step(query)
            rewards[step], ends[step] = torch.from_numpy(reward), torch.from_numpy(over)
        returns.append(float(rewards.sum(0).mean()))
        print(f"update {update + 1}: return {returns[-1]:.4f}")

        advantages, last = torch.zeros(steps, num_envs), torch.zeros(num_envs)
        following = torch.zeros(num_envs)  # every episode ends with the last step
        for step in reversed(range(steps)):
            error = rewards[step] + following * (1 - ends[step]) - values[step]
            advantages[step] = last = error + lam * (1 - ends[step]) * last
            following = values[step]

        flat = {name: torch.cat([each[name] for each in seen]) for name in seen[0]}
        picked, old = torch.cat(acts), torch.cat(logs)
        advantage = advantages.flatten()
        target = advantage + torch.cat(values)
        for _ in range(epochs):
            for rows in torch.randperm(len(old)).chunk(minibatches):
                scores, value = network({name: part[rows] for name, part in flat.items()})
                ratio = (log_probability(scores, picked[rows]) - old[rows]).exp()
                wanted = advantage[rows]
                wanted = (wanted - wanted.mean()) / (wanted.std() + 1e-8)
                policy_loss = -torch.min(wanted * ratio, wanted * ratio.clamp(1 - clip, 1 + clip)).mean()
                loss = policy_loss + 0.5 * (value - target[rows]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 0.5)
                optimizer.step()
    env.close()
    return network, returns


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", default="ALDigitsRidge-v0")
    parser.add_argument("--num-envs", type=int, default=16)
    parser.add_argument("--updates", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    train(given.env, given.num_envs, given.updates, given.seed)
