"""VAAL: an autoencoder and a discriminator learn how labeled images look; those that look least so are bought."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import options
from agents.base import Indices, Strategy, best
from agents.registry import register
from alenv import Augmentation, fitting

if TYPE_CHECKING:
    from alenv import Runtime, View

CHANNELS = (128, 256, 512, 1024)  # of the encoder's stages; the decoder has them in reverse
HIDDEN = 512  # of the discriminator
VAE_STEPS = 2  # for each step of the discriminator
EPOCHS = 10
ORIGINAL_EPOCHS = 100
KL = ("mean", "sum")
SCORED = 256  # images per batch of scoring, of one size: the last bits of a row depend on it

Pair = tuple[Tensor, Tensor]  # labeled and unlabeled


class VaalAutoencoder(nn.Module):
    """A variational autoencoder of images: four halving convolutions, two linear layers, and the way back.

    At 32x32 its layers are the published ones. The last convolution of an odd side has kernel 3, as in public code
    for 28x28, and so has each transposed one that ends in an odd side; the others have kernel 4.
    """

    def __init__(self, shape: tuple[int, int, int], latent: int, width: float) -> None:
        """Builds the layers.

        Args:
            shape: (C, H, W) of the images, H and W at least 8.
            latent: Dimensions of the code.
            width: Share of the published channels, at least one each.
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
        self.expand = nn.Linear(latent, wide[3] * sides[0] * sides[1])
        self.decoder = nn.Sequential(nn.Unflatten(1, (wide[3], *sides)), *layers)

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draws Kaiming normal weights for the encoder and the layer behind the code, as in the public code."""
        for part in (self.encoder, self.expand):
            fitting.kaiming_normal(part, generator)


class VaalDiscriminator(nn.Module):
    """Tells codes (n, latent) of labeled images from those of unlabeled ones: logits (n,), high for labeled."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        hidden = (nn.Linear(latent, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.layers = nn.Sequential(*hidden, nn.Linear(HIDDEN, 1))

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
    """The losses of the two networks against each other.

    Args:
        coder: The autoencoder.
        discriminator: Its opponent.
        pictures: Maps int64 pool indices (n,) to augmented images (n, C, H, W).
        generator: A CPU generator of the codes' noise.
        runtime: Device and precision; losses and everything behind the convolutions are float32.
        beta: Weight of the KL term.
        adversary: Weight of the adversarial term.
        kl: ``"mean"`` or ``"sum"`` over batch and code.
        lr: Learning rate of the discriminator's Adam.
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
    ) -> None:
        self.coder, self.discriminator = coder, discriminator
        self._pictures, self._generator, self._runtime = pictures, generator, runtime
        self._beta, self._adversary, self._kl = beta, adversary, kl
        self._optimizer = torch.optim.Adam(discriminator.parameters(), lr)
        self._latest: list[Tensor] = []
        self._steps = 0

    def code(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance of the codes of images, float32 (n, latent) each."""
        with self._runtime.autocast():
            hidden = self.coder.encoder(images)
        hidden = hidden.float()
        return self.coder.mean(hidden), self.coder.log_variance(hidden)

    def loss(self, pair: Pair, moment: fitting.Moment) -> Tensor:
        """Returns the autoencoder's loss: images are restored, and all codes look labeled."""
        self._latest = list(torch.split(self._pictures(torch.cat(pair)), [len(part) for part in pair]))
        return torch.stack([self._loss_of(part) for part in self._latest]).sum()

    def _loss_of(self, images: Tensor) -> Tensor:
        mean, log_variance = self.code(images)
        noise = torch.randn(mean.shape, generator=self._generator).to(mean.device)
        expanded = self.coder.expand(mean + noise * (0.5 * log_variance).exp())
        with self._runtime.autocast():
            restored = self.coder.decoder(expanded)
        terms = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
        divergence = terms.sum() if self._kl == "sum" else terms.mean()
        fooled = _cross_entropy(self.discriminator(mean), 1.0)
        return F.mse_loss(restored.float(), images) + self._beta * divergence + self._adversary * fooled

    def after_step(self) -> None:
        """Trains the discriminator on the images of every second step, from codes without gradient."""
        self._steps += 1
        if self._steps % VAE_STEPS:
            return
        with torch.no_grad():
            labeled, unlabeled = (self.code(part)[0] for part in self._latest)
        self._optimizer.zero_grad()
        loss = _cross_entropy(self.discriminator(labeled), 1.0)
        loss = loss + _cross_entropy(self.discriminator(unlabeled), 0.0)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


@register
class Vaal(Strategy):
    """The images whose codes a discriminator takes least for those of labeled images.

    A variational autoencoder of all images and a discriminator of its codes are trained against each other at every
    query, from fresh weights; the classifier plays no part. Without labeled images the query is random.

    The original trains its classifier in the same loop, where it shares the labeled batches and the number of
    iterations with the two networks, and no loss. So ``original=true`` is what that joint setting is for the query;
    the classifier's part of it is a recipe (backbone vgg16, lr 0.01, a tenth of it at each quarter, start cold,
    crop_padding 0).

    Args:
        epochs: Passes over the images, labeled and unlabeled together; an iteration takes two steps of the
            autoencoder and one of the discriminator. None = 10, a tenth of the published 100 (39,062 iterations for
            50,000 images, several times the cost of the classifier's training).
        width: Share of the published channels, for machines without a big GPU.
        latent: Dimensions of a code.
        beta: Weight of the KL term.
        adversary: Weight of the adversarial term in the autoencoder's loss.
        lr: Learning rate of both Adam optimizers.
        batch_size: Labeled images per step, and unlabeled ones; at least 2.
        kl: ``"mean"`` or ``"sum"`` over batch and code; None = ``"mean"``.
        original: Makes None stand for the public code's values: 100 epochs, and ``"sum"``.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: A number is out of range.
        UnknownName: There is no such ``kl`` or ``pool``.

    Differs: the public code sums the KL term over batch and code beside a reconstruction error that is a mean, so that
    it outweighs all else and codes lose the image; by default both are means. It scores in training mode, where the
    score of an image depends on its batch, and on flipped images; here in eval mode and unaugmented. It passes over
    the linear layers of the code and the transposed convolutions when it initializes, and so does this. Images are
    flipped where the recipe flips them, and normalized as the recipe's; no validation split is needed. Scores are
    logits, which do not tie where the probability is 0.
    """

    name: ClassVar[str] = "vaal"
    cost: ClassVar[str] = (
        "trains two networks: at epochs=100 more than the classifier; then a pass over the pool"
    )
    source: ClassVar[str] = "Sinha, Ebrahimi & Darrell 2019, section 3 and Algorithm 1; the paper, A.17"

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
        kl: str | None = None,
        original: bool = False,
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        usual = (ORIGINAL_EPOCHS, "sum") if options.flag("original", original) else (EPOCHS, "mean")
        self.epochs = options.whole("epochs", usual[0] if epochs is None else epochs)
        self.kl = options.word("kl", usual[1] if kl is None else kl, KL)
        self.width = options.number("width", width, above=True)
        self.latent = options.whole("latent", latent)
        self.beta, self.adversary = options.number("beta", beta), options.number("adversary", adversary)
        self.lr = options.number("lr", lr, above=True)
        self.batch_size = options.whole("batch_size", batch_size, least=2)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Trains on the labeled images and ``indices``, and chooses those that look least labeled."""
        if len(view.labeled) == 0:
            chosen: Indices = indices[torch.randperm(len(indices), generator=generator)[:count].numpy()]
            return chosen
        trained = self._train(view, indices, generator)
        scores = []
        with view.runtime.active(), torch.no_grad():
            for chunk in torch.split(torch.from_numpy(indices.copy()), SCORED):
                padded = torch.cat([chunk, chunk[:1].expand(SCORED - len(chunk))])
                codes = trained.code(view.images(padded))[0]
                scores.append(trained.discriminator(codes)[: len(chunk)])
        chosen = indices[best(-torch.cat(scores), count, generator).numpy()]
        return chosen

    def _train(self, view: View, indices: Indices, generator: torch.Generator) -> AdversarialTraining:
        """Returns the two networks, trained, and in eval mode."""
        runtime, recipe = view.runtime, view.recipe
        labeled, unlabeled = (torch.from_numpy(np.array(each)) for each in (view.labeled, indices))
        colors, height, width = view.images(labeled[:1]).shape[1:]
        shape = (colors, height, width)
        coder = fitting.build(lambda: VaalAutoencoder(shape, self.latent, self.width), generator, runtime)
        discriminator = fitting.build(lambda: VaalDiscriminator(self.latent), generator, runtime)
        flips = Augmentation(flip=recipe.augment and recipe.flip, crop_padding=0, trivial=False, cutout=0)
        training = AdversarialTraining(
            coder,
            discriminator,
            pictures=lambda rows: view.augmented(rows, generator=generator, augmentation=flips),
            generator=generator,
            runtime=runtime,
            beta=self.beta,
            adversary=self.adversary,
            kl=self.kl,
            lr=self.lr,
        )
        total = len(labeled) + len(unlabeled)

        def batches(epoch: int) -> list[Pair]:
            until, after = (iterations(total, epoch + more, self.batch_size) for more in (0, 1))
            count = VAE_STEPS * (after - until)
            return fitting.paired_batches(labeled, unlabeled, self.batch_size, generator, count=count)

        fitting.fit(
            [coder, discriminator],
            training.loss,
            batches,
            epochs=self.epochs,
            optimizer=torch.optim.Adam(coder.parameters(), self.lr),
            after_step=training.after_step,
            runtime=runtime,
            title="query network",
        )
        return training
