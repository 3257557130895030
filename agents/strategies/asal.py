"""ASAL: images that a generator makes up to confuse the classifier, and the pool's images that are most like them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import options
from agents.adversarial import shape_of
from agents.base import Indices, Strategy, at_random
from agents.registry import register
from agents.strategies.fkssal import matches
from alenv import fitting, geometry
from alenv.seeding import Purpose, torch_stream

if TYPE_CHECKING:
    from alenv import Runtime, View

CHANNELS = (64, 128, 256)  # of the discriminator's stages; the generator has them in reverse
BETAS = (0.5, 0.999)
SLOPE = 0.2  # of LeakyReLU
ROWS = 256  # images at once
SAMPLE = 4096  # images that tell the range of values
SPACES = ("discriminator", "pixels")


class ImageGenerator(nn.Module):
    """Makes images (n, C, H, W) from latent codes (n, d): a linear layer and three doubling transposed convolutions."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: float) -> None:
        """Builds the layers.

        Args:
            shape: (C, H, W), H and W at least 8.
            latent: d.
            width: Share of the usual channels, at least one each.
        """
        super().__init__()
        wide = [shape[0], *(max(1, round(width * channels)) for channels in CHANNELS)]
        sides, layers = list(shape[1:]), list[nn.Module]()
        for position, (after, before) in enumerate(pairwise(wide)):
            kernel = [3 if side % 2 else 4 for side in sides]
            last = position == 0
            convolution = nn.ConvTranspose2d(before, after, (kernel[0], kernel[1]), 2, 1, bias=last)
            layers = [convolution, *([] if last else [nn.BatchNorm2d(after), nn.ReLU()]), *layers]
            sides = [(side + 1) // 2 for side in sides]
        start = [nn.Linear(latent, wide[-1] * sides[0] * sides[1]), nn.Unflatten(1, (wide[-1], *sides))]
        self.layers = nn.Sequential(*start, nn.BatchNorm2d(wide[-1]), nn.ReLU(), *layers)
        self.latent = latent
        self.range: tuple[Tensor, Tensor] = (torch.zeros(shape[0], 1, 1), torch.ones(shape[0], 1, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """Maps codes (n, d) to images within ``range``."""
        low, high = self.range
        shares: Tensor = self.layers(codes).sigmoid()
        return low + (high - low) * shares


class ImageCritic(nn.Module):
    """Tells real images from made-up ones: three halving convolutions, logits (n,), high for real."""

    def __init__(self, colors: int, width: float) -> None:
        """Builds the layers.

        Args:
            colors: Channels of the images.
            width: Share of the usual channels, at least one each.
        """
        super().__init__()
        layers, before = list[nn.Module](), colors
        for channels in CHANNELS:
            after = max(1, round(width * channels))
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            before = after
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(before, 1)

    def describe(self, images: Tensor) -> Tensor:
        """Returns spatial means of the last stage, (n, c)."""
        return self.layers(images).mean((2, 3))  # type: ignore[no-any-return]  # a module's call is untyped

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (n, C, H, W) to logits (n,)."""
        logits: Tensor = self.head(self.describe(images))
        return logits.squeeze(1)


def train_generator(
    view: View,
    generator: torch.Generator,
    *,
    latent: int,
    width: float,
    epochs: int,
    batch_size: int,
    lr: float,
) -> tuple[ImageGenerator, ImageCritic]:
    """Trains both networks against each other on all images of a pool, without labels.

    Args:
        view: The pool.
        generator: A CPU generator of all that is random.
        latent: d.
        width: Share of the usual channels.
        epochs: Passes over the pool.
        batch_size: Real images per step, and made-up ones; at least 2.
        lr: Learning rate of both Adam optimizers.

    Returns:
        The networks, in eval mode.

    Source: Radford et al. 2016: architecture and optimizer, with a smaller critic without BatchNorm.
    """
    runtime, shape = view.runtime, shape_of(view)
    maker = fitting.build(lambda: ImageGenerator(shape, latent, width), generator, runtime)
    critic = fitting.build(lambda: ImageCritic(shape[0], width), generator, runtime)
    maker.range = _range(view, generator)
    second = torch.optim.Adam(critic.parameters(), lr, BETAS)
    latest: list[Tensor] = []

    def loss(rows: Tensor, moment: fitting.Moment) -> Tensor:
        codes = torch.randn(max(2, len(rows)), latent, generator=generator).to(runtime.device)
        latest[:] = [view.images(rows), maker(codes)]
        return F.softplus(-critic(latest[1])).mean()

    def after_step() -> None:
        second.zero_grad()
        real, made = latest[0], latest[1].detach()
        total = F.softplus(-critic(real)).mean() + F.softplus(critic(made)).mean()
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        second.step()

    everything = torch.arange(len(view))
    fitting.fit(
        [maker, critic],
        loss,
        lambda epoch: fitting.minibatches(everything, batch_size, generator),
        epochs=epochs,
        optimizer=torch.optim.Adam(maker.parameters(), lr, BETAS),
        after_step=after_step,
        runtime=runtime,
        title="image generator",
    )
    return maker, critic


def _range(view: View, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns the least and the largest value of each channel of some images, (C, 1, 1) each."""
    some = view.images(torch.randperm(len(view), generator=generator)[:SAMPLE])
    return some.amin((0, 2, 3))[:, None, None], some.amax((0, 2, 3))[:, None, None]


def most_uncertain(
    codes: Tensor, classify: Callable[[Tensor], Tensor], *, steps: int, lr: float, runtime: Runtime
) -> Tensor:
    """Moves latent codes to where the entropy of the classes is high; returns (n, d).

    Args:
        codes: (n, d), where to start.
        classify: Maps codes to logits (n, C), differentiable.
        steps: Steps of Adam.
        lr: Its learning rate.
        runtime: ``view.runtime``.
    """
    moved = codes.clone().requires_grad_()
    optimizer = torch.optim.Adam([moved], lr)
    with runtime.active():
        for _ in range(steps):
            certainty = torch.special.entr(classify(moved).softmax(1)).sum().neg()
            moved.grad = torch.autograd.grad(certainty, moved)[0]  # weights get none
            optimizer.step()
    return torch.where(moved.detach().isfinite(), moved.detach(), codes)


def nearest_distinct(wanted: Tensor, pool: Tensor, count: int) -> Tensor:
    """Returns int64 (count,) distinct rows of ``pool`` (n, d): the nearest to each of ``wanted`` (k, d), and so on.

    See ``fkssal.matches``, whose products are squared distances with their signs changed here.
    """
    ones = [torch.ones(len(each), 1, device=each.device) for each in (wanted, pool)]
    wanted_norms, pool_norms = (geometry.squared_norms(each)[:, None] for each in (wanted, pool))
    left = torch.cat([2 * wanted, -ones[0], -wanted_norms], dim=1)
    return matches(left, torch.cat([pool, pool_norms, ones[1]], dim=1), count)


@register
class Asal(Strategy):
    """The pool's images most like B made-up ones of which the classifier is most uncertain.

    A generative network (DCGAN) learns the pool's images once an episode, without labels. At every query B latent
    codes are moved so that the entropy of the classifier's probabilities of their images rises; the nearest pool image
    of each is bought, then the second nearest where several share one. Without labeled images the query is random.

    Args:
        epochs: Passes over the pool of the generative network.
        steps: Steps of Adam for the codes.
        step_size: Its learning rate.
        space: Where images are compared: in the last stage of the generative network's ``"discriminator"``, or by
            their ``"pixels"``.
        latent: Dimensions of a code.
        width: Share of the usual channels of the generative network.
        lr: Learning rate of its two Adam optimizers.
        batch_size: Real images per step, and made-up ones; at least 2.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: A number is out of range.
        UnknownName: There is no such space or pool.

    Differs: there is no public code; optimizer, steps and the space of comparison are our choice. The nearest images
    are found exactly, in chunks, without an index. An ensemble is represented by its first network.
    """

    name: ClassVar[str] = "asal"
    needs: tuple[str, ...] = ("classifier",)
    cost: ClassVar[str] = (
        "trains a generative network once an episode, then steps x B passes of the classifier"
    )
    source: ClassVar[str] = "Mayer & Timofte 2020, Adversarial Sampling for Active Learning"

    def __init__(
        self,
        *,
        epochs: int = 20,
        steps: int = 100,
        step_size: float = 0.05,
        space: str = "discriminator",
        latent: int = 100,
        width: float = 1.0,
        lr: float = 2e-4,
        batch_size: int = 128,
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.epochs, self.steps = options.whole("epochs", epochs), options.whole("steps", steps)
        self.step_size = options.number("step_size", step_size, above=True)
        self.space = options.word("space", space, SPACES)
        self.latent = options.whole("latent", latent)
        self.width, self.lr = options.number("width", width, above=True), options.number("lr", lr, above=True)
        self.batch_size = options.whole("batch_size", batch_size, least=2)
        self._trained: tuple[View, ImageGenerator, ImageCritic] | None = None

    def reset(self, view: View, seed: int = 0) -> None:
        """Starts an episode; its first query trains the generative network."""
        super().reset(view, seed)
        self._trained = None

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses those of ``indices`` that are most like images made up to confuse the classifier."""
        if len(view.labeled) == 0:
            return at_random(indices, count, generator)
        maker, critic = self._networks(view)
        shuffled = torch.randperm(len(indices), generator=generator)  # equal images tie by position
        rows = torch.from_numpy(indices.copy())[shuffled]
        with view.runtime.active():
            made = self._made(view, maker, count, generator)
            with torch.no_grad():
                wanted = torch.cat([self._described(critic, each) for each in torch.split(made, ROWS)])
                known = torch.cat(
                    [self._described(critic, view.images(each)) for each in torch.split(rows, ROWS)]
                )
                found = nearest_distinct(wanted, known, count)
        chosen: Indices = rows[found].numpy()
        return chosen

    def _networks(self, view: View) -> tuple[ImageGenerator, ImageCritic]:
        """Returns the generative network of the episode; the same whenever it is trained."""
        if self._trained is None or self._trained[0] is not view:
            trained = train_generator(
                view,
                torch_stream(self._seed, Purpose.AGENT, member=1),  # the cycles' own streams are member 0
                latent=self.latent,
                width=self.width,
                epochs=self.epochs,
                batch_size=self.batch_size,
                lr=self.lr,
            )
            self._trained = (view, *trained)
        return self._trained[1:]

    def _made(self, view: View, maker: ImageGenerator, count: int, generator: torch.Generator) -> Tensor:
        """Returns images (count, C, H, W) of which the classifier is uncertain."""
        classifier = view.classifier
        codes = torch.randn(count, self.latent, generator=generator).to(view.device)
        images = []
        for part in torch.split(codes, ROWS):
            moved = most_uncertain(
                part,
                lambda some: classifier(maker(some)),
                steps=self.steps,
                lr=self.step_size,
                runtime=view.runtime,
            )
            with torch.no_grad():
                images.append(maker(moved))
        return torch.cat(images)

    def _described(self, critic: ImageCritic, images: Tensor) -> Tensor:
        """Returns what images (n, C, H, W) are compared by, (n, d)."""
        found = images.flatten(1) if self.space == "pixels" else critic.describe(images)
        return found.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
