"""Pretrained trunks: the tasks against obvious versions, what they may not see, and the store."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from alenv import data, embedding, errors, pretraining
from alenv.data import Dataset, catalog
from alenv.embedding import embed
from alenv.learners.images import ImageSet, Origin
from alenv.learners.network import NetworkLearner
from alenv.pretraining import choice, store, training, views
from alenv.pretraining.rotation import rotated
from alenv.pretraining.simclr import contrast
from alenv.pretraining.supervised import resized
from alenv.progress import recording
from alenv.runtime import Runtime
from alenv.settings import Recipe

ROOT = Path(__file__).parents[2]
CPU = Runtime("cpu", "fp32", 1)
QUICK: dict[str, Any] = {
    "backbone": "convnet",
    "width": 4,
    "flip": False,
    "crop_padding": 1,
    "pretraining_epochs": 2,
    "pretraining_batch_size": 16,
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(store, "_LOADED", {})
    monkeypatch.setattr(embedding, "_LOADED", {})
    monkeypatch.setattr(catalog, "_OWN", dict(catalog._OWN))
    monkeypatch.setattr(catalog, "_LOADED", dict(catalog._LOADED))
    return tmp_path / "data" / "pretraining"


def toy(name: str = "toy", count: int = 40, shape: tuple[int, int, int] = (10, 10, 3)) -> Dataset:
    """Noise around one pattern per class."""
    random = np.random.default_rng(5)
    patterns = random.integers(40, 216, (4, *shape))
    labels = np.arange(count + 8) % 4
    pictures = (
        (patterns[labels] + random.integers(-40, 40, (count + 8, *shape))).clip(0, 255).astype(np.uint8)
    )
    return Dataset.of(name, (pictures[:count], labels[:count]), (pictures[count:], labels[count:]))


def image_set(dataset: Dataset, rows: np.ndarray | None = None) -> ImageSet:
    stored = torch.tensor(dataset.train_images)
    rows = np.arange(len(stored)) if rows is None else rows
    origin = Origin(dataset.name, dataset.checksum)
    return ImageSet(stored, rows, dataset.mean, dataset.std, origin=origin)


def pretrained(name: str, dataset: Dataset | None = None, **recipe: Any) -> dict[str, torch.Tensor]:
    found = pretraining.initial(
        Recipe(**{**QUICK, "pretraining": name, **recipe}), image_set(dataset or toy()), CPU
    )
    assert found is not None
    return found


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.numpy().tobytes() == other[name].numpy().tobytes(), name


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(value, other[name]) for name, value in one.items() if "weight" in name)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects what is trained."""
    found: list[str] = []
    train = training.train

    def noting(pretext: Any, *rest: Any) -> Any:
        found.append(pretext.name)
        return train(pretext, *rest)

    monkeypatch.setattr(store, "train", noting)
    return found


# ---- rotation ----


def test_rotations_are_lossless_and_known() -> None:
    images = np.arange(2 * 5 * 5 * 3, dtype=np.uint8).reshape(2, 5, 5, 3)
    turned, answers = rotated(torch.from_numpy(images))
    assert answers.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for position, turn in enumerate(answers.tolist()):
        expected = np.rot90(images[position % 2], turn)
        np.testing.assert_array_equal(turned[position].numpy(), expected)


def test_the_published_constants() -> None:
    images = image_set(toy())
    rotation = pretraining.pretext("rotation", images, Recipe()).training
    steps = (rotation.lr, rotation.momentum, rotation.weight_decay, rotation.nesterov, rotation.batch_size)
    assert steps == (0.1, 0.9, 5e-4, True, 128)
    assert (rotation.epochs, rotation.milestones, rotation.lr_factor) == (200, (0.3, 0.6, 0.8), 0.2)
    simclr = pretraining.pretext("simclr", images, Recipe()).training
    assert (simclr.lr, simclr.schedule, simclr.weight_decay, simclr.nesterov) == (0.4, "cosine", 1e-4, False)
    assert (simclr.batch_size, simclr.epochs, simclr.warmup) == (512, 500, 0.0)
    shorter = Recipe(pretraining_epochs=3, pretraining_lr=0.2, pretraining_batch_size=7, lr=5.0, epochs=9)
    asked = pretraining.pretext("simclr", images, shorter).training
    assert (asked.epochs, asked.lr, asked.batch_size) == (3, 0.2, 7)


@pytest.mark.parametrize(("name", "chance"), [("rotation", math.log(4)), ("simclr", math.log(127))])
def test_digits_are_learned_beyond_chance(name: str, chance: float, tmp_path: Path) -> None:
    recipe = Recipe(**{**QUICK, "width": 8, "pretraining_epochs": 6, "pretraining_batch_size": 64})
    task = pretraining.pretext(name, image_set(data.load("digits")), recipe)
    with recording() as found:
        training.train(task, CPU, tmp_path / "checkpoint")
    assert found.loss is not None
    assert found.loss < 0.8 * chance  # untrained networks: 0.97 and more


# ---- contrast ----


def test_contrast_is_that_of_a_slow_loop() -> None:
    projected = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
    losses = []
    for i in range(10):
        partner = (i + 5) % 10
        near = [
            math.exp(float(torch.nn.functional.cosine_similarity(projected[i], projected[j], dim=0)) / 0.5)
            for j in range(10)
        ]
        losses.append(-math.log(near[partner] / (sum(near) - near[i])))
    assert float(contrast(projected, 0.5)) == pytest.approx(sum(losses) / 10, rel=1e-5)


def draw(images: torch.Tensor, flip: bool = True, seed: int = 0) -> torch.Tensor:
    return views.views(images, flip, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(9, 9, 3), (8, 14, 1), (16, 10, 2)])
def test_views_keep_shape_and_range_and_can_be_repeated(shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (50, *shape), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    seen = draw(images)
    assert seen.shape == images.shape
    assert seen.dtype == torch.float32
    assert 0 <= float(seen.min()) < float(seen.max()) <= 255
    assert torch.equal(seen, draw(images))
    assert not torch.equal(seen, draw(images, seed=1))
    # Nothing but what the generator says: a view of an image does not depend on the others of the batch.
    torch.testing.assert_close(draw(images[:20], seed=3)[:5], draw(images[:5].repeat(4, 1, 1, 1), seed=3)[:5])


def test_only_where_flips_are_allowed_is_a_view_mirrored() -> None:
    images = torch.arange(0, 200, 10).to(torch.uint8)[None, None, :, None].expand(300, 20, 20, 1)

    def rising(seen: torch.Tensor) -> torch.Tensor:
        return (seen[:, :, 10:].mean((1, 2, 3)) - seen[:, :, :10].mean((1, 2, 3))) > 0

    assert rising(draw(images, flip=False)).all()
    assert 0.4 < float(rising(draw(images)).float().mean()) < 0.6


def test_without_its_changes_a_view_is_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AREA": (1.0, 1.0), "LOG_RATIO": 0.0, "JITTER": 0.0, "GRAY": 0.0}.items():
        monkeypatch.setattr(views, name, value)
    images = torch.randint(0, 256, (6, 9, 9, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    torch.testing.assert_close(draw(images, flip=False), images.float(), atol=0.05, rtol=0)
    mirrored = draw(images)
    either = [
        torch.allclose(seen, image.float(), atol=0.05)
        or torch.allclose(seen.flip(1), image.float(), atol=0.05)
        for seen, image in zip(mirrored, images, strict=True)
    ]
    assert all(either)


def test_colors_change_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brightness, then contrast, saturation and hue, with numbers that leave no value to be clipped."""
    monkeypatch.setattr(views, "GRAY", 0.5)
    images = 100 + 30 * torch.rand(40, 4, 4, 3, generator=torch.Generator().manual_seed(1))
    numbers = torch.rand(40, views._DRAWS, generator=torch.Generator().manual_seed(2))
    changed = views._recolored(images, numbers)
    luma = torch.tensor(views._YIQ[0])
    grays = 0
    for image, seen, row in zip(images, changed, numbers, strict=True):
        brightness, strength, saturation = (
            1 + 0.4 * (2 * row[k] - 1) if row[5] < 0.8 else 1.0 for k in (6, 7, 8)
        )
        x = image * brightness
        x = (x - (x @ luma).mean()) * strength + (x @ luma).mean()
        torch.testing.assert_close(seen @ luma, x @ luma, atol=0.05, rtol=0)  # color changes keep the luma
        if row[10] < 0.5:
            grays += 1
            torch.testing.assert_close(seen, (x @ luma)[..., None].expand_as(x), atol=0.05, rtol=0)
            continue
        x = (x @ luma)[..., None] + saturation * (x - (x @ luma)[..., None])
        before, after = (y @ torch.tensor(views._YIQ[1:]).T for y in (x, seen))
        torch.testing.assert_close(after.norm(dim=2), before.norm(dim=2), atol=0.05, rtol=0)
        angle = torch.atan2(after[..., 1], after[..., 0]) - torch.atan2(before[..., 1], before[..., 0])
        turned = 0.2 * math.pi * float(2 * row[9] - 1) if row[5] < 0.8 else 0.0
        torch.testing.assert_close(angle.cos(), torch.full_like(angle, math.cos(turned)), atol=0.01, rtol=0)
    assert 5 < grays < 35


# ---- what they may see ----


@pytest.mark.parametrize("name", pretraining.NAMES)
def test_no_label_is_used(name: str, trainings: list[str]) -> None:
    dataset = toy()
    shuffled = replace(dataset, train_labels=dataset.train_labels[::-1], checksum="other")
    assert_same(pretrained(name, dataset), pretrained(name, shuffled))
    assert trainings == [name, name]


@pytest.mark.parametrize("name", pretraining.NAMES)
def test_all_stored_images_are_trained_on_whatever_the_pool_is(name: str, trainings: list[str]) -> None:
    recipe = Recipe(**QUICK, pretraining=name)
    some = pretraining.initial(recipe, image_set(toy(), np.array([3, 3, 7])), CPU)
    assert some is pretraining.initial(recipe, image_set(toy()), CPU)
    assert trainings == [name]
    shorter = pretrained(name, toy(count=20))
    assert some is not None
    assert differ(some, shorter)


def test_no_global_random_state_is_used_or_changed() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = pretrained("simclr")
    assert torch.equal(torch.get_rng_state(), state)
    store._LOADED.clear()
    next(store.cache.root().glob("pretraining/*/meta.json")).unlink()
    torch.manual_seed(2)
    assert_same(pretrained("simclr"), one)


# ---- other labels ----


def test_another_datasets_labels_are_learned(tmp_path: Path) -> None:
    other = toy("other", 80, (12, 12, 3))
    data.register("other", lambda: other)
    recipe = Recipe(**{**QUICK, "pretraining_epochs": 6})
    task = pretraining.pretext("other", image_set(toy()), recipe)
    with recording() as found:
        trained = training.train(task, CPU, tmp_path / "checkpoint")
    assert found.loss is not None
    assert found.loss < 0.5 * math.log(4)
    assert task.images.shape == (3, 10, 10)
    learner = NetworkLearner(recipe, (3, 10, 10), 4, CPU, trained)
    learner.begin(0)
    assert not any(name.startswith("head.") for name in trained)


def test_images_are_brought_to_size() -> None:
    images = toy(shape=(20, 20, 3)).train_images
    halved = images.reshape(-1, 10, 2, 10, 2, 3).mean((2, 4))
    flat = np.full_like(images, 77)
    np.testing.assert_array_equal(resized(images, 20, 20), images)
    assert (resized(flat, 10, 7) == 77).all()
    small = resized(images, 10, 10)
    assert (small.dtype, small.shape) == (np.uint8, halved.shape)
    # A triangle filter beside plain means of four: alike, and both centered.
    assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.9


# ---- errors, all before anything is trained ----


@pytest.mark.parametrize(
    ("dataset", "name", "error", "said"),
    [
        (toy(), "rotatoin", errors.UnknownName, "no pretraining 'rotatoin'; did you mean 'rotation'"),
        (toy(), "image_folder", errors.UnknownName, "no pretraining 'image_folder'"),
        (toy(), "toy", errors.InvalidRecipe, "for toy itself, whose labels are hidden"),
        (toy(), "twin", errors.InvalidRecipe, "for toy itself, whose labels are hidden"),
        (toy(), "digits", errors.InvalidRecipe, r"channels \(1\) than the environment's \(3\)"),
        (
            toy(shape=(10, 12, 3)),
            "rotation",
            errors.InvalidRecipe,
            "10x12, and only square images can be turned",
        ),
        (toy(), "/nowhere.pt", errors.InvalidRecipe, "cannot be read"),
    ],
)
def test_what_cannot_be_trained(
    dataset: Dataset, name: str, error: type[Exception], said: str, trainings: list[str]
) -> None:
    data.register("toy", lambda: dataset)
    data.register("twin", lambda: dataset)
    with pytest.raises(error, match=said):
        pretrained(name, dataset)
    assert trainings == []


def test_wrong_settings_are_refused_before_the_pretraining(trainings: list[str]) -> None:
    for settings, said in (
        ({"joint": "nothing"}, "no objective"),
        ({"backbone": "lenet", "low_resolution": 0.5}, "images of one size only"),
        ({"start": "pretrained", "pretraining": "simlcr"}, "did you mean 'simclr'"),
        ({"head": "ridge", "embedding": "pixels"}, "no network"),
        ({"head": "rige", "embedding": "simclr"}, "did you mean 'ridge'"),
        ({"joint": "nothing", "embedding": "simclr"}, "no objective"),
    ):
        with pytest.raises(errors.AlenvError, match=said):
            gym.make("ALDigits-v0", **{"pretraining": "rotation", **settings})
    assert trainings == []


def test_an_existing_file_is_a_file_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pretrained("rotation")
    monkeypatch.chdir(tmp_path)
    torch.save({**source, "head.bias": torch.zeros(4)}, "weights")
    assert_same(pretrained("weights"), source)
    torch.save({}, "rotation")
    assert not choice.is_file("rotation")


# ---- what a trunk starts from ----


@pytest.mark.parametrize("start", ["pretrained", "cold", "warm"])
def test_cycles_begin_with_the_trunk_as_the_recipe_says(start: str) -> None:
    dataset, none = toy(), np.zeros(0, np.int64)
    recipe = Recipe(**QUICK, epochs=1, batch_size=8, pretraining="rotation", start=start)
    learner = NetworkLearner.build(recipe, image_set(dataset), 4, CPU)
    trunk = pretrained("rotation")

    def same() -> bool:
        return not differ(trunk, learner.classifier.state_dict())

    heads = []
    for key in (1, 2):
        learner.begin(key)
        assert same()
        heads.append(copy.deepcopy(learner.classifier.head.weight))
    assert not torch.equal(*heads)
    learner.fit(image_set(dataset), np.arange(16), dataset.train_labels[:16], 0)
    assert not same()
    learner.fit(image_set(dataset), none, none, 1)  # no labels: only the return to the start
    assert same() is (start != "warm")
    assert_same(trunk, pretrained("rotation"))  # nobody has written into the shared weights


def test_an_environment_trains_on_from_the_trunk(trainings: list[str]) -> None:
    quick = {key: value for key, value in QUICK.items() if key != "pretraining_batch_size"}
    env = gym.make("ALDigits-v0", **quick, epochs=1, pretraining="rotation", start="pretrained")
    assert trainings == ["rotation"]
    env.reset(seed=0)
    _, reward, *_ = env.step(env.action_space.sample())
    assert 0 < float(reward) < 1
    gym.make("ALDigits-v0", **quick, epochs=2, pretraining="rotation")
    assert trainings == ["rotation"]


# ---- the store ----


def test_weights_are_trained_once_per_setting(trainings: list[str], place: Path) -> None:
    first = pretrained("rotation")
    store._LOADED.clear()
    assert_same(pretrained("rotation", lr=5.0, epochs=3, cutout=2, low_resolution=0.5), first)
    assert trainings == ["rotation"]
    others: list[dict[str, Any]] = [
        {"pretraining_epochs": 1},
        {"pretraining_batch_size": 8},
        {"pretraining_lr": 0.2},
        {"crop_padding": 0},
        {"flip": True},
        {"width": 5},
        {"precision": "fp32"},
    ]
    for changed in others:
        pretrained("rotation", **changed)
    assert len(trainings) == 1 + len(others)
    assert len([folder for folder in place.iterdir() if folder.is_dir()]) == 1 + len(others)
    assert not list(place.glob("*.checkpoint"))


def test_crops_are_no_part_of_contrast(trainings: list[str]) -> None:
    pretrained("simclr")
    pretrained("simclr", crop_padding=3)
    assert trainings == ["simclr"]


def test_a_damaged_file_is_trained_anew(trainings: list[str], place: Path) -> None:
    first = copy.deepcopy(pretrained("rotation"))
    file = next(place.glob("*/weights.pt"))
    whole = file.read_bytes()
    for damaged in (whole[:100], whole[:2000] + b"?" + whole[2001:], b""):
        file.write_bytes(damaged)
        store._LOADED.clear()
        assert_same(pretrained("rotation"), first)
        assert next(place.glob("*/weights.pt")).read_bytes() == whole
    assert trainings == ["rotation"] * 4


def test_no_disk_is_needed(monkeypatch: pytest.MonkeyPatch, trainings: list[str]) -> None:
    first = pretrained("rotation")
    monkeypatch.setenv("ALENV_DATA", "/dev/null/nothing")
    assert_same(pretrained("rotation"), first)
    assert_same(pretrained("rotation"), first)
    assert trainings == ["rotation"] * 2  # the second one is kept in memory


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("name", pretraining.NAMES)
@pytest.mark.parametrize("after", [2, 8, 11])  # of 3 steps an epoch: within the first epoch, and later
def test_a_stopped_training_goes_on_to_the_same_bytes(
    name: str, after: int, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    settings = {"pretraining_epochs": 4, "pretraining_lr": 0.05}
    whole = copy.deepcopy(pretrained(name, **settings))
    stored = next(place.glob("*/weights.pt"))
    content = stored.read_bytes()
    stored.with_name("meta.json").unlink()
    store._LOADED.clear()
    monkeypatch.setattr(training, "INTERVAL", 0.0)
    kind = type(pretraining.pretext(name, image_set(toy()), Recipe()))
    loss, steps = kind.loss, list[int]()

    def counted(*arguments: Any) -> torch.Tensor:
        steps.append(len(steps))
        if len(steps) == after + 1:
            raise Killed
        return loss(*arguments)

    monkeypatch.setattr(kind, "loss", counted)
    with pytest.raises(Killed):
        pretrained(name, **settings)
    assert len(list(place.glob("*.checkpoint"))) == (after > 3)
    assert_same(pretrained(name, **settings), whole)
    assert len(steps) == after + 1 + 12 - after // 3 * 3
    assert next(place.glob("*/weights.pt")).read_bytes() == content
    assert not list(place.glob("*.checkpoint"))


def test_a_damaged_checkpoint_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training, "INTERVAL", 0.0)
    file = tmp_path / "checkpoint"
    task = pretraining.pretext("rotation", image_set(toy()), Recipe(**QUICK))
    whole = training.train(task, CPU, file)
    content = file.read_bytes()
    for damaged in (b"", content[:-1], content[:500] + b"?" + content[501:]):
        file.write_bytes(damaged)
        with recording() as found:
            assert_same(training.train(task, CPU, file), whole)
        assert found.steps == 6


def test_two_processes_train_once(tmp_path: Path, place: Path) -> None:
    code = f"""
import gymnasium as gym, alenv
from alenv.pretraining import store
train = store.train
def noting(*arguments):
    with open({str(tmp_path / "trained")!r}, "a") as file:
        file.write("once ")
    return train(*arguments)
store.train = noting
gym.make("ALDigits-v0", backbone="convnet", width=4, pretraining="rotation", pretraining_epochs=1)
"""
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert (tmp_path / "trained").read_text() == "once "
    assert len(list(place.glob("*/weights.pt"))) == 1


# ---- the features as an embedding ----


@pytest.mark.parametrize("name", pretraining.NAMES)
def test_an_embedding_is_the_features_of_plain_images(name: str, trainings: list[str]) -> None:
    dataset, recipe = toy(), Recipe(**QUICK)
    rows = embed(dataset, name, 3, recipe, "cpu")
    trunk = pretrained(name)
    assert trainings == [name]  # one network for both
    network = pretraining.pretext(name, image_set(dataset), recipe).network(torch.Generator())
    network.load_state_dict(trunk, strict=False)
    images = np.concatenate([dataset.train_images, dataset.test_images])
    pictures = (torch.tensor(images) / 255 - torch.tensor(dataset.mean)) / torch.tensor(dataset.std)
    with torch.no_grad():
        expected = network.eval().features(pictures.permute(0, 3, 1, 2))
    expected = torch.nn.functional.normalize(expected, dim=1)
    assert rows.shape == (48, 16)
    np.testing.assert_allclose(rows, expected, atol=0.02 if recipe.precision == "auto" else 1e-5)
    assert isinstance(rows, np.memmap)
    assert embed(dataset, name, 99, recipe, "cpu") is rows  # no dimension is dropped
    changed = embed(dataset, name, 3, replace(recipe, pretraining_epochs=1), "cpu")
    assert not np.allclose(changed, rows, atol=1e-3)


def test_a_linear_head_learns_on_such_features() -> None:
    quick = {**QUICK, "pretraining_epochs": 3, "pretraining_batch_size": 64, "width": 8}
    env = gym.make("ALDigitsRidge-v0", **quick, embedding="simclr", budget=300)
    env.reset(seed=0)
    for _ in range(30):
        *_, info = env.step(env.action_space.sample())
    assert info["test_accuracy"] > 0.5
    assert env.unwrapped.view.embedding().shape[1] == 32  # type: ignore[attr-defined]  # gym.Env lacks it
