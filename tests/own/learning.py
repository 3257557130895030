"""Agents that learn while they play: what they have learned must survive a kill, alone and inside others."""

import torch

import agents


class Bandit(agents.Strategy):
    """The highest or the lowest of a score, whichever earned more so far; told rewards, it keeps sums of them."""

    needs = ("validation",)

    def __init__(self, pool=None):
        super().__init__(pool)
        self.sums = torch.zeros(2)
        self.told = []

    @property
    def sign(self):
        return 1 if self.sums[0] >= self.sums[1] else -1

    def pick(self, view, indices, count, generator):
        scores = self.sign * view.logits(indices).sum(1)
        return indices[agents.best(scores, count, generator).numpy()]

    def update(self, reward, info):
        self.sums[0 if self.sign == 1 else 1] += reward - 0.3
        self.told.append(sorted(info))

    def get_state(self):
        return {"sums": self.sums.clone(), "told": len(self.told)}

    def set_state(self, state):
        self.sums = state["sums"].clone()


class Spy(agents.Strategy):
    """Random, and writes down what it is told."""

    def pick(self, view, indices, count, generator):
        return indices[torch.randperm(len(indices), generator=generator)[:count].numpy()]

    def update(self, reward, info):
        with open("told.txt", "a") as file:
            print(reward, *sorted(info), file=file)


class Thief(Spy):
    """Asks the oracle, as no agent may and Python lets it."""

    def pick(self, view, indices, count, generator):
        labels = view._oracle.reveal(indices[: 3 * count])
        return indices[: 3 * count][labels.argsort()[:count]]
