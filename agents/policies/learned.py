"""The query policy that alenv ships, and others of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from agents.base import Indices, Strategy, in_order
from agents.policies import policy_folder
from agents.policies.gain_network import Blend, GainNetworks, batches, blended
from agents.registry import register
from alenv import descriptors
from alenv.descriptors import Descriptors
from alenv.errors import CorruptRun
from alenv.seeding import Purpose, torch_stream

if TYPE_CHECKING:
    from torch import Tensor

    from alenv import BatchView, View

KIND = "marginal_gain"
FORMAT = 2  # since 2, a blend has weights of four descriptors
SHIPPED = Path(__file__).parent / "shipped"


@register
class Learned(Strategy):
    """Networks that have learned on many other tasks what a label brings; they read what describes an image.

    They foresee how much the label of a candidate raises a smooth accuracy on held-out images, from 29 descriptors
    that mean the same for every dataset and classifier (``alenv.descriptors``). A query is put together greedily:
    their score, with the margin as labels become many, less the similarity to what the query holds already. Unchanged
    for every dataset, recipe and size; without any label it spreads over typical images.

    Args:
        policy: A folder that ``alenv train marginal_gain`` wrote; None = the one that is shipped.
        pool: None = this cycle's candidates.

    Attributes:
        networks: What scores the candidates.
        blend: How a query is put together from the scores.

    Raises:
        CorruptRun: The folder holds no such policy, or one that cannot be read.
    """

    name: ClassVar[str] = "learned"
    cost: ClassVar[str] = "one inference pass over the candidates, K^2 distances of 64 numbers, K B products"
    source: ClassVar[str] = (
        "trained by alenv; after Konyushkova, Sznitman & Fua 2017, Learning Active Learning from Data"
    )
    default_pool: ClassVar[str] = "candidates"

    def __init__(self, policy: str | None = None, pool: str | None = None) -> None:
        super().__init__(pool)
        self.networks, self.blend = load_networks(SHIPPED if policy is None else Path(policy))

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Describes ``indices`` together and chooses ``count`` of them."""
        shuffled = indices[torch.randperm(len(indices), generator=generator).numpy()]  # of equal ones, any
        described = Descriptors(*(part[None] for part in view.descriptors(shuffled)))
        picked: Indices = shuffled[self._chosen(described, view.positions(shuffled)[None], count)[0]]
        return picked

    def act_in_batch(self, batch: BatchView, seeds: Sequence[int]) -> Indices | None:
        """Describes the candidates of all episodes at once; None for the whole pool, or where candidates repeat."""
        found = in_order(batch) if self.pool == "candidates" else None
        if found is None:
            return None
        candidates, order = batch.candidates, found
        count = batch.query_size
        for i, (seed, cycle) in enumerate(zip(seeds, batch.cycle, strict=True)):
            stream = torch_stream(int(seed), Purpose.AGENT, int(cycle))
            order[i] = order[i][torch.randperm(candidates.shape[1], generator=stream).numpy()]
        shuffled = np.take_along_axis(candidates, order, axis=1)
        shown, places = batch.descriptors(), torch.from_numpy(order).to(batch.device)
        rows = shown.candidates.gather(1, places[:, :, None].expand_as(shown.candidates))
        described = Descriptors(rows, shown.context)
        return np.take_along_axis(shuffled, self._chosen(described, batch.positions(shuffled), count), axis=1)

    @torch.no_grad()
    def _chosen(self, described: Descriptors, points: Tensor, count: int) -> Indices:
        """Returns places among the candidates, int64 (E, count)."""
        networks, table = self.networks.to(points.device), self.blend.table.to(points.device)
        scores, diversity = blended(networks, described, table)
        return batches(scores, points, diversity, count).cpu().numpy()


def save_networks(networks: GainNetworks, blend: Blend, path: Path, made: dict[str, Any]) -> None:
    """Writes a folder that holds data only; it appears complete or not at all.

    Args:
        networks: What was trained.
        blend: How batches are put together.
        path: The folder to make.
        made: How it was made, as JSON values.

    Raises:
        RunConflict: The path exists.
        StorageError: The folder cannot be written.
    """
    config = {
        "format": FORMAT,
        "algorithm": KIND,
        "members": len(networks.weights[0]),
        "width": networks.weights[0].shape[2],
        "blend": asdict(blend),
        "descriptors": descriptors.VERSION,
        "made": made,
    }
    policy_folder.write(path, config, networks.state_dict())


def algorithm_of(folder: Path) -> str | None:
    """Returns by what the policy in a folder was trained, or None where its config cannot be read."""
    try:
        return str(policy_folder.config_in(folder)["algorithm"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_networks(folder: Path) -> tuple[GainNetworks, Blend]:
    """Reads what ``save_networks`` wrote; nothing in the folder is executed.

    Raises:
        CorruptRun: The folder holds no such policy, it cannot be read, or it rests on other descriptors.
    """
    try:
        config = policy_folder.config_in(folder)
        if config["algorithm"] != KIND or config["format"] != FORMAT:
            raise CorruptRun(
                f"{folder} holds a policy of another kind; give one that alenv train {KIND} wrote."
            )
        if config["descriptors"] != descriptors.VERSION:
            raise CorruptRun(
                f"The policy in {folder} was trained on version {config['descriptors']} of the descriptors, and this "
                f"is version {descriptors.VERSION}; train it again."
            )
        networks = GainNetworks(config["members"], torch.Generator(), config["width"])
        networks.load_state_dict(policy_folder.weights_in(folder))
        blend = Blend(**{name: tuple(values) for name, values in config["blend"].items()})
    except CorruptRun:
        raise
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        raise CorruptRun(
            f"The policy in {folder} cannot be read ({type(error).__name__}); give a folder that alenv train {KIND} "
            "wrote."
        ) from error
    return networks.eval(), blend
