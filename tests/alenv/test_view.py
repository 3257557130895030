"""The view, the oracle and the observation: what may be read, and what may not."""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds, and what a made one always has is optional: hence the
# ignored attr-defined, union-attr and index in this file.
import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image

from alenv import data, errors, queries
from alenv.observation import candidates, stats
from alenv.oracle import Oracle

QUICK: dict[str, Any] = {"epochs": 1, "width": 8, "initial_size": 10, "query_size": 5, "budget": 15}


def played(steps: int = 1, **kwargs: Any) -> Any:
    env = gym.make("ALDigits-v0", **{**QUICK, **kwargs}).unwrapped
    env.reset(seed=0)
    for _ in range(steps):
        env.step(env.view.unlabeled[:5])
    return env


def test_every_method_takes_indices_and_agrees_with_the_whole_pool() -> None:
    view = played(dropout=0.3, joint="loss_prediction", embedding="pixels").view
    some = np.array([9, 3, 700, 3])
    for name in ("images", "features", "logits", "probabilities", "predicted_loss", "embedding"):
        whole, part = getattr(view, name)(), getattr(view, name)(some)
        assert len(whole) == len(view) == 1297
        assert torch.equal(part, whole[some]), name
        assert torch.equal(getattr(view, name)(torch.from_numpy(some)), part)
        assert torch.equal(getattr(view, name)(some.tolist()), part)
        assert len(getattr(view, name)(some[:0])) == 0
    assert torch.equal(view.member_probabilities(3, some), view.member_probabilities(3)[:, some])
    assert view.member_probabilities(3, some[:0]).shape == (3, 0, 10)
    for whole, part in zip(view.feature_maps(), view.feature_maps(some), strict=True):
        assert torch.equal(part, whole[some])
    torch.testing.assert_close(view.probabilities(some), view.logits(some).softmax(1))
    expected = [taps.mean((2, 3)) for taps in view.classifier.feature_maps(view.images(some))]
    for pooled, mean in zip(view.feature_maps(some), expected, strict=True):
        torch.testing.assert_close(pooled, mean, rtol=1e-4, atol=1e-5)


def test_no_indices_give_no_rows_before_anything_is_scored() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert played(0).view.logits(nothing).shape == (0, 10)
    assert [len(pooled) for pooled in played(0).view.feature_maps(nothing)] == [0, 0, 0]


def test_scores_are_those_of_the_current_classifier() -> None:
    env = played()
    view = env.view
    first = view.logits()
    torch.testing.assert_close(first, view.classifier(view.images()), rtol=1e-4, atol=1e-5)
    env.step(view.unlabeled[:5])
    assert not torch.equal(view.logits(), first)
    assert torch.equal(view.previous.logits(), first)
    assert view.previous.cycle == 1
    assert view.cycle == 2
    assert view.previous.previous is None
    torch.testing.assert_close(view.logits(), view.classifier(view.images()), rtol=1e-4, atol=1e-5)


def test_images_are_the_datasets_rows() -> None:
    env = played(validation=97)
    digits = data.load("digits")
    raw = env.view.images([0, 5], raw=True)
    assert raw.dtype == torch.uint8
    np.testing.assert_array_equal(raw.permute(0, 2, 3, 1).numpy(), digits.train_images[env.rows[[0, 5]]])
    pool, split = set(env.rows.tolist()), env.view.validation
    assert len(pool) == 1200
    assert len(split) == 97
    held_out = np.setdiff1d(np.arange(1297), env.rows)
    np.testing.assert_array_equal(split.labels().numpy(), digits.train_labels[held_out])
    np.testing.assert_array_equal(
        split.images(raw=True).permute(0, 2, 3, 1).numpy(), digits.train_images[held_out]
    )
    right = (split.logits().argmax(1) == split.labels()).sum()
    assert env._info()["validation_accuracy"] == float(right) / 97
    np.testing.assert_array_equal(env.view.labels().numpy(), digits.train_labels[env.rows[env.view.labeled]])


def test_augmented_images_come_from_the_callers_generator() -> None:
    view = played().view
    one, two = (view.augmented([1, 2], generator=torch.Generator().manual_seed(seed)) for seed in (0, 0))
    assert torch.equal(one, two)
    assert not torch.equal(
        view.augmented(np.arange(50), generator=torch.Generator().manual_seed(1)), view.images(np.arange(50))
    )


def test_the_classifier_is_copied_once_a_cycle_and_from_the_environment() -> None:
    env = played()
    first = env.view.classifier
    assert env.view.classifier is first
    before = env.view.logits([0, 1])
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    env.step(env.view.unlabeled[:5])
    assert torch.equal(env.view.previous.logits([0, 1]), before)  # what an agent does to its copy stays there
    assert env.view.classifier is not first
    assert env.view.classifier.head.weight.any()


def test_the_inference_of_earlier_weights_and_of_the_split_is_in_the_costs() -> None:
    env = played(validation=50)
    for view, count in (
        (env.view.previous, 7),
        (env.view.validation, 50),
        (env.view.previous.validation, 50),
    ):
        before = env.costs["inferred_images"]
        view.logits(np.arange(count))
        assert env.costs["inferred_images"] == before + count


def test_labels_that_were_not_bought_stay_hidden() -> None:
    env = played()
    view = env.view
    with pytest.raises(errors.HiddenLabel, match=str(view.unlabeled[0])):
        view.labels(view.unlabeled[:1])
    with pytest.raises(errors.HiddenLabel):
        view.labels(np.arange(1297))
    assert len(view.labels()) == len(view.labeled) == 15
    env.reset(seed=1)
    bought = set(view.labeled.tolist())
    assert len(bought) == 10
    assert env._oracle._bought.sum() == 10


def test_what_is_handed_out_cannot_be_written_to() -> None:
    view = played().view
    for name in ("labeled", "unlabeled", "candidates"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(view, name)[0] = 0


@pytest.mark.parametrize(
    "indices",
    [
        np.array([-1]),
        np.array([1297]),
        np.array([0.5]),
        np.array([[1]]),
        [True],
        [[1], [2, 3]],
        "abc",
        np.array(["a"]),
        np.array([None]),
        torch.tensor([0.5]),
        torch.tensor([True]),
        torch.tensor([1j]),
    ],
)
def test_indices_outside_the_pool_are_refused(indices: Any) -> None:
    with pytest.raises(errors.InvalidQuery, match=r"whole numbers|indices go from 0 to 1296"):
        played(0).view.logits(indices)


def test_every_kind_of_whole_numbers_is_read() -> None:
    view = played(0).view
    expected = view.logits([3, 1])
    for kind in (np.uint8, np.int16, np.uint64, np.int64):
        assert torch.equal(view.logits(np.array([3, 1], kind)), expected)
    assert torch.equal(view.logits(torch.tensor([3, 1], dtype=torch.uint8)), expected)
    assert view.logits([]).shape == (0, 10)


@pytest.mark.parametrize("members", [0, -1, 1.5, True, "3"])
def test_members_are_counted_in_whole_numbers(members: Any) -> None:
    with pytest.raises(errors.InvalidQuery, match="at least 1"):
        played(0, dropout=0.3).view.member_probabilities(members)


def test_the_previous_view_is_this_one_with_other_weights() -> None:
    env = played(2, validation=50, epochs=5)
    earlier = played(1, validation=50, epochs=5).view
    view, previous = env.view, env.view.previous
    np.testing.assert_array_equal(previous.labeled, view.labeled)
    np.testing.assert_array_equal(previous.candidates, view.candidates)
    assert torch.equal(previous.validation.logits(), earlier.validation.logits())
    assert torch.equal(previous.validation.labels(), view.validation.labels())
    assert not torch.equal(previous.validation.logits(), view.validation.logits())
    np.testing.assert_array_equal(previous.observation("progress")[2:4], earlier.observation("progress")[2:4])
    pickle.dumps(env)  # the environment as a whole stays a plain value


def test_a_missing_head_names_the_spelling_that_works() -> None:
    view = played(0).view
    for call, spelling in (
        (view.predicted_loss, 'gym.make("ALDigits-v0", joint="loss_prediction")'),
        (lambda: view.member_probabilities(3), 'gym.make("ALDigits-v0", dropout=0.5)'),
        (view.embedding, 'gym.make("ALDigits-v0", embedding="patches")'),
    ):
        with pytest.raises(errors.MissingHead) as caught:
            call()
        assert spelling in str(caught.value)
        kwargs = eval("dict(" + spelling.split(", ", 1)[1], {})
        gym.make("ALDigits-v0", **{**QUICK, **kwargs})
    with pytest.raises(errors.MissingHead, match="no discriminator"):
        view.labeled_score()
    ridge = gym.make("ALDigitsRidge-v0").unwrapped
    ridge.reset(seed=0)
    for call in (ridge.view.predicted_loss, lambda: ridge.view.member_probabilities(3)):  # type: ignore[attr-defined]
        with pytest.raises(errors.MissingHead) as caught:
            call()
        assert_the_advice_works(caught.value)
    for call in (ridge.view.feature_maps, lambda: ridge.view.classifier):  # type: ignore[attr-defined]
        with pytest.raises(errors.MissingHead, match="network"):
            call()


def assert_the_advice_works(error: errors.MissingHead) -> None:
    advised = re.search(r"gym\.make\(.*\)", str(error))
    assert advised is not None, error
    env = eval(advised.group(), {"gym": gym}).unwrapped
    assert {"predicted_loss", "members"} & env.offers


def test_the_advice_of_an_image_folder_names_its_root(image_folder: Path) -> None:
    env = gym.make("ALImageFolder-v0", root=str(image_folder), **{**QUICK, "backbone": "convnet"}).unwrapped
    env.reset(seed=0)
    with pytest.raises(errors.MissingHead) as caught:
        env.view.predicted_loss()  # type: ignore[attr-defined]
    env.close()
    with pytest.raises(errors.InvalidProtocol):  # a folder of 60 is too small for the defaults, nothing else
        assert_the_advice_works(caught.value)


def test_the_file_of_each_pool_image_is_known(image_folder: Path) -> None:
    settings = {**QUICK, "backbone": "convnet", "image_size": 12}
    env = gym.make("ALImageFolder-v0", root=str(image_folder), **settings).unwrapped
    env.reset(seed=0)
    raw = env.view.images(raw=True)  # type: ignore[attr-defined]
    assert len(env.paths) == len(raw)  # type: ignore[attr-defined]
    for path, image in zip(env.paths, raw, strict=True):  # type: ignore[attr-defined]
        with Image.open(path) as picture:
            np.testing.assert_array_equal(image.permute(1, 2, 0), np.asarray(picture.convert("RGB")))
    assert gym.make("ALDigits-v0").unwrapped.paths is None  # type: ignore[attr-defined]


def test_what_the_view_hands_out_cannot_change_the_environment() -> None:
    env = played(2, validation=100)
    view, before = env.view, env.get_state()
    for values in (view.labeled, view.unlabeled, view.candidates, env._episode.labels):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        env._episode.key = 3
    for values in (
        view.labels(),
        view.validation.labels(),
        view.features(),
        view.logits([1, 2]),
        view.images([0]),
    ):
        values.zero_()
    after = env.get_state()
    assert before["episode"].keys() == after["episode"].keys()
    assert all(torch.equal(before["episode"][k], after["episode"][k]) for k in ("labeled", "labels"))
    assert view.labels().any()
    assert view.validation.labels().any()
    assert torch.equal(view.validation.labels([5, 0]), view.validation.labels()[[5, 0]])
    assert view.features([3]).any()
    assert view.logits([1]).any()


def test_stats_against_plain_arithmetic() -> None:
    env = played(2, validation=100)
    view = env.view
    p = view.probabilities(view.candidates).numpy().astype(float)
    observed = view.observation("stats")
    counts = np.bincount(view.labels().numpy(), minlength=10) / 20
    some = counts[counts > 0]
    accuracies = [c / 100 for c in env._episode.validation_correct]
    expected = [2 / 3, 20 / 25, accuracies[2], accuracies[1], counts.min(), counts.max()]
    expected.append(-(some * np.log(some)).sum() / np.log(10))
    np.testing.assert_allclose(observed[:7], expected, atol=1e-6)
    np.testing.assert_array_equal(observed[:7], view.observation("progress"))
    top = np.sort(p, axis=1)
    deciles = np.arange(1, 11) / 10
    np.testing.assert_allclose(observed[7:17], np.quantile(top[:, -1] - top[:, -2], deciles), atol=1e-5)
    entropy = -(p * np.log(p)).sum(1) / np.log(10)
    np.testing.assert_allclose(observed[17:], np.quantile(entropy, deciles), atol=1e-5)
    np.testing.assert_array_equal(played(1).view.observation("progress")[2:4], 0)  # no split, no accuracy
    bare = stats(np.zeros(7, np.float32), torch.full((4, 10), 0.1))
    np.testing.assert_allclose(bare[7:17], 0, atol=1e-6)
    np.testing.assert_allclose(bare[17:], 1, atol=1e-6)


def test_an_observation_of_candidates_shows_what_the_view_gives() -> None:
    env = played(joint="loss_prediction")
    view = env.view
    shown, indices = view.observation("candidates"), view.candidates
    bounds = {name: (box.low.min(), box.high.max()) for name, box in env.observation_space.items()}
    assert bounds == {
        **{"stats": (-1, 1), "indices": (0, 1296), "features": (-1, 1), "probabilities": (0, 1)},
        "predicted_loss": (-100, 100),
    }
    np.testing.assert_array_equal(shown["indices"], indices)
    np.testing.assert_array_equal(shown["stats"], view.observation("stats"))
    np.testing.assert_array_equal(shown["probabilities"], view.probabilities(indices))
    np.testing.assert_array_equal(shown["predicted_loss"], view.predicted_loss(indices))
    features = view.features(indices)
    np.testing.assert_allclose(shown["features"], features / features.norm(dim=1, keepdim=True), atol=1e-6)


def test_an_observation_stays_in_its_bounds_when_the_classifier_diverges() -> None:
    wild = torch.tensor([-250.0, torch.nan, 3.0, torch.inf])
    summary = stats(np.zeros(7, np.float32), torch.full((4, 2), torch.nan))
    assert summary.tolist() == [0.0] * 27
    shown = candidates(summary, np.arange(4), wild[:, None], torch.full((4, 2), torch.nan), {"score": wild})
    assert shown["score"].tolist() == [-100.0, 0.0, 3.0, 100.0]
    assert shown["probabilities"].tolist() == [[0.0, 0.0]] * 4
    assert shown["features"].tolist() == [[-1.0], [0.0], [1.0], [0.0]]


def test_candidates_are_fresh_and_uniform() -> None:
    env = played(0, budget=500, query_size=50, initial_size=100, candidates=50)
    first = set(env.view.candidates.tolist())
    assert first <= set(env.view.unlabeled.tolist())
    assert len(first) == 50
    env.step(env.view.unlabeled[:50])
    assert first != set(env.view.candidates.tolist())
    later = dataclasses.replace(env._episode, test_correct=(*env._episode.test_correct, 0))
    one, other = (set(queries.draw_candidates(each, 1297, 50)) for each in (env._episode, later))
    assert len(one & other) < 15  # two expected in common, though the same images are labeled
    counts = np.zeros(1297)
    for seed in range(400):
        counts[queries.draw_candidates(dataclasses.replace(env._episode, key=seed), 1297, 50)] += 1
    free = env.view.unlabeled
    assert counts.sum() == counts[free].sum() == 400 * 50
    expected = 400 * 50 / len(free)
    assert ((counts[free] - expected) ** 2 / expected).sum() < len(free) + 5 * np.sqrt(2 * len(free))


def test_the_number_of_candidates() -> None:
    assert queries.candidate_count(None, 2, 100) == 20
    assert queries.candidate_count(None, 5, 30) == 30
    assert queries.candidate_count(None, 5, 1) == queries.candidate_count(None, 5, 0) == 1
    assert queries.candidate_count(30, 5, 30) == 30
    for asked, room in ((31, 30), (2, 0)):
        with pytest.raises(errors.InvalidProtocol, match=f"use at most {room}"):
            queries.candidate_count(asked, 5, room)


def test_label_noise_is_counted_and_constant_within_an_episode() -> None:
    truth = np.random.default_rng(0).integers(0, 5, 20_000)
    oracle = Oracle(truth, 5, 0.3)
    oracle.begin(7)
    everything = np.arange(len(truth))
    first = oracle.reveal(everything).copy()
    assert (first != truth).mean() == pytest.approx(0.3, abs=0.015)
    assert set(np.unique(first)) == set(range(5))
    np.testing.assert_array_equal(oracle.bought(everything), first)
    np.testing.assert_array_equal(oracle.answer(everything), first)
    oracle.begin(8)
    assert (oracle.answer(everything) != first).any()
    np.testing.assert_array_equal(Oracle(truth, 5, 0.0).reveal(everything), truth)
