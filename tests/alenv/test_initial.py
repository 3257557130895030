"""How the initial set is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import alenv
from alenv import errors, geometry
from alenv.initial import InitialSets
from alenv.oracle import Oracle
from alenv.seeding import Purpose, numpy_stream, torch_stream
from alenv.settings import Protocol


@pytest.mark.parametrize("kind", ["random", "kmeans++", "kcenter"])
def test_initial_sets(kind: str) -> None:
    embedding = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32))
    protocol = Protocol(initial_size=30, query_size=1, budget=0, initial_set=kind)
    oracle = Oracle(np.zeros(300, np.int64), 2, 0.0)
    chosen = InitialSets(protocol, np.arange(300), None, "", embedding, oracle)
    sets = [chosen.of(key) for key in (1, 1, 2)]
    np.testing.assert_array_equal(sets[0], sets[1])
    assert not np.array_equal(sets[0], sets[2])
    assert len(set(sets[0].tolist())) == 30
    stream = torch_stream(1, Purpose.INITIAL_SET)
    if kind == "kcenter":
        expected = geometry.k_center(embedding, 30, generator=stream)
    elif kind == "kmeans++":
        expected = geometry.k_means_plus_plus(30, 300, geometry.distances_to_rows(embedding), stream)
    else:
        expected = numpy_stream(1, Purpose.INITIAL_SET).choice(300, 30, replace=False)
    np.testing.assert_array_equal(sets[0], expected)


@pytest.mark.parametrize("count", [0, 1, 7, 30, 100])
def test_a_stratified_set_has_the_shares_of_the_pool(count: int) -> None:
    labels = np.repeat([0, 1, 2, -1], [50, 30, 15, 5])
    oracle = Oracle(labels, 3, 0.0)
    drawn = oracle.stratified(count, np.random.default_rng(0))
    assert len(set(drawn.tolist())) == count
    for label, share in ((0, 0.5), (1, 0.3), (2, 0.15), (-1, 0.05)):
        assert abs((labels[drawn] == label).sum() - share * count) < 1
    assert len(oracle.ledger()) == 0  # nothing is bought by it


def test_stratified_sets_differ_from_seed_to_seed_and_show_every_digit() -> None:
    env: Any = gym.make(
        "ALDigits-v0", initial_set="stratified", initial_size=20, budget=0, epochs=1
    ).unwrapped
    sets = []
    for seed in (0, 0, 1):
        assert (env.reset(seed=seed)[1]["class_counts"] == 2).all()
        sets.append(env.view.labeled.tolist())
    assert sets[0] == sets[1]
    assert sets[0] != sets[2]


def listed(place: Path, **settings: Any) -> Any:
    return gym.make(
        "ALDigits-v0", initial_set=str(place), query_size=5, budget=5, epochs=1, **settings
    ).unwrapped


def test_a_list_of_rows(tmp_path: Path) -> None:
    rows = [7, 3, 900, 41]
    text, array = tmp_path / "rows.txt", tmp_path / "rows.npy"
    text.write_text("# chosen by hand\n\n" + "\n".join(map(str, rows)) + "\n")
    np.save(array, np.array(rows))
    for place in (text, array):
        env = listed(place)
        env.reset(seed=3)
        assert env.rows[env.view.labeled].tolist() == rows
        assert env.protocol.initial_size == 4
        assert env.view.protocol.initial_set == "file.txt"  # an agent sees no path
        state = env.get_state()
        env.reset(options={"state": state})


def test_a_list_of_paths(tmp_path: Path, image_folder: Path) -> None:
    folder = {"root": str(image_folder), "image_size": 12, "query_size": 2, "budget": 2, "epochs": 1}
    plain: Any = gym.make("ALImageFolder-v0", initial_size=2, **folder)
    paths = [plain.unwrapped.paths[index] for index in (3, 0, 5)]
    place = tmp_path / "paths.txt"
    for names in (paths, [str(Path(path).relative_to(image_folder)) for path in paths]):
        place.write_text("\n".join(names))
        env: Any = gym.make("ALImageFolder-v0", initial_set=str(place), backbone="lenet", **folder).unwrapped
        env.reset(seed=0)
        assert env.view.labeled.tolist() == [3, 0, 5]


@pytest.mark.parametrize(
    ("content", "words", "settings"),
    [
        ("1\n2\n1", "an image twice", {}),
        ("1\n99999", "'99999'", {}),
        ("1\nimages/a.png", "no dataset row", {}),
        ("1\n2", "initial_size=3", {"initial_size": 3}),
        (None, "cannot be read", {}),
    ],
)
def test_bad_lists(tmp_path: Path, content: str | None, words: str, settings: dict[str, Any]) -> None:
    place = tmp_path / "rows.txt"
    if content is not None:
        place.write_text(content)
    with pytest.raises(errors.InvalidProtocol, match=words) as caught:
        listed(place, **settings)
    assert "\n" not in str(caught.value)


def test_a_list_may_name_no_image_of_the_validation_split(tmp_path: Path) -> None:
    split: Any = gym.make("ALDigits-v0", validation=100).unwrapped
    held = sorted(set(range(1297)) - set(split.rows.tolist()))
    place = tmp_path / "rows.txt"
    place.write_text(str(held[0]))
    with pytest.raises(errors.InvalidProtocol, match="no dataset row of the pool"):
        listed(place, validation=100)


def test_a_misspelled_initial_set() -> None:
    with pytest.raises(errors.UnknownName, match="did you mean 'stratified'"):
        alenv.Protocol(initial_set="stratifed")
