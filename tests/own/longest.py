"""A strategy: the images with the longest feature vectors."""

import agents


class Longest(agents.Strategy):
    """The longest feature vectors, or the shortest."""

    source = "none"

    def __init__(self, shortest=False, pool=None):
        super().__init__(pool)
        self.sign = -1 if shortest else 1

    def pick(self, view, indices, count, generator):
        scores = self.sign * view.features(indices).norm(dim=1)
        return indices[agents.best(scores, count, generator).numpy()]
