"""Views of images of which nobody knows all labels, and what agents ask for in them."""

from __future__ import annotations

import numpy as np
import pytest

import agents
from alenv import Asking, Recipe
from alenv.asking import PENALTIES
from alenv.errors import HiddenLabel, InvalidQuery, InvalidRecipe, MissingHead

N, CLASSES = 120, 3


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """Features of three groups, and the class of each."""
    random = np.random.default_rng(0)
    classes = np.arange(N) % CLASSES
    centers = random.normal(size=(CLASSES, 8))
    return (centers[classes] + 0.3 * random.normal(size=(N, 8))).astype(np.float32), classes


def known(classes: np.ndarray, rows: slice) -> np.ndarray:
    labels = np.full(N, -1)
    labels[rows] = classes[rows]
    return labels


@pytest.mark.parametrize("agent", ["typiclust", "margin", "learned", "badge", "coreset", "uherding"])
@pytest.mark.parametrize(("labeled", "classes"), [(0, 0), (1, 1), (30, 3)])
def test_agents_ask_for_unlabeled_images(
    images: tuple[np.ndarray, np.ndarray], agent: str, labeled: int, classes: int
) -> None:
    labels = known(images[1], slice(labeled))
    held_out, left_out = np.arange(6 if labeled > 6 else 0), np.array([40, 41])
    asking = Asking(images[0], labels, classes, held_out=held_out, left_out=left_out)
    assert asking.room == N - 2 - labeled
    asks = agents.make(agent)
    asks.reset(asking.view(12), seed=0)
    wanted = asking.rows[asks.act(None)]
    assert len(set(wanted.tolist())) == 12
    assert (labels[wanted] == -1).all()
    assert not {*held_out, *left_out} & {*wanted}


def test_labels_teach_and_held_out_ones_measure(images: tuple[np.ndarray, np.ndarray]) -> None:
    labels = known(images[1], slice(60))
    asking = Asking(images[0], labels, CLASSES, held_out=np.arange(21))
    view = asking.view(5)
    assert asking.right >= 19
    assert view.validation is not None
    assert view.validation.accuracy == asking.right / 21
    assert view.validation.labels().tolist() == labels[:21].tolist()
    predicted = view.probabilities().argmax(1).numpy()
    assert (predicted == images[1][asking.rows]).mean() > 0.9
    assert view.labels().tolist() == labels[21:60].tolist()
    assert view.cycle == 0
    assert len(view.labeled) == 39
    assert asking.penalty in PENALTIES


def test_held_out_labels_teach_nothing(images: tuple[np.ndarray, np.ndarray]) -> None:
    labels = known(images[1], slice(60))
    wrong = labels.copy()
    wrong[:21] = (wrong[:21] + 1) % CLASSES
    right, other = (Asking(images[0], each, CLASSES, held_out=np.arange(21)) for each in (labels, wrong))
    assert right.view(5).logits().equal(other.view(5).logits())
    assert right.right != other.right


def test_a_label_that_nobody_gave_cannot_be_read(images: tuple[np.ndarray, np.ndarray]) -> None:
    view = Asking(images[0], known(images[1], slice(9)), CLASSES).view(5)
    with pytest.raises(HiddenLabel):
        view.labels([50])


def test_pixels_are_not_there(images: tuple[np.ndarray, np.ndarray]) -> None:
    view = Asking(images[0], known(images[1], slice(9)), CLASSES).view(5)
    with pytest.raises(MissingHead, match="reads pixels"):
        view.images([1])


def test_what_does_not_fit_is_refused(images: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = images[0], known(images[1], slice(9))
    with pytest.raises(InvalidQuery, match="a row and a label for each"):
        Asking(features, labels[:-1], CLASSES)
    with pytest.raises(InvalidQuery, match="Labels from -1 to 2 were given for 2 classes"):
        Asking(features, labels, 2)
    with pytest.raises(InvalidQuery, match="without a label was held out"):
        Asking(features, labels, CLASSES, held_out=np.array([50]))
    asking = Asking(features, labels, CLASSES)
    with pytest.raises(InvalidQuery, match="ask for 1 to 111"):
        asking.view(112)
    with pytest.raises(InvalidQuery, match="Every image is labeled"):
        Asking(features, images[1], CLASSES).view(1)


def test_another_head_is_fitted_and_predicts(images: tuple[np.ndarray, np.ndarray]) -> None:
    recipe = Recipe(head="ridge", ridge_penalty="auto", embedding="features")
    asking = Asking(images[0], known(images[1], slice(60)), CLASSES, recipe=recipe)
    rest = np.arange(60, N)
    assert (asking.predict(rest) == images[1][60:]).mean() > 0.9
    expected = asking.view(5).logits(rest).argmax(1).numpy()  # nothing is left out: rows are pool indices
    assert (asking.predict(rest) == expected).all()


def test_a_network_without_images(images: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(InvalidRecipe, match="without images"):
        Asking(images[0], known(images[1], slice(60)), CLASSES, recipe=Recipe())
