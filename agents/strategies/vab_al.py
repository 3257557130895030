"""VaB-AL: how likely the classifier is wrong, by Bayes' rule over the classes that it may have predicted."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import options
from agents.base import Indices, Strategy, at_random, best
from agents.registry import register
from alenv import fitting

if TYPE_CHECKING:
    from alenv import View

WIDE = 128  # units of every hidden layer, and of each tap
LATENT = 10  # dimensions of a code for each class
CLASS_WEIGHT = 0.005
LR, DECAY, DECAYED_FROM = 0.01, 0.1, 0.8  # a tenth of the rate from epoch 16 of 20
BATCH = 128
EPOCHS, STEPS = 20, 1000  # so many epochs, and so many steps at least
REFERENCES = ("labeled", "validation")
ELEMENTS = 2**22  # numbers that the decoded images of a chunk may take, 16 MB


def _layers(*sizes: int) -> list[nn.Module]:
    found: list[nn.Module] = []
    for before, after in pairwise(sizes):
        found += [nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after)]
    return found


class ClassAutoencoder(nn.Module):
    """A variational autoencoder of pooled feature maps whose code has a block for each class.

    The block of an image's class is zero when its code is decoded, so the other blocks hold what there is to know.
    """

    def __init__(self, channels: list[int], classes: int) -> None:
        """Builds the layers.

        Args:
            channels: c of each feature map.
            classes: C.
        """
        super().__init__()
        self.classes, wide = classes, WIDE * len(channels)
        self.taps = nn.ModuleList(nn.Sequential(*_layers(each, WIDE)) for each in channels)
        self.encoder = nn.Sequential(*_layers(wide, WIDE, WIDE, WIDE))
        self.mean, self.log_variance = (nn.Linear(WIDE, classes * LATENT) for _ in range(2))
        self.first = nn.Linear(classes * LATENT, WIDE)
        hidden = [nn.ReLU(), nn.BatchNorm1d(WIDE), *_layers(WIDE, WIDE, WIDE)]
        self.decoder = nn.Sequential(*hidden, nn.Linear(WIDE, wide))

    def joined(self, maps: list[Tensor]) -> Tensor:
        """Maps pooled feature maps, (n, c) each, to what is coded and restored, x (n, X)."""
        return torch.cat([tap(each) for tap, each in zip(self.taps, maps, strict=True)], dim=1)

    def code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance of the codes, (n, C, 10) each."""
        hidden = self.encoder(x)
        shape = (len(x), self.classes, LATENT)
        return self.mean(hidden).view(shape), self.log_variance(hidden).view(shape)

    def restored(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Decodes codes (n, C, 10) without the blocks of ``labels`` (n,), to (n, X)."""
        others = codes * (1 - F.one_hot(labels, self.classes))[:, :, None]
        decoded: Tensor = self.decoder(self.first(others.flatten(1)))
        return decoded

    def restored_by_class(self, codes: Tensor) -> Tensor:
        """Decodes codes (n, C, 10) without each of their blocks in turn, to (n, C, X)."""
        blocks = self.first.weight.T.view(self.classes, LATENT, WIDE)
        own = torch.einsum("ncl,clh->nch", codes, blocks)  # what a block adds to the first layer
        hidden = self.first(codes.flatten(1))[:, None] - own
        decoded: Tensor = self.decoder(hidden.flatten(0, 1))
        return decoded.view(len(codes), self.classes, -1)


def divergences(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Returns the KL divergence of each dimension from a standard normal distribution, of the same shape."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp())


def autoencoder_loss(network: ClassAutoencoder, maps: list[Tensor], labels: Tensor, noise: Tensor) -> Tensor:
    """Returns the squared error + KL, means both, + 0.005 x the cross-entropy of -|z_c|^2 to the class.

    Args:
        network: In train mode.
        maps: Pooled feature maps, (n, c) each.
        labels: Predicted classes, int64 (n,).
        noise: Standard normal, (n, C, 10).
    """
    x = network.joined(maps)
    mean, log_variance = network.code(x)
    codes = mean + noise * (0.5 * log_variance).exp()
    error = F.mse_loss(network.restored(codes, labels), x.detach())
    told = F.cross_entropy(-codes.square().sum(2), labels)
    return error + divergences(mean, log_variance).mean() + CLASS_WEIGHT * told


def log_likelihoods(
    network: ClassAutoencoder, maps: list[Tensor], noise: Tensor, sigma: float | None = None
) -> Tensor:
    """Returns log p(x | y^ = c) for every class c, up to a constant: -|x - x_c|^2 / (2 sigma^2), averaged over codes.

    x_c is decoded without the block of c. The KL divergence of the codes is the same for every class, so it plays no
    part in Bayes' rule.

    Args:
        network: In eval mode.
        maps: Pooled feature maps, (n, c) each.
        noise: Standard normal (S, C, 10), the same for all images.
        sigma: Standard deviation of x around what is decoded; None = that of the training's loss, sqrt(X / (2 Z)) for
            codes of Z dimensions.

    Returns:
        (n, C).
    """
    x = network.joined(maps)
    mean, log_variance = network.code(x)
    dimensions = network.classes * LATENT
    precision = dimensions / x.shape[1] if sigma is None else 1 / (2 * sigma**2)
    error = torch.zeros(len(x), network.classes, device=x.device)
    for drawn in noise:
        restored = network.restored_by_class(mean + drawn * (0.5 * log_variance).exp())
        error += restored.sub_(x[:, None]).square_().sum(2)
    return -precision * error / len(noise)


def doubt(likelihoods: Tensor, prior: Tensor, precision: Tensor) -> Tensor:
    """Returns p(y != y^ | x) = 1 - [sum_c p(x | c) p(c) precision_c] / [sum_c p(x | c) p(c)], float64 (n,).

    Args:
        likelihoods: log p(x | y^ = c), (n, C).
        prior: p(y^ = c), (C,).
        precision: p(y = c | y^ = c), (C,).

    Source: Choi et al. 2021.
    """
    logs = likelihoods.detach().cpu().double() + prior.cpu().double().log()
    return 1 - logs.softmax(1) @ precision.cpu().double()


def precisions(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Returns the share of right predictions of each class, float64 (C,); the overall one for a class without any.

    Args:
        predicted: int64 (n,), n >= 1.
        labels: int64 (n,); a negative one, of an outlier, is never right.
        classes: C.
    """
    predicted, right = predicted.cpu(), (predicted == labels).cpu().double()
    counts = torch.bincount(predicted, minlength=classes)
    rights = torch.bincount(predicted, right, minlength=classes)
    return torch.where(counts > 0, rights / counts.clamp(min=1), right.mean())


def epochs_for(images: int) -> int:
    """Returns 20, or as many epochs as take 1,000 steps where there are few images."""
    return max(EPOCHS, STEPS * BATCH // images)


@register
class VabAl(Strategy):
    """The images whose predicted class is most likely wrong, given how often predictions of each class are.

    A variational autoencoder of the feature maps of ``indices``, told the classes that the classifier predicts, gives
    the likelihood of an image under each class. With the share of each class among the predictions and its precision
    on labeled images, Bayes' rule gives the probability of an error. Without labeled images the query is random.

    Args:
        reference: Where the precision of predictions is measured: on the ``"labeled"`` images, where a classifier that
            has learned them by heart is never wrong and the query becomes random, or on the ``"validation"`` split.
        epochs: Passes over the images; None = 20, or as many as take 1,000 steps where the pool is small.
        samples: Codes drawn for the likelihoods; time is in proportion to it and to C.
        sigma: See ``log_likelihoods``.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: A number is out of range.
        UnknownName: There is no such reference or pool.

    Differs: of two public codes one leaves out the precision and takes reconstruction errors for likelihoods; the
    paper's formula is meant here. The estimate of p(x | c) is our reading: the error of what is decoded without the
    class's block. Prior and precision are those of the classifier's predictions, in public code those of the
    autoencoder's. A class that is never predicted has the overall precision. All images share one draw of codes. On a
    small pool the published 20 epochs are too few steps to learn anything.
    """

    name: ClassVar[str] = "vab_al"
    needs: tuple[str, ...] = ("feature_maps",)
    cost: ClassVar[str] = (
        "trains an autoencoder of feature maps on the pool, then decodes each image samples x C times"
    )
    source: ClassVar[str] = "Choi et al. 2021, VaB-AL"

    def __init__(
        self,
        *,
        reference: str = "labeled",
        epochs: int | None = None,
        samples: int = 100,
        sigma: float | None = None,
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.reference = options.word("reference", reference, REFERENCES)
        self.epochs = None if epochs is None else options.whole("epochs", epochs)
        self.samples = options.whole("samples", samples)
        self.sigma = None if sigma is None else options.number("sigma", sigma, above=True)
        if self.reference == "validation":
            self.needs = (*self.needs, "validation")

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Trains on ``indices``, and chooses those whose predicted class is most likely wrong."""
        if len(view.labeled) == 0:
            return at_random(indices, count, generator)
        with view.runtime.active():
            maps = [each.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) for each in view.feature_maps(indices)]
            predicted = view.logits(indices).argmax(1)
            network = self._train(view, maps, predicted, generator)
            scores = doubt(
                self._likelihoods(network, maps, generator),
                torch.bincount(predicted.cpu(), minlength=view.num_classes) / len(indices),
                self._precisions(view),
            )
        chosen: Indices = indices[best(scores, count, generator).numpy()]
        return chosen

    def _precisions(self, view: View) -> Tensor:
        if self.reference == "validation":
            assert view.validation is not None, "the agent needs it"
            predicted, labels = view.validation.logits().argmax(1), view.validation.labels()
        else:
            predicted, labels = view.logits(view.labeled).argmax(1), view.labels()
        return precisions(predicted, labels, view.num_classes)

    def _train(
        self, view: View, maps: list[Tensor], predicted: Tensor, generator: torch.Generator
    ) -> ClassAutoencoder:
        """Returns an autoencoder of the maps (n, c), trained, with settled statistics, in eval mode."""
        classes, channels = view.num_classes, [each.shape[1] for each in maps]
        network = fitting.build(lambda: ClassAutoencoder(channels, classes), generator, view.runtime)
        everything = torch.arange(len(predicted), device=predicted.device)
        epochs = self.epochs or epochs_for(len(predicted))

        def batches(epoch: int) -> list[Tensor]:
            found = fitting.minibatches(everything, BATCH, generator)
            return [each for each in found if len(each) > 1] or found  # one image has no variance

        def loss(rows: Tensor, moment: fitting.Moment) -> Tensor:
            noise = torch.randn(len(rows), classes, LATENT, generator=generator).to(rows.device)
            return autoencoder_loss(network, [each[rows] for each in maps], predicted[rows], noise)

        fitting.fit(
            network,
            loss,
            batches,
            epochs=epochs,
            optimizer=torch.optim.Adam(network.parameters(), LR),
            learning_rate=lambda moment: LR * (DECAY if moment.progress >= DECAYED_FROM else 1.0),
            runtime=view.runtime,
            title="query network",
        )
        network.train()
        with torch.no_grad():  # a pass more for the running statistics of BatchNorm, as published
            for rows in batches(epochs):
                loss(rows, fitting.Moment(epochs, 0.0))
        return network.eval()

    @torch.no_grad()
    def _likelihoods(
        self, network: ClassAutoencoder, maps: list[Tensor], generator: torch.Generator
    ) -> Tensor:
        """Returns log-likelihoods (n, C), a chunk of images at a time."""
        noise = torch.randn(self.samples, network.classes, LATENT, generator=generator).to(maps[0].device)
        size = max(1, ELEMENTS // (network.classes * WIDE * len(maps)))
        chunks = zip(*(torch.split(each, size) for each in maps), strict=True)
        return torch.cat([log_likelihoods(network, list(chunk), noise, self.sigma) for chunk in chunks])
