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
from agents.policies.batch_head import BatchHead
from agents.policies.gain_network import Blend, Candidates, GainNetworks, GainPolicy
from agents.registry import register
from alenv import descriptors
from alenv.descriptors import Descriptors
from alenv.errors import CorruptRun
from alenv.seeding import Purpose, torch_stream

if TYPE_CHECKING:
    from alenv import BatchView, View

KIND = "marginal_gain"
FORMAT = 3
FORMATS = (2, FORMAT)  # 2 has no head for batches
HEAD = "head."  # begins the names of its weights
SHIPPED = Path(__file__).parent / "shipped"


@register
class Learned(Strategy):
    """Networks that have learned on many other tasks what a label brings; they read what describes an image.

    They foresee how much the label of a candidate raises a smooth accuracy on held-out images, from 29 descriptors
    that mean the same for every dataset and classifier (``alenv.descriptors``). A query is put together greedily:
    their score, with the margin as labels become many, less the similarity to what the query holds already, and what a
    head for batches adds (``agents.policies.batch_head``). Unchanged for every dataset, recipe and size; without any
    label it spreads over typical images.

    Args:
        policy: A folder that ``alenv train marginal_gain`` wrote; None = the one that is shipped.
        pool: None = this cycle's candidates.

    Attributes:
        trained: What scores the candidates and puts a query together.

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
        self.trained = load(SHIPPED if policy is None else Path(policy))

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Describes ``indices`` together and chooses ``count`` of them."""
        shuffled = indices[torch.randperm(len(indices), generator=generator).numpy()]  # of equal ones, any
        shown = Candidates(
            Descriptors(*(part[None] for part in view.descriptors(shuffled))),
            view.positions(shuffled)[None],
            view.probabilities(shuffled)[None],
            torch.full((1,), float(count), device=view.device),
        )
        picked: Indices = shuffled[self.trained.chosen(shown, count)[0].cpu().numpy()]
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
        places = torch.from_numpy(order).to(batch.device)[:, :, None]
        described, probabilities = batch.descriptors(), batch.probabilities
        shown = Candidates(
            Descriptors(
                described.candidates.gather(1, places.expand_as(described.candidates)), described.context
            ),
            batch.positions(shuffled),
            probabilities.gather(1, places.expand_as(probabilities)),
            torch.from_numpy(batch.query_sizes).to(probabilities),
        )
        return np.take_along_axis(shuffled, self.trained.chosen(shown, count).cpu().numpy(), axis=1)


def save(policy: GainPolicy, path: Path, made: dict[str, Any]) -> None:
    """Writes a folder that holds data only; it appears complete or not at all.

    Args:
        policy: What was trained.
        path: The folder to make.
        made: How it was made, as JSON values.

    Raises:
        RunConflict: The path exists.
        StorageError: The folder cannot be written.
    """
    networks, head = policy.networks, policy.head
    config = {
        "format": FORMAT,
        "algorithm": KIND,
        "members": len(networks.weights[0]),
        "width": networks.weights[0].shape[2],
        "head": None if head is None else len(head.leave),
        "blend": asdict(policy.blend),
        "descriptors": descriptors.VERSION,
        "made": made,
    }
    own = {} if head is None else {HEAD + name: value for name, value in head.state_dict().items()}
    policy_folder.write(path, config, networks.state_dict() | own)


def algorithm_of(folder: Path) -> str | None:
    """Returns by what the policy in a folder was trained, or None where its config cannot be read."""
    try:
        return str(policy_folder.config_in(folder)["algorithm"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def how_made(folder: Path) -> dict[str, Any]:
    """Returns how the policy in a folder that ``load`` can read was made."""
    return dict(policy_folder.config_in(folder)["made"])


def load(folder: Path) -> GainPolicy:
    """Reads what ``save`` wrote; nothing in the folder is executed.

    Raises:
        CorruptRun: The folder holds no such policy, it cannot be read, or it rests on other descriptors.
    """
    try:
        config = policy_folder.config_in(folder)
        if config["algorithm"] != KIND or config["format"] not in FORMATS:
            raise CorruptRun(
                f"{folder} holds a policy of another kind; give one that alenv train {KIND} wrote."
            )
        if config["descriptors"] != descriptors.VERSION:
            raise CorruptRun(
                f"The policy in {folder} was trained on version {config['descriptors']} of the descriptors, and this "
                f"is version {descriptors.VERSION}; train it again."
            )
        networks = GainNetworks(config["members"], torch.Generator(), config["width"])
        weights = policy_folder.weights_in(folder)
        head = None
        if config.get("head") is not None:
            head = BatchHead(torch.Generator(), config["head"])
            head.load_state_dict({name: weights.pop(HEAD + name) for name in head.state_dict()})
        networks.load_state_dict(weights)
        blend = Blend(**{name: tuple(values) for name, values in config["blend"].items()})
    except CorruptRun:
        raise
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        raise CorruptRun(
            f"The policy in {folder} cannot be read ({type(error).__name__}); give a folder that alenv train {KIND} "
            "wrote."
        ) from error
    return GainPolicy(networks.eval(), blend, None if head is None else head.eval())
