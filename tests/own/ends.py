"""Two strategies that are told apart by the images they choose: those of the lowest or of the highest index."""

import agents


class Lowest(agents.Strategy):
    """The lowest indices."""

    def pick(self, view, indices, count, generator):
        return indices[:count].copy()


class Highest(agents.Strategy):
    """The highest indices."""

    def pick(self, view, indices, count, generator):
        return indices[::-1][:count].copy()


class NoStrategy(agents.Agent):
    """An agent that chooses from no given images."""
