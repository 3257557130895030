"""``alenv advise`` and ``alenv label``: strategies played on the labels that there are, and the newest batch."""

from __future__ import annotations

import csv
import json
import math
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import photos
import pytest
from command import error, run

from alenv.errors import AlenvError, InvalidQuery, MissingHead, UnknownName
from scenarios.report import stats
from scenarios.report.stats import Difference, Interval
from scenarios.suggest import advise, simulating, suggest
from scenarios.suggest.advising import verdict
from scenarios.suggest.simulating import Plan

FEATURES = ("photos:quadrants",)
PLAN = Plan(pool=100, test=50, initial_size=10, query_size=8, splits=50)


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, Path]:
    """60 images of three kinds, and a file with the labels of 45."""
    truth = photos.write(tmp_path / "photos", 3, 20)
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *sorted(truth.items())[:45]])
    return tmp_path / "photos", labels


def groups(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and classes of images of four groups."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 4, count)
    return (random.normal(size=(4, 6))[classes] + random.normal(size=(count, 6))).astype(np.float32), classes


# ---- intervals -----------------------------------------------------------------------------------------------


def test_the_interval_of_overlapping_splits_by_hand() -> None:
    gains = np.array([[1.0], [2.0], [3.0], [6.0]])
    found = stats.over_splits(gains, train=200, test=100)
    assert found.mean == 3.0
    assert found.sd == pytest.approx(math.sqrt(14 / 3))
    half = 3.182446 * math.sqrt(14 / 3 * (1 / 4 + 100 / 200))  # t at 97.5 % with 3 degrees of freedom
    assert found.interval == pytest.approx((3 - half, 3 + half), abs=1e-5)
    t = 3 / math.sqrt(14 / 3 * 0.75)
    assert stats.over_splits_p(gains, 200, 100) == pytest.approx(2 * (1 - _student_3(t)), abs=1e-9)
    assert stats.over_splits_p(np.zeros((4, 1)), 200, 100) == 1.0
    assert stats.over_splits_p(np.ones((4, 1)), 200, 100) == 0.0


def test_only_what_plays_of_a_split_share_is_corrected() -> None:
    gains = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 7.0], [6.0, 4.0]])
    between, within = 2 * np.var([2.0, 2.0, 5.0, 5.0], ddof=1), np.mean([2.0, 0.0, 8.0, 2.0])
    shared = stats.shared_by_plays([gains])
    share = (between - within) / (between + within)
    assert shared == pytest.approx(share + (1 - share) * (1 + share) * math.sqrt(1 / 3))
    assert stats.shared_by_plays([gains, gains]) == pytest.approx(shared)
    variance = np.var(gains, ddof=1) * (shared * (1 / 4 + 1 / 2) + (1 - shared) / 8)
    low, high = stats.over_splits(gains, 200, 100, shared).interval
    assert high - low == pytest.approx(2 * 3.182446 * math.sqrt(variance), abs=1e-5)
    assert stats.shared_by_plays([gains[:, :1]]) == 1.0
    assert stats.shared_by_plays([np.array([[1.0, -1.0], [-1.0, 1.0]] * 50)]) == pytest.approx(99**-0.5)
    assert stats.shared_by_plays([np.zeros((3, 2))]) == 1.0


def test_intervals_cover_what_is_true_of_all_images() -> None:
    """Images with a gain of their own, of which splits draw some, beside the noise of every play."""
    random = np.random.default_rng(0)
    covered, plain = 0, 0
    for _ in range(200):
        own = random.normal(size=120)  # a set of images; over all images the mean is 0
        drawn = np.stack([random.permutation(120)[:40] for _ in range(50)])
        gains = own[drawn].mean(1, keepdims=True) + 0.3 * random.normal(size=(50, 2))
        shared = stats.shared_by_plays([gains])
        low, high = stats.over_splits(gains, 80, 40, shared).interval
        covered += low <= 0 <= high
        low, high = stats.interval(gains.mean(1))
        plain += low <= 0 <= high
    assert covered >= 180
    assert plain < covered - 40


def _student_3(t: float) -> float:
    """The distribution function of Student's t with 3 degrees of freedom, in closed form."""
    x = t / math.sqrt(3)
    return 0.5 + (x / (1 + x * x) + math.atan(x)) / math.pi


# ---- what is played ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes", "wanted"),
    [
        (30, 2, (20, 10, 4, 1)),
        (200, 10, (134, 66, 20, 9)),
        (100, 20, (67, 33, 13, 4)),
        (5000, 10, (500, 2000, 20, 46)),
    ],
)
def test_sizes(labels: int, classes: int, wanted: tuple[int, ...]) -> None:
    plan = simulating.planned(labels, classes, 50)
    assert (plan.pool, plan.test, plan.initial_size, plan.query_size) == wanted
    assert plan.budget <= plan.pool // 2


def test_agents_play_the_same_splits_whoever_else_plays() -> None:
    rows, classes = groups(120)
    plan = simulating.planned(120, 4, 3)
    both = simulating.simulated(rows, classes, 4, ["random", "margin"], plan, 0)
    alone = simulating.simulated(rows, classes, 4, ["margin"], plan, 0)
    assert (both.accuracy["margin"] == alone.accuracy["margin"]).all()
    assert (both.accuracy["margin"][..., 0] == both.accuracy["random"][..., 0]).all()
    assert (both.accuracy["margin"][..., 1:] != both.accuracy["random"][..., 1:]).any()
    assert (both.accuracy["random"][:, 0] != both.accuracy["random"][:, 1]).any()
    assert (both.whole == alone.whole).all()
    assert len({*both.whole.tolist()}) > 1
    other = simulating.simulated(rows, classes, 4, ["margin"], plan, 1)
    assert (other.accuracy["margin"] != alone.accuracy["margin"]).any()
    assert both.area("margin") == pytest.approx(both.accuracy["margin"][..., 1:].mean(-1))
    assert (both.accuracy["margin"] <= 100).all()
    assert both.whole.mean() > 50


# ---- verdicts ------------------------------------------------------------------------------------------------


def gain(mean: float, half: float) -> Difference:
    return Difference(mean, 1.0, Interval(mean - half, mean + half), 50)


@pytest.mark.parametrize(
    ("gains", "p", "features", "doubling", "kind", "words"),
    [
        ((2.0, 1.0), (0.01, 0.01), 0.0, 9.0, "use", "Use a: +2.0 [+1.0, +3.0] points over learned"),
        ((2.0, 1.0), (0.06, 0.01), 0.0, 9.0, "use", "Use b: +1.0"),
        (
            (-2.0, 0.0),
            (0.01, 1.0),
            9.0,
            9.0,
            "features",
            "f gains +9.0 [+8.0, +10.0] points, and no strategy",
        ),
        ((0.5, 0.0), (0.2, 1.0), 1.0, 9.0, "labels", "from 50 to 100 random ones gain +9.0"),
        ((0.5, 0.0), (0.2, 1.0), 1.0, 2.0, "keep", "No detectable difference: keep learned"),
    ],
)
def test_verdicts(
    gains: tuple[float, float],
    p: tuple[float, float],
    features: float,
    doubling: float,
    kind: str,
    words: str,
) -> None:
    said = verdict(
        "learned",
        {"a": gain(gains[0], 1.0), "b": gain(gains[1], 1.0)},
        {"a": p[0], "b": p[1]},
        {"f": gain(features, 1.0)},
        gain(doubling, 1.0),
        PLAN,
    )
    assert said[0] == kind
    assert words in said[1]


# ---- the command ---------------------------------------------------------------------------------------------


def test_advice_from_a_folder(
    folder: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    root, labels = folder
    before = sorted(tmp_path.iterdir())
    arguments = ["advise", str(root), "--labels", str(labels), "--agents", "margin", "--splits", "4"]
    out = run(*arguments, "--features", *FEATURES, "--json")[1]
    found = json.loads(out)
    assert {each["agent"] for each in found["agents"]} == {"random", "learned", "margin"}
    assert found["default"] == "learned"
    assert [each["gain"] for each in found["agents"] if each["agent"] == "learned"] == [None]
    assert found["plan"]["pool"] == 30
    assert found["verdict"] in ("use", "keep", "labels")
    shown = run(*arguments, "--features", *FEATURES)[1]
    assert "minus learned" in shown
    assert found["sentence"] in shown
    assert sorted(tmp_path.iterdir()) == before


def test_features_are_compared(folder: tuple[Path, Path]) -> None:
    found = advise(
        folder[0], [folder[1]], features=["photos:nothing", *FEATURES], agents=["random"], splits=4
    )
    assert found.features["photos:quadrants"].mean > 20
    assert found.verdict == "features"
    assert "photos:quadrants" in found.sentence


def test_labels_of_batches_count_too(folder: tuple[Path, Path], tmp_path: Path) -> None:
    root, labels = folder
    batch = suggest(root, [labels], 10, out=tmp_path / "project", features=FEATURES[0])
    lines = [f"{each.file},kind {each.file[3]}" for each in batch.wanted]
    (batch.folder / "labels.csv").write_text("\n".join(["file,label", *lines]))
    found = advise(root, [labels], out=tmp_path / "project", features=FEATURES, agents=[], splits=2)
    assert found.labels == 55


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"splits": 1}, InvalidQuery, "at least 2"),
        ({"agents": ["margn"]}, UnknownName, "margin"),
        ({"agents": ["ll4al"]}, MissingHead, "frozen features"),
        ({"labels": []}, InvalidQuery, "at least 30"),
    ],
)
def test_what_cannot_be_advised_on(
    folder: tuple[Path, Path], more: dict[str, Any], kind: type[AlenvError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        advise(folder[0], **{"labels": [folder[1]], "features": FEATURES, **more})


def test_label_opens_the_newest_batch(
    folder: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    root, labels = folder
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert "make one with: alenv suggest" in error("label", str(root))
    batches = [suggest(root, [labels], 5, features=FEATURES[0]) for _ in range(2)]
    page = batches[1].folder / "label.html"
    assert run("label", str(root))[1].strip() == str(page)
    assert opened == [page.as_uri()]
    first = batches[0].folder / "label.html"
    assert run("label", str(batches[0].folder), "--no-open")[1].strip() == str(first)
    assert len(opened) == 1
