"""The training loop: recipe constants, schedules, warm and cold starts, and the seam for joint objectives."""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds, and what a made one always has is optional: hence the
# ignored attr-defined, union-attr and index in this file.
import copy
import re
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alenv import errors, nets, presets
from alenv.learners import objectives
from alenv.learners.augmentation import Augmentation
from alenv.learners.images import ImageSet, shrink
from alenv.learners.network import NetworkLearner
from alenv.learners.objectives import Batch, Objective, Step, register
from alenv.learners.objectives.loss_prediction import LossModule, ranking_loss
from alenv.learners.optimization import learning_rate, make_optimizer
from alenv.pretraining import read_weights
from alenv.runtime import Runtime
from alenv.settings import Recipe

SHAPE = (1, 8, 8)
QUICK: dict[str, Any] = {"backbone": "convnet", "width": 8, "epochs": 3, "batch_size": 8, "crop_padding": 1}


def images(count: int = 40) -> ImageSet:
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8))
    return ImageSet(pixels, np.arange(count), (0.5,), (0.25,))


def learner(**recipe: Any) -> NetworkLearner:
    settings = Recipe(**{**QUICK, **recipe})
    pretrained = read_weights(settings.pretraining) if settings.pretraining else None
    made = NetworkLearner(settings, SHAPE, 4, Runtime("cpu", "fp32", 1), pretrained)
    made.begin(11)
    return made


def labels(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, count)


# ---- the paper's constants ----


def test_the_default_recipe_is_the_papers() -> None:
    recipe = Recipe()
    rates = [learning_rate(recipe, epoch, epoch / 200) for epoch in range(200)]
    assert rates[:160] == [0.1] * 160
    assert rates[160:] == pytest.approx([0.01] * 40)
    optimizer = make_optimizer(recipe, nn.Linear(2, 2).parameters())
    assert isinstance(optimizer, torch.optim.SGD)
    settings = optimizer.param_groups[0]
    assert (settings["momentum"], settings["weight_decay"], settings["nesterov"]) == (0.9, 5e-4, False)
    assert len(optimizer.param_groups[0]["params"]) == 2  # biases decay too
    assert (recipe.backbone, recipe.batch_size, recipe.start, recipe.flip) == ("resnet18", 128, "warm", True)
    assert (recipe.crop_padding, recipe.cutout, recipe.label_smoothing, recipe.dropout) == (4, 0, 0.0, 0.0)


@pytest.mark.parametrize("epochs", [5, 10, 20, 35, 160])
def test_a_shorter_recipe_keeps_its_shape(epochs: int) -> None:
    rates = [learning_rate(Recipe(epochs=epochs), epoch, 0) for epoch in range(epochs)]
    assert rates.count(0.1) == epochs * 4 // 5


def test_schedules_rise_and_fall() -> None:
    cycle = Recipe(schedule="onecycle", warmup=0.25, lr=2.0)
    assert learning_rate(cycle, 0, 0.0) == 0
    assert learning_rate(cycle, 0, 0.125) == pytest.approx(1.0)
    assert learning_rate(cycle, 0, 0.25) == pytest.approx(2.0)
    assert learning_rate(cycle, 0, 0.625) == pytest.approx(1.0)
    cosine = Recipe(schedule="cosine", lr=2.0)
    assert [learning_rate(cosine, 0, p) for p in (0, 0.5)] == pytest.approx([2.0, 1.0])
    assert learning_rate(cosine, 0, 1 - 1e-9) == pytest.approx(0.0, abs=1e-6)
    assert learning_rate(Recipe(schedule="constant", lr=0.3), 199, 0.999) == 0.3


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", torch.optim.SGD),
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_every_optimizer_lowers_the_loss(name: str, kind: type) -> None:
    recipe = Recipe(optimizer=name, lr=0.01, nesterov=name == "sgd", decay="weights", weight_decay=0.01)
    net = nn.Linear(3, 1)
    optimizer = make_optimizer(recipe, net.parameters())
    assert isinstance(optimizer, kind)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]
    x = torch.eye(3)
    nets.initialize(net, torch.Generator().manual_seed(0))
    before = float(net(x).detach().square().mean())
    for _ in range(20):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    assert float(net(x).detach().square().mean()) < before


# ---- the loop against an obvious one ----


def test_one_cycle_is_what_a_plain_loop_gives() -> None:
    """Without augmentation, the weights after a cycle equal those of a textbook loop on the same batches."""
    trained = learner(augment=False, label_smoothing=0.1, epochs=2, milestones=(0.5,))
    plain = copy.deepcopy(trained.classifier)
    pool, chosen, answers = images(), np.arange(5, 26), labels(21)
    trained.fit(pool, chosen, answers, 0)
    from alenv.seeding import Purpose, torch_stream

    order = torch_stream(11, Purpose.BATCHES, 0)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    x = (pool.raw(torch.arange(40)).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    plain.train()
    for epoch in range(2):
        optimizer.param_groups[0]["lr"] = 0.1 if epoch == 0 else 0.01
        shuffled = torch.randperm(21, generator=order)
        for start in range(0, 21, 8):
            batch = shuffled[start : start + 8]
            logits = plain(x[torch.from_numpy(chosen)[batch]].contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, torch.from_numpy(answers)[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for (name, one), other in zip(
        trained.classifier.state_dict().items(), plain.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("count", [1, 2, 9, 17])
@pytest.mark.parametrize("joint", [None, "loss_prediction"])
def test_the_last_batch_may_have_any_size(count: int, joint: str | None) -> None:
    made = learner(joint=joint)
    made.fit(images(), np.arange(count), labels(count), 0)
    assert all(torch.isfinite(v).all() for v in made.get_state()["classifier"].values())


def test_cold_returns_to_the_initial_weights_and_warm_goes_on() -> None:
    pool, answers = images(), labels(16)
    for start in ("cold", "warm"):
        made = learner(start=start)
        made.fit(pool, np.arange(8), answers[:8], 0)
        after_first = made.get_state()
        made.fit(pool, np.arange(16), answers, 1)
        fresh = learner(start=start)
        if start == "warm":
            fresh.set_state(after_first)
        fresh.fit(pool, np.arange(16), answers, 1)
        for name, value in made.get_state()["classifier"].items():
            assert torch.equal(value, fresh.get_state()["classifier"][name]), (start, name)


def test_pretrained_weights_are_restored_in_every_cycle_but_the_head(tmp_path: Path) -> None:
    source = learner()
    source.fit(images(), np.arange(16), labels(16), 0)
    torch.save(source.classifier.state_dict(), tmp_path / "weights.pt")
    made = learner(start="pretrained", pretraining=str(tmp_path / "weights.pt"))
    state, start = source.classifier.state_dict(), copy.deepcopy(made.classifier.state_dict())
    for name, value in start.items():
        assert torch.equal(value, state[name]) == (not name.startswith("head.")), name
    made.fit(images(), np.arange(8), labels(8), 0)
    made.fit(
        images(), np.zeros(0, np.int64), np.zeros(0, np.int64), 1
    )  # no labels: only the return to the start
    assert all(torch.equal(v, start[n]) for n, v in made.classifier.state_dict().items())
    first = sorted(name for name in start if not name.startswith("head."))[0]
    with pytest.raises(errors.InvalidRecipe, match=rf"does not fit .*first difference: {re.escape(first)}\)"):
        learner(start="pretrained", pretraining=str(tmp_path / "weights.pt"), width=16)


def test_training_stops_at_an_accuracy() -> None:
    epochs: list[int] = []

    @register("counting")
    class Counting(Objective):
        def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
            epochs.append(len(epochs))
            return super().batches(labeled, unlabeled, generator)

    learner(joint="counting", epochs=60, stop_accuracy=1.0, augment=False).fit(
        images(), np.arange(8), labels(8), 0
    )
    assert 1 < len(epochs) < 60


def test_inference_is_unaugmented_and_leaves_batch_statistics_alone() -> None:
    made = learner(joint="loss_prediction", dropout=0.5)
    pool = images()
    made.fit(pool, np.arange(8), labels(8), 0)
    before = made.get_state()
    out = made.infer(pool, torch.arange(40), maps=True)
    again = made.infer(pool, torch.arange(40).flip(0), maps=True)
    members = made.members(pool, torch.arange(40), 3, 0)
    for group in ("classifier", "networks"):
        for name, value in made.get_state()[group].items():
            assert torch.equal(value, before[group][name]), name
    for name, values in out.items():
        assert torch.equal(values, again[name].flip(0)), name
    assert members.shape == (3, 40, 4)
    torch.testing.assert_close(members.sum(2), torch.ones(3, 40))
    assert not torch.equal(members[0], members[1])
    x = pool.normalize(pool.raw(torch.arange(40)))
    expected = made.copy_classifier().outputs(x)
    torch.testing.assert_close(out["logits"], expected.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out["map0"], expected.feature_maps[0].mean((2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lr", [1e6, 1e30])
def test_diverged_training_is_said_once(lr: float) -> None:
    made = learner(lr=lr, epochs=5, start="warm")
    for cycle in (0, 1):
        made.fit(images(), np.arange(16), labels(16), cycle)
        if cycle == 0:
            with pytest.warns(UserWarning, match="diverged .* lower lr, now"):
                made.predict(images())
        made.predict(images())  # a second warning would be an error


# ---- augmentation ----


def test_every_crop_and_flip_is_a_shift_of_the_padded_image() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.arange(1, 49, dtype=torch.uint8).reshape(1, 6, 8, 1)
    padded = F.pad(image, (0, 0, 2, 2, 2, 2))
    legal = {
        (flip, top, left): (padded.flip(2) if flip else padded)[0, top : top + 6, left : left + 8]
        for flip in (False, True)
        for top in range(5)
        for left in range(5)
    }
    drawn = Augmentation(True, 2, False, 0)(
        image.expand(4000, -1, -1, -1), torch.zeros(1, dtype=torch.uint8), generator
    )
    seen: dict[Any, int] = {}
    for one in drawn:
        matches = [key for key, value in legal.items() if torch.equal(one, value)]
        assert matches
        seen[matches[0]] = seen.get(matches[0], 0) + 1
    assert len(seen) == 50  # every offset, the outermost included, flipped and not
    assert max(seen.values()) < 140  # 80 expected each


def test_half_of_the_images_are_flipped() -> None:
    image = torch.arange(8, dtype=torch.uint8).reshape(1, 1, 8, 1).expand(20_000, -1, -1, -1)
    drawn = Augmentation(True, 0, False, 0)(
        image, torch.zeros(1, dtype=torch.uint8), torch.Generator().manual_seed(3)
    )
    share = float((drawn[:, 0, 0, 0] == 7).float().mean())
    assert abs(share - 0.5) < 0.02  # more than five standard deviations


def test_every_cycle_has_an_order_and_an_augmentation_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keyed by cycle 0 alone, every warm cycle would see the same crops in the same order, and the same dropout."""
    seen: list[Any] = []
    started: list[Any] = []

    def begin(self: Any, classifier: Any, networks: nn.ModuleDict, generator: torch.Generator) -> None:
        started.append((generator.get_state().tolist(), classifier.dropout.generator.get_state().tolist()))

    def spy(self: Any, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> Any:
        found = plain_batches(self, labeled, unlabeled, generator)
        seen.append(torch.cat([some for some, _ in found]).tolist())
        return found

    def crops(self: Any, images: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
        drawn.append(generator.get_state().tolist())
        return plain_call(self, images, fill, generator)

    plain_batches, plain_call, drawn = Objective.batches, Augmentation.__call__, list[Any]()
    monkeypatch.setattr(Objective, "batches", spy)
    monkeypatch.setattr(Augmentation, "__call__", crops)
    monkeypatch.setattr(Objective, "begin", begin)
    made, answers = learner(epochs=1, batch_size=16, dropout=0.5), labels(16)
    for cycle in (0, 1, 2):
        made.fit(images(), np.arange(16), answers, cycle)
    assert len({tuple(order) for order in seen}) == 3
    assert len({tuple(state) for state in drawn}) == 3
    assert len({tuple(state) for state, _ in started}) == 3
    assert len({tuple(state) for _, state in started}) == 3


def test_every_cycle_has_members_of_its_own() -> None:
    made, everything = learner(dropout=0.5), torch.arange(40)
    one, again, other = (made.members(images(), everything, 3, cycle) for cycle in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_warm_cycle_trains_in_train_mode() -> None:
    """With BatchNorm in eval mode its statistics would stay as the first cycle left them."""
    made, answers = learner(epochs=2, start="warm"), labels(16)
    for cycle in (0, 1):
        before = made.get_state()["classifier"]
        made.fit(images(), np.arange(16), answers, cycle)
        after = made.get_state()["classifier"]
        moved = [name for name in after if "running_mean" in name]
        assert moved
        assert not any(torch.equal(before[name], after[name]) for name in moved)
        assert not made.classifier.training


def test_cutout_covers_a_square_with_the_mean_color() -> None:
    generator = torch.Generator().manual_seed(0)
    blank = torch.full((500, 8, 8, 2), 200, dtype=torch.uint8)
    cut = Augmentation(False, 0, False, 4)(blank, torch.tensor([9, 7], dtype=torch.uint8), generator)
    covered = (cut != blank).all(-1)
    assert torch.equal(cut[covered], torch.tensor([9, 7], dtype=torch.uint8).expand(int(covered.sum()), 2))
    areas = covered.sum((1, 2))
    assert areas.max() == 16
    assert areas.min() >= 4
    for one in covered:  # one solid rectangle
        assert one.sum() == one.any(0).sum() * one.any(1).sum()
    assert torch.equal(
        Augmentation.of(Recipe(augment=False, cutout=4))(blank, blank[0, 0, 0], generator), blank
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_trivial_augment_changes_each_image_in_its_own_way(channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, channels), dtype=np.uint8)
    images = torch.from_numpy(picture).expand(300, -1, -1, -1)
    fill = torch.full((channels,), 100, dtype=torch.uint8)
    augment = Augmentation.of(Recipe(flip=False, crop_padding=0, trivial_augment=True))
    torch.manual_seed(5)
    expected_next = torch.rand(1)
    torch.manual_seed(5)
    first = augment(images, fill, torch.Generator().manual_seed(1))
    assert torch.equal(torch.rand(1), expected_next)  # the caller's global stream is where it was
    assert (first.shape, first.dtype) == (images.shape, torch.uint8)
    assert torch.equal(augment(images, fill, torch.Generator().manual_seed(1)), first)
    assert not torch.equal(augment(images, fill, torch.Generator().manual_seed(2)), first)
    kinds = {one.numpy().tobytes() for one in first}
    assert len(kinds) > 50  # operations and strengths are drawn image by image
    assert picture.tobytes() in kinds  # one of the operations changes nothing
    blank = torch.full((300, 16, 16, channels), 7, dtype=torch.uint8)
    turned = augment(blank, fill, torch.Generator().manual_seed(3))
    corners = turned[:, 0, 0]
    assert (corners == fill).all(1).any()  # what a shift uncovers has the mean color
    off = Augmentation.of(Recipe(augment=False, trivial_augment=True))
    assert torch.equal(off(images, fill, torch.Generator().manual_seed(1)), images)


def test_a_share_of_the_steps_trains_on_smaller_images() -> None:
    made = NetworkLearner(
        Recipe(**{**QUICK, "epochs": 2, "low_resolution": 0.5, "low_resolution_scale": 0.75}),
        (1, 16, 12),
        4,
        Runtime("cpu", "fp32", 1),
    )
    made.begin(0)
    sizes: list[tuple[int, int, bool]] = []
    trunk = made.classifier.trunk
    made.classifier.trunk = (
        lambda batch: (  # type: ignore[method-assign]  # on purpose
            sizes.append((*batch.shape[2:], made.classifier.training)),
            trunk(batch),
        )[1]
    )
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 12, 1)).astype(np.uint8)
    pool = ImageSet(torch.from_numpy(pixels), np.arange(24), (0.5,), (0.25,))
    made.fit(pool, np.arange(24), labels(24), 0)
    made.infer(pool, torch.arange(24))
    assert sizes == [(12, 9, True)] * 3 + [(16, 12, True)] * 3 + [(16, 12, False)]


def test_smaller_images_are_averages_of_what_they_cover() -> None:
    random = torch.rand(3, 2, 32, 16, generator=torch.Generator().manual_seed(0))
    half = shrink(random, 0.5)
    assert half.shape == (3, 2, 16, 8)
    assert half.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(half.mean((2, 3)), random.mean((2, 3)), atol=0.02, rtol=0)
    # antialiased: a fine checkerboard becomes grey instead of one of its colors
    board = (torch.arange(32)[:, None] + torch.arange(32) & 1).float().expand(1, 1, 32, 32)
    assert (shrink(board, 0.5)[..., 2:-2, 2:-2] - 0.5).abs().max() < 1e-6
    assert shrink(random, 0.1).shape == (3, 2, 8, 8)  # no network takes less
    assert torch.equal(shrink(random, 1.0), random)
    assert shrink(torch.zeros(1, 1, 8, 8), 0.5).shape == (1, 1, 8, 8)


def test_a_backbone_of_one_image_size_has_no_low_resolution() -> None:
    with pytest.raises(errors.InvalidRecipe, match="lenet"):
        gym.make("ALDigits-v0", backbone="lenet", low_resolution=0.5)
    gym.make("ALDigits-v0", backbone="lenet")
    fast = {
        name: presets.resolve("cifar10", "fast", {"backbone": name}).recipe for name in ("lenet", "vgg11")
    }
    assert (fast["lenet"].low_resolution, fast["vgg11"].low_resolution) == (0.0, 0.7)


def test_a_set_has_the_shape_of_its_images() -> None:
    pixels = torch.zeros(5, 6, 8, 2, dtype=torch.uint8)
    some = ImageSet(pixels, np.array([4, 1, 1]), (0.5, 0.5), (0.25, 0.25))
    assert some.shape == (2, 6, 8)
    assert len(some) == 3
    assert some.normalize(some.raw(torch.arange(3))).shape == (3, 2, 6, 8)


def test_normalization_is_per_channel() -> None:
    raw = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)
    made = ImageSet(raw, np.arange(1), (0.5, 0.25, 0.2), (0.5, 0.25, 0.1)).normalize(raw)
    torch.testing.assert_close(made.flatten(), torch.tensor([-1.0, 3.0, 0.0]))


# ---- objectives ----


def test_ranking_loss_against_a_loop() -> None:
    random = torch.Generator().manual_seed(0)
    for count in (1, 2, 5, 8):
        predicted, true = torch.randn(count, generator=random), torch.rand(count, generator=random)
        expected = [
            max(
                0.0,
                0.5
                - (1 if true[i] > true[count - 1 - i] else -1)
                * float(predicted[i] - predicted[count - 1 - i]),
            )
            for i in range(count // 2)
        ]
        mean = sum(expected) / len(expected) if expected else 0.0
        assert float(ranking_loss(predicted, true, 0.5)) == pytest.approx(mean, abs=1e-6)


def test_the_loss_module_has_the_published_size() -> None:
    assert sum(p.numel() for p in LossModule((64, 128, 256, 512), 128).parameters()) == 123_905


def test_the_loss_module_learns_to_rank_and_its_gradient_is_cut() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(64, 4, 3, 3, generator=generator) for _ in range(2)]
    true = maps[0].mean((2, 3))[:, 0].exp()
    module = LossModule((4, 4), 16)
    nets.initialize(module, generator)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(300):
        order = torch.randperm(64, generator=generator)
        optimizer.zero_grad()
        ranking_loss(module([m[order] for m in maps]), true[order], 1.0).backward()
        optimizer.step()
    ranks = torch.stack([module(maps).argsort().argsort(), true.argsort().argsort()]).float()
    assert float(torch.corrcoef(ranks)[0, 1]) > 0.9
    for epochs, cut, epoch, reaches in (
        (10, 0.6, 6, True),
        (10, 0.6, 7, False),
        (100, 0.29, 29, True),
        (10, 0.0, 0, False),
        (10, 1.0, 9, True),
    ):
        recipe = Recipe(joint="loss_prediction", epochs=epochs, joint_options=(("joint_cut", cut),))
        objective = objectives.make(recipe)
        leaf = [m.clone().requires_grad_() for m in maps]
        losses = torch.ones(64, requires_grad=True) * true
        part: Any = type("Part", (), {"feature_maps": leaf})()
        step: Any = type("Step", (), {"epoch": epoch, "labeled": part, "losses": losses})()
        step.networks = nn.ModuleDict({"loss_module": module})
        objective.loss(step).backward()
        assert (leaf[0].grad is not None) == reaches


@register("seam")
class SeamObjective(Objective):
    """Uses unlabeled images, an optimizer of its own for a critic, and an average of the weights."""

    options: ClassVar[dict[str, Any]] = {"joint_rate": 0.5, "joint_lr": 0.1}
    provides: ClassVar[tuple[str, ...]] = ("labeled_score",)
    self_trained: ClassVar[tuple[str, ...]] = ("critic",)

    def modules(self, classifier: nn.Module) -> dict[str, nn.Module]:
        size: Any = classifier.feature_size
        return {"critic": nn.Linear(size, 1), "projector": nn.Linear(size, size)}

    def begin(self, classifier: nn.Module, networks: nn.ModuleDict, generator: torch.Generator) -> None:
        self.optimizer = torch.optim.SGD(networks["critic"].parameters(), lr=self.settings["joint_lr"])
        self.average = copy.deepcopy(classifier)
        self.generator = generator
        self.unlabeled: set[int] = set()

    def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
        order = torch.randperm(len(unlabeled), generator=generator)
        pairs = zip(super().batches(labeled, unlabeled, generator), unlabeled[order].split(4), strict=False)
        return [(some, others) for (some, _), others in pairs]

    def loss(self, step: Step) -> Tensor:
        assert step.unlabeled is not None
        assert step.unlabeled.labels is None
        self.unlabeled |= set(step.unlabeled.indices.tolist())
        other = step.classifier.features(step.augment(step.unlabeled.raw))  # type: ignore[operator]  # a method
        consistency = (step.networks["projector"](step.unlabeled.features) - other).square().mean()
        return step.losses.mean() + self.settings["joint_rate"] * consistency

    def after_step(self, step: Step) -> None:
        assert step.unlabeled is not None
        critic = step.networks["critic"]
        self.optimizer.zero_grad()
        score = (
            critic(step.unlabeled.features.detach()).mean() - critic(step.labeled.features.detach()).mean()
        )
        score.backward()
        self.optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(self.average.parameters(), step.classifier.parameters(), strict=True):
                mine.lerp_(theirs, 0.2)

    def evaluated(self, classifier: nn.Module) -> nn.Module:
        return self.average

    def scores(
        self, networks: nn.ModuleDict, features: Tensor, feature_maps: list[Tensor]
    ) -> dict[str, Tensor]:
        return {"labeled_score": networks["critic"](features.float()).squeeze(1)}


def test_an_objective_may_use_unlabeled_images_a_second_optimizer_and_an_average() -> None:
    pool, answers = images(), labels(12)
    plain, made = learner(), learner(joint="seam", joint_options=(("joint_lr", 0.2),))
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.classifier.parameters(), made.classifier.parameters(), strict=True)
    )
    before = made.get_state()
    made.fit(pool, np.arange(12), answers, 0)
    assert made.objective.unlabeled <= set(range(12, 40))  # type: ignore[attr-defined]
    assert made.objective.unlabeled  # type: ignore[attr-defined]
    after = made.get_state()
    for name in ("critic.weight", "projector.weight"):
        assert not torch.equal(before["networks"][name], after["networks"][name])
    average = made.objective.average.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(v, average[k]) for k, v in made.classifier.state_dict().items())
    assert made.infer(pool, torch.arange(5))["labeled_score"].shape == (5,)


def test_the_seam_reaches_the_environment() -> None:
    env = gym.make(
        "ALDigits-v0",
        joint="seam",
        joint_rate=0.1,
        epochs=1,
        width=8,
        initial_size=10,
        query_size=5,
        budget=10,
    )
    observation, _ = env.reset(seed=0)
    assert observation["labeled_score"].shape == (50,)
    assert env.observation_space.contains(observation)
    view = env.unwrapped.view  # type: ignore[attr-defined]
    np.testing.assert_array_equal(view.labeled_score(view.candidates).numpy(), observation["labeled_score"])
    env.step(view.unlabeled[:5])
    expected = env.unwrapped.get_state()  # type: ignore[attr-defined]
    oracle = env.unwrapped._oracle  # type: ignore[attr-defined]
    env.reset(seed=0)
    hidden = np.setdiff1d(np.arange(len(oracle._true)), expected["episode"]["labeled"])
    oracle._true[hidden] = (oracle._true[hidden] + 1) % 10  # labels of unqueried images reach no weight
    env.step(expected["episode"]["labeled"][10:].numpy())
    for name, value in env.unwrapped.get_state()["learner"]["classifier"].items():  # type: ignore[attr-defined]
        assert torch.equal(value, expected["learner"]["classifier"][name])
