"""Recipe, protocol, pool, streams, spaces, heads and devices."""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds, and what a made one always has is optional: hence the
# ignored attr-defined, union-attr and index in this file.
import os
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import alenv
from alenv import errors, pool, presets, runtime
from alenv.initial import InitialSets
from alenv.oracle import Oracle
from alenv.runtime import Runtime
from alenv.seeding import Purpose, numpy_stream, torch_stream
from alenv.settings import Options, Protocol, Recipe, field_names, takes_text
from alenv.spaces import Query

LABELS = np.random.default_rng(0).integers(0, 10, 5000)


# ---- protocol and pool ----


@given(
    initial=st.integers(0, 120),
    query=st.integers(1, 60),
    budget=st.one_of(st.integers(0, 150), st.just("all")),
)
def test_a_fitted_protocol_always_fits(initial: int, query: int, budget: int | str) -> None:
    protocol = Protocol(initial_size=initial, query_size=query, budget=budget)
    room = 100 - initial
    legal = room >= 0 and (budget == "all" or (budget % query == 0 and budget <= room))  # type: ignore[operator]  # a number
    if not legal:
        with pytest.raises(errors.InvalidProtocol, match="use"):
            protocol.fitted(100)
        return
    fitted = protocol.fitted(100)
    assert isinstance(fitted.budget, int)
    assert fitted.budget % query == 0
    assert initial + fitted.budget <= 100
    assert fitted.cycles * query == fitted.budget
    if budget == "all":
        assert initial + fitted.budget + query > 100
    else:
        assert fitted.budget == budget


def test_split_and_pool_partition_the_training_rows() -> None:
    rows, validation = pool.build(LABELS, 10, Protocol(validation=700))
    assert sorted([*rows, *validation]) == list(range(5000))
    assert len(validation) == 700
    again, _ = pool.build(LABELS, 10, Protocol(validation=700))
    np.testing.assert_array_equal(rows, again)
    other, _ = pool.build(LABELS, 10, Protocol(validation=700, data_seed=1))
    assert not np.array_equal(rows, other)


def test_a_smaller_pool_is_a_part_of_the_whole_one() -> None:
    whole, validation = pool.build(LABELS, 10, Protocol(validation=700))
    rows, same = pool.build(LABELS, 10, Protocol(validation=700, pool_size=900))
    np.testing.assert_array_equal(validation, same)
    assert len(set(rows.tolist())) == 900
    assert set(rows.tolist()) < set(whole.tolist())
    assert rows.max() > 4000  # of all parts of the data
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(pool.build(LABELS, 10, Protocol(validation=700, pool_size=4300))[0], whole)
    with pytest.raises(errors.InvalidProtocol, match=r"^pool_size=4301 was given for 4300 training images"):
        pool.build(LABELS, 10, Protocol(validation=700, pool_size=4301))


@pytest.mark.parametrize("times", [2, 20])
def test_a_redundant_pool_by_counting(times: int) -> None:
    protocol = Protocol(initial_size=100, query_size=10, budget=100, redundancy=times)
    rows, _ = pool.build(LABELS, 10, protocol)
    assert len(rows) == 5000
    np.testing.assert_array_equal(
        np.bincount(LABELS[rows]), np.bincount(LABELS)
    )  # the classes keep their size
    copies = np.unique(rows, return_counts=True)[1]
    assert set(copies.tolist()) <= {1, times - 1, times} | set(range(1, times))
    assert len(copies) == pytest.approx(600 + 4400 / times, abs=10)
    single = set(np.unique(rows)[copies == 1].tolist())
    initial = InitialSets(protocol, rows, None, "", None, Oracle(LABELS[rows], 10, 0.0)).of(3)
    assert set(rows[initial].tolist()) <= single
    assert len(set(initial.tolist())) == 100


def test_an_imbalanced_pool_by_counting() -> None:
    rows, _ = pool.build(LABELS, 10, Protocol(initial_size=10, imbalance=10))
    sizes = np.bincount(LABELS[rows], minlength=10)
    assert sizes[0] == np.bincount(LABELS).min()
    assert sizes[0] / sizes[9] == pytest.approx(10, rel=0.03)
    assert (np.diff(sizes) < 0).all()
    assert len(set(rows.tolist())) == len(rows)
    assert (np.diff(rows) > 0).all()  # class by class, the index would give the class away
    halves = [np.bincount(LABELS[half], minlength=10) for half in np.array_split(rows, 2)]
    assert np.abs(halves[0] - halves[1]).max() < 60


def test_a_class_without_images_limits_no_other() -> None:
    labels = np.repeat([0, 2], 50)
    assert len(pool.build(labels, 3, Protocol(initial_size=1, imbalance=2.0))[0]) == 50 + 25


@pytest.mark.parametrize("shape", [{"imbalance": 10.0}, {"redundancy": 20}])
def test_outliers_in_a_shaped_pool_keep_their_number(shape: dict[str, float]) -> None:
    labels = np.where(LABELS < 8, LABELS, pool.OUTLIER)
    rows, validation = pool.build(labels, 8, Protocol(initial_size=10, validation=300, outliers=2, **shape))
    assert (labels[rows] == pool.OUTLIER).sum() == (labels == pool.OUTLIER).sum()
    assert (labels[validation] >= 0).all()
    assert not set(rows.tolist()) & set(validation.tolist())


# ---- streams and spaces ----


def test_streams_depend_on_all_three_keys_and_nothing_else() -> None:
    draws = {
        (key, purpose, cycle): numpy_stream(key, purpose, cycle).random()
        for key in (0, 1)
        for purpose in Purpose
        for cycle in (0, 1)
    }
    assert len(set(draws.values())) == len(draws) == 4 * len(Purpose)
    assert draws[1, Purpose.WEIGHTS, 1] == numpy_stream(1, Purpose.WEIGHTS, 1).random()
    a, b = (torch.rand(3, generator=torch_stream(5, Purpose.BATCHES, cycle)) for cycle in (0, 0))
    assert torch.equal(a, b)
    assert not torch.equal(a, torch.rand(3, generator=torch_stream(5, Purpose.BATCHES, 1)))
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose)


def test_a_query_space_samples_distinct_indices() -> None:
    space = Query(20, 20)
    assert sorted(space.sample()) == list(range(20))
    mask = np.zeros(20, bool)
    mask[[3, 5, 7]] = True
    assert sorted(Query(20, 3).sample(mask)) == [3, 5, 7]
    assert sorted(Query(20, 3).sample(mask.astype(np.int8))) == [3, 5, 7]
    masks = [
        (np.ones(3, np.int8),) * 3,
        np.ones(21, bool),
        mask.astype(float),
        np.zeros(20, bool),
        "x",
        [[1], [2, 3]],
    ]
    for wrong in masks:
        with pytest.raises(errors.InvalidQuery, match="mask"):
            Query(20, 3).sample(wrong)
    with pytest.raises(errors.InvalidQuery, match="leave it out"):
        Query(20, 3).sample(probability=np.ones(20) / 20)
    assert Query(20, 3).contains(np.array([1, 1, 19]))
    for outside in (np.array([1, 2, 20]), np.array([-1, 2, 3]), np.array([1, 2]), np.array([0.5, 1, 2])):
        assert not Query(20, 3).contains(outside)
    one, two = Query(50, 5, seed=1), Query(50, 5, seed=1)
    np.testing.assert_array_equal(one.sample(), two.sample())
    assert gym.vector.utils.batch_space(one, 3).shape == (3, 5)
    assert repr(one) == "Query(50, 5)"


# ---- what is allowed ----

# Setting, the last value that is allowed, the first that is not.
LIMITS: list[tuple[type, str, Any, Any]] = [
    (Recipe, "width", 1, 0),
    (Recipe, "dropout", 0, -0.01),
    (Recipe, "dropout", 0.95, 0.951),
    (Recipe, "lr", 1e-9, 0),
    (Recipe, "lr", 1e9, float("inf")),
    (Recipe, "momentum", 0, -0.01),
    (Recipe, "momentum", 0.9999, 1),
    (Recipe, "weight_decay", 0, -1e-9),
    (Recipe, "batch_size", 1, 0),
    (Recipe, "epochs", 1, 0),
    (Recipe, "milestones", (0.01, 0.99), (0.0,)),
    (Recipe, "milestones", (), (1.0,)),
    (Recipe, "milestones", (0.5,), (0.5, "0.6")),
    (Recipe, "lr_factor", 1e-9, 0),
    (Recipe, "warmup", 0, -0.01),
    (Recipe, "warmup", 0.9, 0.91),
    (Recipe, "stop_accuracy", 1e-9, 0),
    (Recipe, "stop_accuracy", 1, 1.01),
    (Recipe, "crop_padding", 0, -1),
    (Recipe, "cutout", 0, -1),
    (Recipe, "low_resolution", 0, -0.01),
    (Recipe, "low_resolution", 0.9, 0.91),
    (Recipe, "low_resolution_scale", 1e-9, 0),
    (Recipe, "low_resolution_scale", 1, 1.01),
    (Recipe, "label_smoothing", 0, -0.01),
    (Recipe, "label_smoothing", 0.95, 0.951),
    (Recipe, "embedding_size", 1, 0),
    (Recipe, "ridge_penalty", 1e-9, 0),
    (Recipe, "beta", 1e-9, 0),
    (Recipe, "flip", False, 0),
    (Recipe, "backbone", "a name", 3),
    (Recipe, "head", "a name", None),
    (Recipe, "embedding", None, 3),
    (Protocol, "initial_size", 0, -1),
    (Protocol, "query_size", 1, 0),
    (Protocol, "budget", 0, -1),
    (Protocol, "budget", "all", "some"),
    (Protocol, "validation", 0, -1),
    (Protocol, "pool_size", 1, 0),
    (Protocol, "data_seed", 0, -1),
    (Protocol, "redundancy", 1, 0),
    (Protocol, "imbalance", 1, 0.99),
    (Protocol, "outliers", 0, -1),
    (Protocol, "label_noise", 0, -0.01),
    (Protocol, "label_noise", 1, 1.01),
    (Options, "candidates", 1, 0),
    (Options, "threads", 1, 0),
    (Options, "image_size", 1, 0),
    (Options, "test_share", 0, -0.01),
    (Options, "split_seed", 0, -1),
]


@pytest.mark.parametrize(("kind", "name", "last", "beyond"), LIMITS)
def test_every_setting_ends_where_it_says(kind: type, name: str, last: Any, beyond: Any) -> None:
    assert getattr(kind(**{name: last}), name) == last
    with pytest.raises(errors.AlenvError, match=f"^{name}="):
        kind(**{name: beyond})


def test_settings_that_take_any_text() -> None:
    takers = {name for kind in (Recipe, Protocol, Options) for name in field_names(kind) if takes_text(name)}
    assert takers >= {"root", "embedding", "backbone", "head", "joint", "pretraining", "device"}
    assert not takers & {"epochs", "lr", "flip", "optimizer", "budget", "candidates", "observe"}


def test_what_does_not_go_together() -> None:
    refused: list[dict[str, Any]] = [
        {"head": "ridge"},
        {"head": "ridge", "embedding": "pixels", "joint": "loss_prediction"},
        {"nesterov": True, "optimizer": "rmsprop"},
        {"nesterov": True, "momentum": 0.0},
        {"start": "pretrained"},
        {"joint_options": (("joint_weight", 1.0),)},
    ]
    for settings in refused:
        with pytest.raises(errors.InvalidRecipe):
            Recipe(**settings)
    assert Recipe(nesterov=True, momentum=0.5).nesterov
    assert Recipe(start="pretrained", pretraining="w.pt").start == "pretrained"


# ---- ids, devices, errors ----


def test_every_id_is_registered_and_resolves() -> None:
    assert {"ALDigits-v0", "ALCifar10-v0", "ALCifar10Ridge-v0", "ALCifar10Fast-v0"} <= set(alenv.ENVIRONMENTS)
    assert {"ALSvhn-v0", "ALCifar100-v0", "ALTinyImageNet-v0", "ALFashionMnist-v0"} <= set(alenv.ENVIRONMENTS)
    for name, (dataset, recipe) in alenv.ENVIRONMENTS.items():
        assert gym.spec(name).entry_point == "alenv.env:ActiveLearningEnv"
        presets.resolve(dataset, recipe, {})
    paper = presets.resolve("cifar10", "paper", {})
    assert paper.recipe == Recipe()
    assert (paper.protocol.initial_size, paper.protocol.query_size, paper.protocol.budget) == (
        1000,
        1000,
        9000,
    )


@pytest.mark.parametrize("recipe", presets.RECIPES)
def test_every_recipe_goes_with_every_dataset(recipe: str) -> None:
    for dataset in presets.DATASETS:
        found = presets.resolve(dataset, "paper", {"recipe": recipe}).recipe
        assert not found.nesterov or found.optimizer == "sgd"
    with pytest.raises(errors.InvalidRecipe, match="nesterov=True was given"):
        presets.resolve("digits", "badge2019", {"nesterov": True})


def test_a_query_size_brings_its_own_candidates() -> None:
    assert presets.resolve("cifar10", "ridge", {}).options.candidates == 256
    assert presets.resolve("cifar10", "ridge", {"query_size": 100}).options.candidates is None
    both = {"query_size": 100, "candidates": 300}
    assert presets.resolve("cifar10", "ridge", both).options.candidates == 300
    assert gym.make("ALDigitsRidge-v0", query_size=20).unwrapped.options.candidates == 200  # type: ignore[attr-defined]


def test_an_id_with_the_package_name_imports_by_itself() -> None:
    assert gym.make("alenv:ALDigits-v0", epochs=1).spec.id == "ALDigits-v0"  # type: ignore[union-attr]  # a made one has it


def test_the_fast_recipe_costs_a_tenth_of_the_papers_arithmetic() -> None:
    from alenv import nets
    from alenv.learners.images import shrink

    def multiplications(recipe: Recipe) -> float:
        count = 0

        def add(layer: torch.nn.Module, _: object, output: torch.Tensor) -> None:
            nonlocal count
            weight = layer.weight
            count += weight.numel() * (output[0, 0].numel() if output.ndim == 4 else 1)  # type: ignore[operator]  # a tensor

        net = nets.build(
            recipe.backbone,
            num_classes=10,
            channels=3,
            image_size=32,
            width=recipe.width,
            generator=torch.Generator().manual_seed(0),
        )
        for layer in net.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                layer.register_forward_hook(add)
        net.eval()
        full, total = torch.zeros(1, 3, 32, 32), 0.0
        small = shrink(full, recipe.low_resolution_scale)
        for images, share in ((small, recipe.low_resolution), (full, 1 - recipe.low_resolution)):
            count = 0
            net(images)
            total += count * share * recipe.epochs
        return total

    fast, paper = (presets.resolve("cifar10", name, {}).recipe for name in ("fast", "paper"))
    assert multiplications(fast) <= 0.1 * multiplications(paper)


def test_devices_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = runtime.resolve("cpu", "auto", 2)
    assert resolved.precision in ("bf16", "fp32")
    assert runtime.resolve("auto", "fp32", 1, default_device="cpu") == Runtime("cpu", "fp32", 1)
    before = torch.get_num_threads()
    with Runtime("cpu", "fp32", before + 1).active():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    monkeypatch.setattr(runtime, "_forked", True)
    with Runtime("cpu", "fp32", before + 1).active():
        assert torch.get_num_threads() == 1  # a forked worker must not start torch's thread pool
    assert torch.get_num_threads() == before
    with Runtime("cpu", "bf16", 1).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("maker", "tiles", "products", "precision"),
    [
        ("GenuineIntel", True, True, "bf16"),
        ("GenuineIntel", False, True, "fp32"),  # bf16 products alone are slower there
        ("AuthenticAMD", False, True, "bf16"),
        ("AuthenticAMD", False, False, "fp32"),
        (None, False, True, "fp32"),
    ],
)
def test_bf16_where_the_processor_is_faster_in_it(
    maker: str | None,
    tiles: bool,
    products: bool,
    precision: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = tmp_path / "cpuinfo"
    if maker:
        facts.write_text(f"vendor_id\t: {maker}\n")
    monkeypatch.setattr(runtime, "CPU_FACTS", facts)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: products, raising=False)
    assert runtime.resolve("cpu", "auto", 1).precision == precision


def test_a_forked_worker_refuses_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_forked", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert runtime.resolve("auto", "fp32", 1, default_device="cpu").device == "cpu"
    for device in ("auto", "cuda", "cuda:0"):
        with pytest.raises(errors.UnknownName, match="spawn"):
            runtime.resolve(device, "fp32", 1)
    with pytest.raises(errors.UnknownName, match="tpu"):
        runtime.resolve("tpu", "fp32", 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken from a process here")
def test_the_default_takes_the_cores_that_the_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= runtime.resolve("cpu", "auto", None).threads <= len(allowed)  # a container may allow fewer
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert runtime.resolve("cpu", "auto", None).threads == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_errors_are_value_errors_and_never_type_errors() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and k.__module__ == errors.__name__]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, errors.AlenvError)
        assert issubclass(kind, ValueError)
    assert "did you mean 'margin'" in str(errors.unknown("agent", "margn", ["margin", "random"]))
    assert "choose one of margin, random" in str(errors.unknown("agent", "zzz", ["random", "margin"]))


def test_image_folder_paths_follow_the_pool_index(image_folder: Path) -> None:
    env = gym.make(
        "ALImageFolder-v0",
        **{"root": str(image_folder), "image_size": 12, "backbone": "convnet", "width": 8, "epochs": 1},
        **{"initial_size": 6, "query_size": 3, "budget": 3, "threads": 1},
    ).unwrapped
    env.reset(seed=0)
    view, names = env.view, env.class_names  # type: ignore[attr-defined]
    assert names == ("cat", "dog", "fox")
    for index, label in zip(view.labeled, view.labels(), strict=True):
        assert f"/{names[label]}/" in f"/{env.paths[index]}"  # type: ignore[attr-defined]
    assert len(set(env.paths)) == len(env.rows) == 60  # type: ignore[attr-defined]


def test_a_ridge_step_is_quick() -> None:
    """A guard against accidental work, far above what a step takes; the real figure is a benchmark's."""
    env = gym.make("ALDigitsRidge-v0")
    env.reset(seed=0)
    query = env.unwrapped.view.unlabeled[:10]  # type: ignore[attr-defined]
    start = time.process_time()
    env.step(query)
    assert time.process_time() - start < 1.0
