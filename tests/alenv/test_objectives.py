"""Joint objectives: discriminators, ranking, semi-supervision; each against a known answer or a slow loop."""

from __future__ import annotations

import copy
import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from equality import assert_equal
from torch import Tensor, nn

from alenv import errors, nets
from alenv.learners import objectives
from alenv.learners.images import ImageSet
from alenv.learners.network import NetworkLearner
from alenv.learners.objectives import Batch, Objective, Step, mean_teacher, register
from alenv.learners.objectives.average import WeightAverage
from alenv.learners.objectives.discriminator import Discriminator
from alenv.learners.objectives.fixmatch import guessing_loss
from alenv.learners.objectives.loss_prediction import LossModule
from alenv.learners.objectives.loss_ranking import logistic_ranking_loss
from alenv.learners.objectives.mean_teacher import disagreement, ramp
from alenv.learners.objectives.wasserstein import Critic, gradient_penalty
from alenv.runtime import Runtime
from alenv.settings import Recipe

NEW = ["discriminator", "fixmatch", "loss_ranking", "mean_teacher", "wasserstein"]
PAIRED = ["discriminator", "fixmatch", "mean_teacher", "wasserstein"]
QUICK: dict[str, Any] = {"backbone": "convnet", "width": 8, "epochs": 2, "batch_size": 8, "crop_padding": 1}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 40) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1)).astype(np.uint8)
    return ImageSet(torch.from_numpy(pixels), np.arange(count), (0.5,), (0.25,))


def labels(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, count)


def learner(joint: str | None = None, precision: str = "fp32", **given: Any) -> NetworkLearner:
    options = {name: value for name, value in given.items() if name.startswith("joint_")}
    recipe = {name: value for name, value in given.items() if name not in options}
    settings = Recipe(**{**QUICK, **recipe}, joint=joint, joint_options=tuple(sorted(options.items())))
    made = NetworkLearner(settings, (1, 8, 8), 4, Runtime("cpu", precision, 1))
    made.begin(11)
    return made


def weights(made: NetworkLearner) -> dict[str, Any]:
    state = made.get_state()
    return {"classifier": state["classifier"], "networks": state["networks"]}


# ---- what all of them keep ----


@pytest.mark.parametrize("joint", NEW)
def test_it_repeats_to_the_bit_and_reads_no_global_random_state(joint: str) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        made = learner(joint, dropout=0.3)
        made.fit(images(), np.arange(13), labels(13), 0)
        found.append({**weights(made), "scores": made.infer(images(), torch.arange(40))})
        assert torch.equal(torch.get_rng_state(), before)
    assert_equal(*found)


@pytest.mark.parametrize("joint", NEW)
@pytest.mark.parametrize("start", ["warm", "cold"])
def test_a_restored_state_goes_on_as_it_would_have(joint: str, start: str) -> None:
    made, fresh = (learner(joint, start=start, dropout=0.3) for _ in range(2))
    made.fit(images(), np.arange(8), labels(8), 0)
    fresh.set_state(copy.deepcopy(made.get_state()))
    for each in (made, fresh):
        each.fit(images(), np.arange(13), labels(13), 1)
    assert_equal(weights(made), weights(fresh))


@pytest.mark.parametrize("joint", NEW)
@pytest.mark.parametrize(("count", "pool"), [(1, 40), (2, 3), (9, 10), (17, 40), (1, 2), (8, 8), (1, 1)])
def test_any_number_of_labeled_and_unlabeled_images_trains(joint: str, count: int, pool: int) -> None:
    made = learner(joint, batch_size=8)
    before = weights(made)
    made.fit(images(pool), np.arange(count), labels(count), 0)
    after = weights(made)
    assert all(
        value.isfinite().all() for value in [*after["classifier"].values(), *after["networks"].values()]
    )
    assert any(not torch.equal(v, before["classifier"][k]) for k, v in after["classifier"].items())
    found = made.infer(images(pool), torch.arange(pool))
    assert all(found[name].isfinite().all() and found[name].shape == (pool,) for name in made.provides)


@pytest.mark.parametrize("joint", NEW)
def test_batches_of_one_image_train(joint: str) -> None:
    made = learner(joint, batch_size=1)
    made.fit(images(9), np.arange(3), labels(3), 0)
    assert all(value.isfinite().all() for value in weights(made)["classifier"].values())


@pytest.mark.parametrize("joint", NEW)
def test_the_loss_of_a_pass_in_half_precision_is_whole(joint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, kinds = learner(joint, precision="bf16"), set()
    plain = type(made.objective).loss

    def spy(self: Any, step: Step) -> Tensor:
        loss = plain(self, step)
        kinds.add((loss.dtype, step.labeled.feature_maps[0].dtype))
        return loss

    monkeypatch.setattr(type(made.objective), "loss", spy)
    made.fit(images(), np.arange(9), labels(9), 0)
    assert kinds == {(torch.float32, torch.bfloat16)}
    found = made.infer(images(), torch.arange(40))
    assert all(found[name].dtype == torch.float32 for name in made.provides)


@pytest.mark.parametrize("joint", NEW)
def test_the_classifier_starts_as_it_does_without(joint: str) -> None:
    assert_equal(weights(learner(joint))["classifier"], weights(learner())["classifier"])


@pytest.mark.parametrize("joint", PAIRED)
def test_every_step_sees_labeled_and_unlabeled_images_of_the_pool(joint: str) -> None:
    labeled, unlabeled = torch.arange(13), torch.arange(13, 40)
    made = learner(joint).objective
    networks = nn.ModuleDict(made.modules(learner().classifier))
    made.begin(learner().classifier, networks, stream())
    batches = made.batches(labeled, unlabeled, stream(1))
    assert set(torch.cat([some for some, _ in batches]).tolist()) == set(labeled.tolist())
    others = torch.cat([each for _, each in batches if each is not None])
    assert set(others.tolist()) <= set(unlabeled.tolist())
    sizes = [(len(some), len(each)) for some, each in batches if each is not None]
    assert (
        sizes
        == {
            "discriminator": [(8, 8), (5, 5)],  # as many unlabeled images as labeled ones
            "wasserstein": [(8, 8), (8, 8), (8, 8), (8, 3)],  # the unlabeled ones once
            "fixmatch": [(8, 56), (5, 56)],
            "mean_teacher": [(8, 24), (5, 3)],
        }[joint]
    )


@pytest.mark.parametrize(
    ("joint", "option", "value"),
    [
        ("discriminator", "joint_width", 0),
        ("wasserstein", "joint_gamma", "half"),
        ("wasserstein", "joint_gamma", -1.0),
        ("wasserstein", "joint_activation", "tanh"),
        ("wasserstein", "joint_length", "unlabeled"),
        ("wasserstein", "joint_dropout", 1.0),
        ("loss_ranking", "joint_weight", -1.0),
        ("fixmatch", "joint_ratio", 0),
        ("fixmatch", "joint_average", 1.5),
        ("mean_teacher", "joint_ramp", 2.0),
    ],
)
def test_options_out_of_range_are_refused(joint: str, option: str, value: Any) -> None:
    with pytest.raises(errors.InvalidRecipe, match=option):
        gym.make("ALDigits-v0", joint=joint, **{option: value})


# ---- who looks labeled ----


def shaded() -> tuple[ImageSet, np.ndarray]:
    """60 images of two classes (which half is lighter); the first 30 are bright, the others dark."""
    random = np.random.default_rng(3)
    classes = np.tile([0, 1], 30)
    pixels = (
        random.integers(0, 40, (60, 8, 8, 1)) + np.where(np.arange(60) < 30, 150, 40)[:, None, None, None]
    )
    pixels[classes == 0, :4] += 40
    pixels[classes == 1, 4:] += 40
    return ImageSet(torch.from_numpy(pixels.astype(np.uint8)), np.arange(60), (0.5,), (0.25,)), classes


@pytest.mark.parametrize(
    ("joint", "options"),
    [("discriminator", {}), ("wasserstein", {}), ("wasserstein", {"joint_activation": "relu"})],
)
def test_images_like_the_labeled_ones_score_higher(joint: str, options: dict[str, Any]) -> None:
    pool, classes = shaded()
    made = learner(joint, epochs=20, lr=0.05, crop_padding=0, flip=False, **options)
    made.fit(pool, np.arange(20), classes[:20], 0)
    scores = made.infer(pool, torch.arange(60))["labeled_score"]
    labeled, bright, dark = scores[:20], scores[20:30], scores[30:]
    assert labeled.min() > dark.max()
    assert bright.min() > dark.max()
    if joint == "discriminator":
        assert ((scores >= 0) & (scores <= 1)).all()


def test_gamma_is_a_number_or_the_ratio() -> None:
    made: Any = learner("wasserstein", joint_gamma="ratio").objective
    networks = nn.ModuleDict(made.modules(learner().classifier))
    made.begin(learner().classifier, networks, stream())
    made.batches(torch.arange(4), torch.arange(4, 40), stream())
    assert made._gamma == 4 / 36
    made.settings["joint_gamma"] = 0.5
    made.batches(torch.arange(4), torch.arange(4, 40), stream())
    assert made._gamma == 0.5


# ---- discriminator ----


def test_the_discriminator_has_the_published_size_weights_and_normalized_input() -> None:
    judge = nets.construct(lambda: Discriminator(512, 512), stream())
    assert sum(each.numel() for each in judge.parameters()) == 525_825
    for layer in judge.layers:
        if isinstance(layer, nn.Linear):
            assert not layer.bias.any()
            assert float(layer.weight.detach().std()) == pytest.approx(
                math.sqrt(2 / layer.in_features), rel=0.1
            )
    assert abs(float(judge.layers[0].weight.detach().mean())) < 1e-3
    assert float(judge.layers[0].weight.detach().abs().max()) > 3 * math.sqrt(2 / 512)  # normal, not uniform
    features = torch.rand(5, 512, generator=stream(1))
    torch.testing.assert_close(judge(features), judge(30 * features))
    assert not torch.allclose(judge(features), judge(features + 1))


def test_the_discriminators_loss_is_the_sum_of_both_kinds() -> None:
    step, networks = made_step("discriminator", {})
    for weight in (0.5, 2.0):
        objective = objectives.make(Recipe(joint="discriminator", joint_options=(("joint_weight", weight),)))
        judge = networks["discriminator"]
        ones, zeros = (
            torch.sigmoid(judge(step.labeled.features)),
            torch.sigmoid(judge(step.unlabeled.features)),
        )
        expected = step.losses.mean() - weight * (ones.log().mean() + (1 - zeros).log().mean())
        torch.testing.assert_close(objective.loss(step), expected)
    objective.loss(step).backward()
    for part in (step.labeled, step.unlabeled):
        assert part.features.grad.abs().sum() > 0  # it trains the classifier as well


def made_step(joint: str, options: dict[str, Any], size: int = 6) -> Any:
    """A step of 5 labeled and 7 unlabeled images with planted features, and the objective's networks."""
    random = stream(4)
    objective = objectives.make(Recipe(joint=joint, joint_options=tuple(options.items())))
    classifier: Any = type("Classifier", (), {"feature_size": size})()
    networks = nets.construct(lambda: nn.ModuleDict(objective.modules(classifier)), stream(5))
    parts = []
    for count, shift in ((5, 0.0), (7, 1.0)):
        features = (torch.randn(count, size, generator=random) + shift).requires_grad_()
        parts.append(type("Part", (), {"features": features})())
    fields = {"labeled": parts[0], "unlabeled": parts[1], "networks": networks, "losses": torch.ones(5)}
    return type("Step", (), fields)(), networks


# ---- critic ----


def penalty_case(activation: str) -> tuple[Critic, Tensor, Tensor, Tensor]:
    random = stream(2)
    critic = nets.construct(lambda: Critic(4, 6, 0.0, activation), random).double()
    labeled, unlabeled = (torch.randn(n, 4, generator=random, dtype=torch.float64) for n in (5, 3))
    return critic, labeled, unlabeled, torch.rand(3, generator=random, dtype=torch.float64)


def test_the_penalty_of_a_linear_critic_is_known() -> None:
    slope = torch.tensor([3.0, 0.0, 4.0])
    points = torch.randn(6, 3, generator=stream())
    found = gradient_penalty(lambda z: z @ slope, points[:2], points[2:], torch.tensor([0.2, 0.7]))
    assert float(found.detach()) == pytest.approx((5 - 1) ** 2)
    seen: list[Tensor] = []
    gradient_penalty(
        lambda z: (seen.append(z), z @ slope)[1], points[:2], points[2:], torch.tensor([0.25, 0.5])
    )
    between = torch.stack([0.75 * points[0] + 0.25 * points[2], 0.5 * points[1] + 0.5 * points[3]])
    torch.testing.assert_close(seen[0].detach(), torch.cat([between, points]))


@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_the_penaltys_gradient_by_the_weights_equals_finite_differences(activation: str) -> None:
    critic, labeled, unlabeled, shares = penalty_case(activation)
    names, values = zip(*critic.named_parameters(), strict=True)

    def penalty(*given: Tensor) -> Tensor:
        named = dict(zip(names, given, strict=True))
        return gradient_penalty(
            lambda z: torch.func.functional_call(critic, named, (z,)), labeled, unlabeled, shares
        )

    assert torch.autograd.gradcheck(penalty, values)
    gradients = torch.autograd.grad(penalty(*values), values, allow_unused=True)
    assert gradients[0].abs().max() > 1e-3


def test_the_penaltys_gradient_by_the_features_equals_finite_differences() -> None:
    critic, labeled, unlabeled, shares = penalty_case("softplus")
    ends = labeled.requires_grad_(), unlabeled.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: gradient_penalty(critic, a, b, shares), ends)
    for gradient in torch.autograd.grad(gradient_penalty(critic, *ends, shares), ends):
        assert gradient.abs().max() > 1e-4
    critic, labeled, unlabeled, shares = penalty_case("relu")  # flat pieces: nothing to follow
    ends = labeled.requires_grad_(), unlabeled.requires_grad_()
    found = torch.autograd.grad(gradient_penalty(critic, *ends, shares), ends, allow_unused=True)
    assert all(gradient is None or not gradient.any() for gradient in found)


def critics_step(**options: Any) -> tuple[Any, Any, nn.Module]:
    step, networks = made_step("wasserstein", options)
    objective: Any = objectives.make(Recipe(joint="wasserstein", joint_options=tuple(options.items())))
    objective.begin(None, networks, stream(6))
    objective.batches(torch.arange(5), torch.arange(5, 12), stream())
    return objective, step, networks["critic"]


def test_the_critics_steps_lower_the_penalty_and_raise_the_distance() -> None:
    objective, step, critic = critics_step(joint_dropout=0.0, joint_lr=0.02, joint_penalty=20.0)
    labeled, unlabeled = step.labeled.features.detach(), step.unlabeled.features.detach()

    def measured() -> tuple[float, float]:
        distance = critic(unlabeled).mean() - critic(labeled).mean()
        penalty = gradient_penalty(critic, labeled, unlabeled, torch.full((5,), 0.5))
        return float(distance.detach()), float(penalty.detach())

    before = measured()
    for _ in range(300):
        objective.after_step(step)
    after = measured()
    assert after[0] > before[0] + 0.5
    assert after[1] < 0.2 * before[1]
    assert step.labeled.features.grad is None  # the critic's step is its own


@pytest.mark.parametrize("share", [0.0, 5.0])
def test_the_classifiers_step_draws_the_features_together(share: float) -> None:
    objective, step, critic = critics_step(joint_dropout=0.0, joint_lr=0.05, joint_feature_penalty=share)
    for _ in range(100):
        objective.after_step(step)
    objective.loss(step).backward()
    features = step.labeled.features, step.unlabeled.features
    moved = [each.detach() - 100 * each.grad for each in features]
    apart, nearer = ((critic(b).mean() - critic(a).mean()).item() for a, b in (features, moved))
    assert nearer < apart
    slopes = torch.autograd.grad(critic(features[1]).sum(), features[1])[0]
    from_distance = 2e-3 * slopes / 7
    assert torch.allclose(features[1].grad, from_distance, atol=1e-9) == (share == 0)


# ---- ranking ----


def test_logistic_ranking_loss_against_a_loop() -> None:
    random = stream()
    for count in (1, 2, 5, 8):
        predicted, true = torch.randn(count, generator=random), torch.rand(count, generator=random)
        costs = []
        for i in range(count // 2):
            j = count - 1 - i
            right = 1 / (1 + math.exp(-float(predicted[i] - predicted[j])))
            costs.append(-math.log(right if true[i] > true[j] else 1 - right))
        mean = sum(costs) / len(costs) if costs else 0.0
        assert float(logistic_ranking_loss(predicted, true)) == pytest.approx(mean, abs=1e-6)


def test_the_ranking_module_learns_to_rank_and_has_no_margin() -> None:
    random = stream()
    maps = [torch.randn(64, 4, 3, 3, generator=random) for _ in range(2)]
    true = maps[0].mean((2, 3))[:, 0].exp()
    module = LossModule((4, 4), 16)
    nets.initialize(module, random)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(300):
        order = torch.randperm(64, generator=random)
        optimizer.zero_grad()
        logistic_ranking_loss(module([m[order] for m in maps]), true[order]).backward()
        optimizer.step()
    ranks = torch.stack([module(maps).argsort().argsort(), true.argsort().argsort()]).float()
    assert float(torch.corrcoef(ranks)[0, 1]) > 0.9
    kind = objectives.find("loss_ranking")
    assert set(kind.options) == set(kind.rules) == {"joint_weight", "joint_width", "joint_cut"}
    with pytest.raises(errors.UnknownName, match="joint_margin"):
        gym.make("ALDigits-v0", joint="loss_ranking", joint_margin=1.0)


# ---- FixMatch ----


@pytest.mark.parametrize(
    "recipe", [{}, {"dropout": 0.4, "cutout": 3, "label_smoothing": 0.1, "optimizer": "adam"}]
)
def test_fixmatch_with_an_impossible_threshold_is_plain_training(recipe: dict[str, Any]) -> None:
    recipe = {"start": "warm", "lr": 0.01, **recipe}
    plain = learner(**recipe)
    made = learner("fixmatch", joint_threshold=1.01, joint_average=0, **recipe)
    bold = learner("fixmatch", joint_threshold=0.0, joint_average=0, **recipe)
    for cycle, count in enumerate((9, 13)):
        for each in (plain, made, bold):
            each.fit(images(), np.arange(count), labels(count), cycle)
        assert_equal(weights(made), weights(plain))
        assert any(
            not torch.equal(v, weights(plain)["classifier"][k])
            for k, v in bold.classifier.state_dict().items()
        )


def test_only_confident_guesses_count() -> None:
    weak, strong = (3 * torch.randn(20, 4, generator=stream(seed)) for seed in (0, 1))
    weak.requires_grad_(), strong.requires_grad_()
    loss = guessing_loss(weak, strong, 0.9)
    each, sure = [], []
    for row, other in zip(weak.detach().softmax(1), strong.detach().log_softmax(1), strict=True):
        sure.append(bool(row.max() >= 0.9))
        each.append(-float(other[row.argmax()]) if sure[-1] else 0.0)
    assert 3 < sum(sure) < 17
    assert float(loss.detach()) == pytest.approx(sum(each) / 20, rel=1e-5)
    loss.backward()
    assert weak.grad is None
    assert strong.grad.abs().sum(1).gt(0).tolist() == sure
    assert guessing_loss(weak, strong, 1.01) == 0
    assert guessing_loss(torch.tensor([[torch.nan, 0.0]]), torch.ones(1, 2), 0.5) == 0


def test_strong_images_are_changed_more_than_weak_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    plain = Step.augment

    def spy(self: Step, raw: Tensor, augmentation: Any = None, generator: Any = None) -> Tensor:
        seen.append((augmentation, generator is made.objective._generator))  # type: ignore[attr-defined]  # its own
        return plain(self, raw, augmentation, generator)

    monkeypatch.setattr(Step, "augment", spy)
    made = learner("fixmatch", epochs=1, batch_size=40, flip=False)
    made.fit(images(), np.arange(9), labels(9), 0)
    (weak, own), (strong, also) = seen
    assert weak is None
    assert own
    assert also
    assert (strong.flip, strong.crop_padding, strong.trivial, strong.cutout) == (False, 1, True, 4)


def test_an_objective_may_pass_unlabeled_images_itself() -> None:
    steps: list[Step] = []

    @register("passing")
    class Passing(Objective):
        own_passes = True

        def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
            return [(some, unlabeled[:3]) for some, _ in super().batches(labeled, unlabeled, generator)]

        def loss(self, step: Step) -> Tensor:
            steps.append(step)
            return super().loss(step)

    made, plain = learner("passing"), learner()
    for each in (made, plain):
        each.fit(images(), np.arange(9), labels(9), 0)
    assert_equal(weights(made)["classifier"], weights(plain)["classifier"])  # nothing was drawn or passed
    assert all(step.unlabeled is None for step in steps)
    raw = images().raw(torch.arange(9, 12))
    assert all(torch.equal(step.unlabeled_raw, raw) for step in steps if step.unlabeled_raw is not None)
    assert steps[0].unlabeled_raw is not None


def test_labeled_and_unlabeled_images_are_one_batch() -> None:
    """Apart, BatchNorm would take out what tells them apart."""
    compared: list[Tensor] = []

    @register("together")
    class Together(Objective):
        def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
            return [(some, unlabeled[:5]) for some, _ in super().batches(labeled, unlabeled, generator)]

        def loss(self, step: Step) -> Tensor:
            assert step.unlabeled is not None
            with nets.aside(step.classifier, stream()), torch.no_grad():
                whole = step.forward(torch.cat([step.labeled.images, step.unlabeled.images]))
            for name in ("logits", "features"):
                halves = [getattr(part, name).detach() for part in (step.labeled, step.unlabeled)]
                compared.append((torch.cat(halves) - getattr(whole, name)).abs().max())
            for maps, one, other in zip(
                whole.feature_maps, step.labeled.feature_maps, step.unlabeled.feature_maps, strict=True
            ):
                compared.append((torch.cat([one, other]).detach() - maps).abs().max())
            return super().loss(step)

    learner("together").fit(images(), np.arange(9), labels(9), 0)
    assert len(compared) == 4 * 5
    assert max(compared) == 0


def test_a_pass_aside_leaves_no_trace() -> None:
    classifier = nets.build(
        "resnet18", num_classes=4, channels=1, image_size=8, width=4, dropout=0.5, generator=stream()
    )
    classifier.dropout.generator = stream(1)
    x = torch.randn(6, 1, 8, 8, generator=stream(2))
    before, drawn = copy.deepcopy(classifier.state_dict()), classifier.dropout.generator.get_state()
    classifier.train()
    with nets.aside(classifier, stream(3)):
        first = classifier(x)
    assert_equal(classifier.state_dict(), before)
    assert torch.equal(classifier.dropout.generator.get_state(), drawn)
    classifier.dropout.generator = stream(3)
    assert torch.equal(classifier(x), first)  # a pass in train mode like any other
    assert any(
        not torch.equal(v, before[k]) for k, v in classifier.state_dict().items()
    )  # which now is noted


# ---- averages ----


def test_an_average_of_weights_has_known_values() -> None:
    classifier = nets.build("convnet", num_classes=2, channels=1, image_size=8, width=4, generator=stream())
    norm: Any = classifier.stages[0][1]  # type: ignore[index]  # a Sequential
    tracked = [classifier.head.bias.data, norm.running_mean, norm.running_var]
    for each in tracked:
        each.fill_(8.0)
    average = WeightAverage(classifier, 0.25)
    mine: Any = average.network.stages[0][1]  # type: ignore[index]  # a Sequential
    expected, values = 8.0, (3.0, 5.0, -1.0)
    for k, value in enumerate(values, start=1):
        for each in tracked:
            each.fill_(value)
        norm.num_batches_tracked.fill_(k)
        average.update()
        kept = min(0.25, k / (9 + k))  # 0.1, 0.1818..., 0.25
        expected = kept * expected + (1 - kept) * value
        for each in (average.network.head.bias, mine.running_mean, mine.running_var):
            torch.testing.assert_close(each, torch.full_like(each, expected))
        assert int(mine.num_batches_tracked) == k
    assert expected == pytest.approx(0.25 * (2 / 11 * 3.5 + 9 / 11 * 5) - 0.75)
    assert not any(each.requires_grad for each in average.network.parameters())
    assert all(each.requires_grad for each in classifier.parameters())
    copied = WeightAverage(classifier, 0.0)
    classifier.head.weight.data.mul_(-3.0)
    copied.update()
    assert_equal(copied.network.state_dict(), classifier.state_dict())


@pytest.mark.parametrize("joint", ["fixmatch", "mean_teacher"])
def test_the_average_is_evaluated(joint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: dict[str, Any] = {}

    def spy(self: Any, classifier: nets.Classifier) -> nets.Classifier:
        trained.update(copy.deepcopy(classifier.state_dict()))
        return plain(self, classifier)

    made = learner(joint)
    plain = type(made.objective).evaluated
    monkeypatch.setattr(type(made.objective), "evaluated", spy)
    made.fit(images(), np.arange(9), labels(9), 0)
    average: Any = made.objective._average  # type: ignore[attr-defined]  # its own
    assert_equal(made.classifier.state_dict(), average.network.state_dict())
    assert not torch.equal(trained["head.weight"], made.classifier.head.weight)


# ---- Mean Teacher ----


def test_the_weight_of_the_teacher_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ramp(0.0, 0.25) == pytest.approx(math.exp(-5))
    assert ramp(0.125, 0.25) == pytest.approx(math.exp(-5 / 4))
    assert ramp(0.25, 0.25) == ramp(0.9, 0.25) == ramp(0.0, 0.0) == 1.0
    added: list[tuple[float, float]] = []
    plain = mean_teacher.MeanTeacher.loss

    def spy(self: Any, step: Step) -> Tensor:
        loss = plain(self, step)
        added.append((step.progress, (loss - step.losses.mean()).item()))
        return loss

    monkeypatch.setattr(mean_teacher, "disagreement", lambda student, teacher: torch.tensor(1.0))
    monkeypatch.setattr(mean_teacher.MeanTeacher, "loss", spy)
    learner("mean_teacher", epochs=4, joint_weight=2.0, joint_ramp=0.5).fit(
        images(), np.arange(9), labels(9), 0
    )
    assert len({progress for progress, _ in added}) == 8
    for progress, weight in added:
        assert weight == pytest.approx(2 * ramp(progress, 0.5), abs=1e-6)


def test_disagreement_is_a_squared_distance_of_probabilities() -> None:
    student, teacher = (torch.randn(6, 4, generator=stream(seed)).requires_grad_() for seed in (0, 1))
    loss = disagreement(student, teacher)
    distance = student.detach().softmax(1).numpy() - teacher.detach().softmax(1).numpy()
    assert float(loss.detach()) == pytest.approx(float(np.square(distance).mean()), rel=1e-5)
    loss.backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0
    assert disagreement(student, student) == 0


def test_the_teacher_sees_other_crops_and_stays_an_average(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[tuple[bool, Tensor]] = []
    plain = Step.forward

    def spy(self: Step, pictures: Tensor, classifier: Any = None) -> Any:
        passed.append((classifier is made.objective._average.network, pictures))  # type: ignore[attr-defined]  # its own
        assert classifier.training
        assert self.unlabeled is not None
        students = torch.cat([self.labeled.images, self.unlabeled.images])
        assert pictures.shape == students.shape
        assert not torch.equal(pictures, students)
        before = copy.deepcopy(classifier.state_dict())
        found = plain(self, pictures, classifier)
        assert_equal(classifier.state_dict(), before)
        return found

    monkeypatch.setattr(Step, "forward", spy)
    made = learner("mean_teacher", epochs=1)
    made.fit(images(), np.arange(9), labels(9), 0)
    assert len(passed) == 2  # a step each
    assert all(teachers for teachers, _ in passed)
