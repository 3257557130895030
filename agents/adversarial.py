"""A variational autoencoder of images and a discriminator of its codes, trained against each other.

What VAAL and the methods that build on it share: networks, losses, the training and the scoring.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import options
from agents.base import Indices, Strategy, at_random, best
from alenv import Augmentation, fitting

if TYPE_CHECKING:
    from alenv import Runtime, View

CHANNELS = (128, 256, 512, 1024)  # of the encoder's stages; the decoder has them in reverse
HIDDEN = 512  # of the discriminator
VAE_STEPS = 2  # for each step of the discriminator
EPOCHS = 10
SCORED = 256  # images per batch of scoring, of one size: the last bits of a row depend on it

Pair = tuple[Tensor, Tensor]  # labeled and unlabeled


class VaalAutoencoder(nn.Module):
    """A variational autoencoder of images: four halving convolutions, two linear layers, and the way back.

    At 32x32 its layers are the published ones. The last convolution of an odd side has kernel 3, as in public code
    for 28x28, and so has each transposed one that ends in an odd side; the others have kernel 4.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: float, decoded: int | None = None
    ) -> None:
        """Builds the layers.

        Args:
            shape: (C, H, W) of the images, H and W at least 8.
            latent: Dimensions of the code.
            width: Share of the published channels, at least one each.
            decoded: Dimensions that the decoder takes, for methods that give it more or less than the code; None =
                ``latent``.
        """
        super().__init__()
        colors, *sides = shape
        wide = [max(1, round(width * channels)) for channels in CHANNELS]
        layers: list[nn.Module] = []
        for before, after, last in zip([colors, *wide], wide, (False, False, False, True), strict=False):
            kernel = [3 if last and side % 2 else 4 for side in sides]
            layers += _normalized(nn.Conv2d(before, after, _pair(kernel), 2, 1, bias=False), after)
            sides = [(side + 2 - k) // 2 + 1 for side, k in zip(sides, kernel, strict=True)]
        self.encoder = nn.Sequential(*layers, nn.Flatten())
        flat = wide[3] * sides[0] * sides[1]
        self.mean, self.log_variance = nn.Linear(flat, latent), nn.Linear(flat, latent)
        layers, sides = [nn.ConvTranspose2d(wide[0], colors, 1)], list(shape[1:])
        for before, after in zip(wide[1:], wide, strict=False):
            kernel = [3 if side % 2 else 4 for side in sides]
            convolution = nn.ConvTranspose2d(before, after, _pair(kernel), 2, 1, bias=False)
            layers = [*_normalized(convolution, after), *layers]
            sides = [(side + 1) // 2 for side in sides]
        self.expand = nn.Linear(latent if decoded is None else decoded, wide[3] * sides[0] * sides[1])
        self.decoder = nn.Sequential(nn.Unflatten(1, (wide[3], *sides)), *layers)

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draws Kaiming normal weights for the encoder and the layer behind the code, as in the public code."""
        for part in (self.encoder, self.expand):
            fitting.kaiming_normal(part, generator)


class VaalDiscriminator(nn.Module):
    """Tells codes (n, latent) of labeled images from those of unlabeled ones: logits (n,), high for labeled."""

    def __init__(self, latent: int, hidden: int = 2) -> None:
        """Builds the layers.

        Args:
            latent: Dimensions that it takes.
            hidden: Hidden layers of 512 units.
        """
        super().__init__()
        sizes = [latent, *[HIDDEN] * hidden]
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(HIDDEN, 1))

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draws Kaiming normal weights; the biases are zero."""
        fitting.kaiming_normal(self, generator)

    def forward(self, codes: Tensor) -> Tensor:
        """Maps codes (n, latent) to logits (n,)."""
        logits: Tensor = self.layers(codes)
        return logits.squeeze(1)


def _normalized(convolution: nn.Module, channels: int) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]


def _pair(kernel: list[int]) -> tuple[int, int]:
    return kernel[0], kernel[1]


def iterations(images: int, epochs: int, batch_size: int) -> int:
    """Returns how many iterations ``epochs`` passes take, at least 1: 39,062 for 100 over 50,000 images by 128."""
    return max(1, images * epochs // batch_size) if epochs else 0


class AdversarialTraining:
    """The losses of the two networks against each other; subclasses condition them.

    Args:
        coder: The autoencoder.
        discriminator: Its opponent.
        pictures: Maps int64 pool indices (n,) to augmented images (n, C, H, W).
        generator: A CPU generator of the codes' noise.
        runtime: Device and precision; losses and everything behind the convolutions are float32.
        beta: Weight of the KL term.
        adversary: Weight of the adversarial term.
        kl: ``"mean"`` or ``"sum"`` over batch and code, or ``"sample"``: the sum over the code, the mean over the
            batch.
        lr: Learning rate of the discriminator's Adam.
        reconstruction: Weight of the squared error of the images.
        coder_steps: Steps of the autoencoder for each of the discriminator.
    """

    def __init__(
        self,
        coder: VaalAutoencoder,
        discriminator: VaalDiscriminator,
        *,
        pictures: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        runtime: Runtime,
        beta: float,
        adversary: float,
        kl: str,
        lr: float,
        reconstruction: float = 1.0,
        coder_steps: int = VAE_STEPS,
    ) -> None:
        self.coder, self.discriminator = coder, discriminator
        self._pictures, self._generator, self._runtime = pictures, generator, runtime
        self._beta, self._adversary, self._kl = beta, adversary, kl
        self._reconstruction, self._coder_steps = reconstruction, coder_steps
        self._optimizer = torch.optim.Adam(discriminator.parameters(), lr)
        self._latest: list[tuple[Tensor, Tensor]] = []  # images and pool indices, labeled ones first
        self._steps = 0

    # ---- what subclasses change -----------------------------------------------------------------------------

    def decoded(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Returns what the decoder is given for codes (n, latent) of the pool indices ``rows`` (n,)."""
        return codes

    def judged(self, means: Tensor, rows: Tensor) -> Tensor:
        """Returns what the discriminator is given for means (n, latent) of codes."""
        return means

    def unlabeled_targets(self, rows: Tensor) -> Tensor:
        """Returns the discriminator's targets (n,) for unlabeled images, in [0, 1]; labeled ones have 1."""
        return torch.zeros(len(rows), device=self._runtime.device)

    def supervised(self, codes: Tensor, rows: Tensor) -> Tensor | None:
        """Returns a loss of the autoencoder on codes (n, latent) of labeled images, or None."""
        return None

    # ---- training -------------------------------------------------------------------------------------------

    def code(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance of the codes of images, float32 (n, latent) each."""
        with self._runtime.autocast():
            hidden = self.coder.encoder(images)
        hidden = hidden.float()
        return self.coder.mean(hidden), self.coder.log_variance(hidden)

    def loss(self, pair: Pair, moment: fitting.Moment) -> Tensor:
        """Returns the autoencoder's loss: images are restored, and all codes look labeled."""
        images = torch.split(self._pictures(torch.cat(pair)), [len(part) for part in pair])
        self._latest = list(zip(images, pair, strict=True))
        losses = [self._loss_of(*part, labeled=position == 0) for position, part in enumerate(self._latest)]
        return torch.stack(losses).sum()

    def _loss_of(self, images: Tensor, rows: Tensor, labeled: bool) -> Tensor:
        mean, log_variance = self.code(images)
        noise = torch.randn(mean.shape, generator=self._generator).to(mean.device)
        codes = mean + noise * (0.5 * log_variance).exp()
        expanded = self.coder.expand(self.decoded(codes, rows))
        with self._runtime.autocast():
            restored = self.coder.decoder(expanded)
        fooled = F.binary_cross_entropy_with_logits(
            self.discriminator(self.judged(mean, rows)), torch.ones(len(rows), device=mean.device)
        )
        total = self._reconstruction * F.mse_loss(restored.float(), images)
        total = total + self._beta * self._divergence(mean, log_variance) + self._adversary * fooled
        taught = self.supervised(codes, rows) if labeled else None
        return total if taught is None else total + taught

    def _divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        terms = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
        if self._kl == "sample":
            return terms.sum(1).mean()
        return terms.sum() if self._kl == "sum" else terms.mean()

    def after_step(self) -> None:
        """Trains the discriminator on the images of every last of its steps, from codes without gradient."""
        self._steps += 1
        if self._steps % self._coder_steps:
            return
        with torch.no_grad():
            inputs = [self.judged(self.code(images)[0], rows) for images, rows in self._latest]
            targets = [torch.ones(len(inputs[0]), device=inputs[0].device)]
            targets.append(self.unlabeled_targets(self._latest[1][1]))
        self._optimizer.zero_grad()
        parts = [
            F.binary_cross_entropy_with_logits(self.discriminator(given), target)
            for given, target in zip(inputs, targets, strict=True)
        ]
        torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()

    def fit(
        self,
        labeled: Indices,
        unlabeled: Indices,
        *,
        epochs: int,
        batch_size: int,
        lr: float,
        learning_rate: Callable[[fitting.Moment], float] | None = None,
    ) -> None:
        """Trains both networks, which are in eval mode afterwards.

        Args:
            labeled: int64 (L,) pool indices, L >= 1.
            unlabeled: int64 (U,) pool indices, U >= 1.
            epochs: Passes over all of them together (see ``iterations``).
            batch_size: Labeled images per step, and unlabeled ones.
            lr: Learning rate of the autoencoder's Adam.
            learning_rate: The rate of each step of the autoencoder; None = ``lr`` throughout.
        """
        some, others = (torch.from_numpy(np.array(each)) for each in (labeled, unlabeled))
        total = len(some) + len(others)

        def batches(epoch: int) -> list[Pair]:
            until, after = (iterations(total, epoch + more, batch_size) for more in (0, 1))
            count = self._coder_steps * (after - until)
            return fitting.paired_batches(some, others, batch_size, self._generator, count=count)

        fitting.fit(
            [self.coder, self.discriminator],
            self.loss,
            batches,
            epochs=epochs,
            optimizer=torch.optim.Adam(self.coder.parameters(), lr),
            learning_rate=learning_rate,
            after_step=self.after_step,
            runtime=self._runtime,
            title="query network",
        )

    @torch.no_grad()
    def scores(self, view: View, indices: Indices) -> Tensor:
        """Returns the discriminator's logits (n,) of pool images, high for those that look labeled."""
        found = []
        with view.runtime.active(), torch.no_grad():
            for chunk in torch.split(torch.from_numpy(indices.copy()), SCORED):
                padded = torch.cat([chunk, chunk[:1].expand(SCORED - len(chunk))])
                given = self.judged(self.code(view.images(padded))[0], padded)
                found.append(self.discriminator(given)[: len(chunk)])
        return torch.cat(found)


class AdversarialQuery(Strategy):
    """A query that such networks choose, trained for it from fresh weights; subclasses say which.

    Args:
        epochs: Passes over the images, labeled and unlabeled together; None = ``EPOCHS``.
        width: Share of the published channels.
        latent: Dimensions of a code, at least ``least``.
        beta: Weight of the KL term.
        adversary: Weight of the adversarial term in the autoencoder's loss.
        lr: Learning rate of both Adam optimizers.
        batch_size: Labeled images per step, and unlabeled ones; at least 2.
        pool: See ``Strategy``.

    Raises:
        InvalidQuery: A number is out of range.
    """

    least: ClassVar[int] = 1  # dimensions of a code

    def __init__(
        self,
        *,
        epochs: int | None = None,
        width: float = 1.0,
        latent: int = 32,
        beta: float = 1.0,
        adversary: float = 1.0,
        lr: float = 5e-4,
        batch_size: int = 128,
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.epochs = options.whole("epochs", EPOCHS if epochs is None else epochs)
        self.width = options.number("width", width, above=True)
        self.latent = options.whole("latent", latent, least=self.least)
        self.beta, self.adversary = options.number("beta", beta), options.number("adversary", adversary)
        self.lr = options.number("lr", lr, above=True)
        self.batch_size = options.whole("batch_size", batch_size, least=2)

    def trained(self, view: View, indices: Indices, generator: torch.Generator) -> AdversarialTraining:
        """Returns the networks, trained on the labeled images and ``indices``, and in eval mode."""
        raise NotImplementedError

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Trains on the labeled images and ``indices``, and chooses those that look least labeled."""
        if len(view.labeled) == 0:
            return at_random(indices, count, generator)
        scores = self.trained(view, indices, generator).scores(view, indices)
        chosen: Indices = indices[best(-scores, count, generator).numpy()]
        return chosen


def shape_of(view: View) -> tuple[int, int, int]:
    """Returns (C, H, W) of the images of a pool."""
    colors, height, width = view.images([0]).shape[1:]
    return colors, height, width


def flipped(view: View, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Returns the function from pool indices (n,) to images, flipped where the recipe flips them and no more."""
    recipe = view.recipe
    flips = Augmentation(flip=recipe.augment and recipe.flip, crop_padding=0, trivial=False, cutout=0)
    return lambda rows: view.augmented(rows, generator=generator, augmentation=flips)
