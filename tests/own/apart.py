"""A strategy with a network of its own: what a small classifier tells most surely from the labeled images.

Source: Gissin and Shalev-Shwartz 2019, "Discriminative Active Learning", in its simplest form.
"""

import torch
from torch import nn

import agents
from alenv import fitting


class Apart(agents.Strategy):
    """The images that a network, trained at every query, takes for unlabeled most surely."""

    source = "Gissin & Shalev-Shwartz 2019"

    def pick(self, view, indices, count, generator):
        labeled, others = view.features(view.labeled), view.features(indices)
        x = torch.cat([labeled, others])
        y = torch.cat([torch.zeros(len(labeled)), torch.ones(len(others))]).to(x)
        network = fitting.build(
            lambda: nn.Sequential(nn.Linear(x.shape[1], 16), nn.ReLU(), nn.Linear(16, 1)),
            generator,
            view.runtime,
        )
        fitting.fit(
            network,
            lambda rows, _: nn.functional.binary_cross_entropy_with_logits(
                network(x[rows]).squeeze(1), y[rows]
            ),
            lambda _: fitting.minibatches(torch.arange(len(x), device=x.device), 64, generator),
            epochs=3,
            optimizer=torch.optim.Adam(network.parameters(), lr=0.01),
            runtime=view.runtime,
        )
        with torch.no_grad():
            return indices[agents.best(network(others).squeeze(1), count, generator).numpy()]
