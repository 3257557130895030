"""The page of a report: its numbers, its form, and that it asks for nothing outside itself."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import math
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import FAKE, run
from PIL import Image

from alenv import data
from scenarios import Arm, Picture, against_one
from scenarios.plan.scenario import Published
from scenarios.play.comparison import Comparison, play_comparison
from scenarios.play.comparison_folder import ComparisonSettings, Shown
from scenarios.play.engines import Engine
from scenarios.play.record import balance
from scenarios.report import stats
from scenarios.report.curves import Curves
from scenarios.report.details import COLUMNS, Details
from scenarios.report.html import beside, repeat, sections, sheets
from scenarios.report.html.charts import Line, Mark, line_chart
from scenarios.report.html.page import Content, page
from scenarios.report.html.pictured import Pictured
from scenarios.report.html.svg import decades, number, ticks
from scenarios.report.html.verdicts import verdicts
from scenarios.report.pictures import Look
from scenarios.report.report import make_report
from scenarios.report.summary import summarize

VOID = {"meta", "link", "img", "input", "br"}
CYCLES = 4


class Page(HTMLParser):
    """Reads a page, and fails where an element is not closed or closed by another."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute comes twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((tuple(self._open), " ".join(data.split())))

    def within(self, tag: str) -> list[str]:
        return [text for path, text in self.texts if tag in path]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def arm(label: str, gain: float, seeds: int = 5, cycles: int = CYCLES) -> Curves:
    labeled = np.arange(1, cycles + 2) * 100
    shared = np.random.default_rng(0).normal(0, 0.01, (seeds, 1))
    own = np.random.default_rng(sum(label.encode())).normal(0, 0.004, (seeds, cycles + 1))
    accuracy = 0.5 + 0.05 * np.arange(cycles + 1) + shared + (gain + own) * (labeled > 100)
    return Curves(label, label, tuple(range(seeds)), labeled, accuracy)


def details(label: str, seed: int, cycles: int = CYCLES, classes: int = 3) -> Details:
    random = np.random.default_rng(seed + sum(label.encode()))
    meta = {
        "configuration": {"env_id": "ALDigits-v0", "agent": label, "env_kwargs": {}},
        "recipe": {"lr": 0.1},
        "protocol": {"query_size": 100},
        "options": {},
        "dataset": {"checksum": "0" * 64, "source": "nowhere"},
        "images": {"class_names": [f"class <{i}>" for i in range(classes)]},
        "code": {"sha256": "c0de"},
        "versions": {"torch": "2"},
        **{"device": "cpu", "precision": "fp32", "threads": 1},
    }
    return Details(
        nll=random.random(cycles + 1),
        recall=random.random((cycles + 1, classes)),
        bought=random.integers(1, 9, (cycles + 1, classes)).astype(float),
        query_seconds=np.r_[math.nan, random.random(cycles)],
        query_megabytes=np.r_[math.nan, random.random(cycles)],
        train_seconds=random.random(cycles + 1),
        meta=meta,
    )


def content(curves: Sequence[Curves], against: dict[str, str] | None = None, **changes: Any) -> Content:
    labels = tuple(each.label for each in curves)
    picture = Picture("curve", "", labels, against_one(labels, labels[0]) if against is None else against)
    known = {
        (each.label, seed): details(each.label, seed, len(each.labeled) - 1)
        for each in curves
        for seed in each.seeds
    }
    known = changes.pop("known", known)
    same = all(each.labeled.tolist() == curves[0].labeled.tolist() for each in curves)
    square = np.zeros((len(curves), len(curves))).tolist() if same else None
    drawn = Pictured(picture, "p0", summarize(curves, picture.against), curves, square, known)
    facts = {"environment": "ALDigits-v0", "settings": {"lr": 0.1, "augment": False}}
    settings = ComparisonSettings(changes.pop("facts", facts), None, {}, None)
    shown = Shown("A title", labels, curves[0].seeds, (picture,), published=changes.pop("published", ()))
    return Content(settings, shown, [drawn], curves, known, [], **changes)


def shown(curves: Sequence[Curves], against: dict[str, str] | None = None) -> Pictured:
    return content(curves, against).pictures[0]


THREE = (arm("random", 0.0), arm("margin", 0.03), arm("worst", -0.05))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder of finished runs; tests that change it copy it."""
    out = tmp_path_factory.mktemp("page") / "out"
    code, text, err = run("compare", FAKE, "--agents", "random,margin", "--seeds", "2", "--out", str(out))
    assert (code, f"{out}/report.html" in text) == (0, True), err
    return out


# ---- form ---------------------------------------------------------------------------------------------------


@cache
def forms() -> dict[str, Content]:
    many = [arm("random", 0.0), *(arm(f"a{i}", 0.001 * i) for i in range(59))]
    names = ("<script>alert(1)</script>", "a\"b'c&d", "</style>", "{{ 7 * 7 }}")
    return {
        "three": content(THREE),
        "one arm": content(THREE[:1]),
        "one seed": content([arm("random", 0.0, 1), arm("margin", 0.1, 1)]),
        "three seeds": content([arm("random", 0.0, 3), arm("margin", 0.1, 3)]),
        "no query": content([arm("random", 0.0, cycles=0), arm("margin", 0.0, cycles=0)]),
        "other counts": content([arm("random", 0.0), arm("margin", 0.0, cycles=3)]),
        "no reference": content(THREE, {}),
        "own references": content([*THREE, arm("other", 0.01)], {"margin": "random", "other": "worst"}),
        "sixty": content(many),
        "hostile": content([arm(name, 0.01 * i) for i, name in enumerate(names)], claims=names, failed=names),
        "earlier version": content(THREE, known={}),
    }


@pytest.mark.parametrize("form", forms())
def test_a_page_is_well_formed_and_asks_for_nothing(form: str) -> None:
    text = page(forms()[form])
    found = Page(text)
    assert "nan" not in re.sub(r"base64,\S+", "", text.lower())
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in found.elements:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, name)
        assert not [name for name in attributes if name.startswith("on")], tag
    places = set(re.findall(r"\w+://[^\s\"'<]*", text))
    assert places <= {"http://www.w3.org/2000/svg"}  # the name of SVG, which nobody fetches
    assert "url(" not in text
    assert "@import" not in text
    assert len(found.within("h2")) == 10
    assert found.within("h2")[0] == "Verdicts"


def test_every_axis_has_a_title_with_its_unit() -> None:
    units = re.compile(r"\(.+\)|labeled images|^arm( that beats)?$")
    charts = re.findall(r'<figure class="chart">.*?</figure>', page(content(THREE)), re.DOTALL)
    assert len(charts) == 11
    for chart in charts:
        titles = re.findall(r'class="axis-title[^"]*"><title>(.*?)</title>', chart)
        assert len(titles) == (1 if "mean difference" in chart else 2), chart[:200]
        assert all(units.search(title) for title in titles), titles


def test_names_are_text() -> None:
    text = page(forms()["hostile"])
    found = Page(text)
    assert found.within("script") == [
        " ".join((Path(repeat.__file__).parent / "script.js").read_text().split())
    ]
    assert "alert(1)" not in "".join(found.within("script"))
    for name in ("<script>alert(1)</script>", "a\"b'c&d", "</style>", "{{ 7 * 7 }}"):
        assert name in found.within("ul")
        assert any(each == name for each in found.within("label"))
    assert "49" not in found.within("label")


def test_a_page_of_many_arms_begins_with_a_few_and_stays_small() -> None:
    made = forms()["sixty"]
    text = page(made)
    boxes = [box for box in Page(text).all("input") if box["type"] == "checkbox"]
    assert len(boxes) == 60
    labels = {box["id"]: each.label for box, each in zip(boxes, made.pictures[0].ranked, strict=True)}
    on = {labels[box["id"]] for box in boxes if "checked" in box}
    best = sorted(made.curves, key=lambda each: -each.accuracy[:, 1:].mean())[:6]
    assert on == {"random", *(each.label for each in best)}
    assert len(text) < 1_200_000
    few = Page(page(content(THREE))).all("input")
    assert all("checked" in box for box in few)


def test_a_switch_hides_its_arm_everywhere() -> None:
    text = page(content(THREE))
    for box in Page(text).all("input"):
        rule = f"body:has(#{box['id']}:not(:checked)) .{box['id']} {{ display: none }}"
        assert rule in text
    drawn = {
        each.label: text.count(f'class="arm {mark.key}"')
        for each, mark in zip(THREE, content(THREE).pictures[0].marks.values(), strict=True)
    }
    # Curves, likelihood, balance, seconds and memory; and for those with a reference differences and saved labels.
    assert drawn == {"random": 5, "margin": 7, "worst": 7}


def test_equal_content_is_equal_bytes() -> None:
    assert page(content(THREE)) == page(content(THREE))
    long = [arm(f"a{i}", 0.0) for i in range(60)]
    assert page(content(long)) == page(content(long))


# ---- numbers ------------------------------------------------------------------------------------------------


def test_verdicts() -> None:
    areas = {each.label: 100 * each.accuracy[:, 1:].mean(axis=1) for each in THREE}
    low, high = stats.interval(areas["margin"] - areas["random"])
    mean = (areas["margin"] - areas["random"]).mean()
    found = verdicts(summarize(THREE, against_one(areas, "random")))
    assert [each.kind for each in found] == ["plain", "better", "worse"]
    assert found[0].sentence.startswith("random is the reference: ")
    assert found[1].sentence == (
        f"margin beats random by {mean:.2f} points of area [{low:.2f}, {high:.2f}] over 5 paired seeds."
    )
    low, high = stats.interval(areas["random"] - areas["worst"])
    assert f"points of area [{low:.2f}, {high:.2f}] over 5 paired seeds." in found[2].sentence
    assert found[2].sentence.startswith("worst is worse than random by ")


def test_verdicts_without_a_decision() -> None:
    def said(*arms: Curves, against: dict[str, str] | None = None) -> str:
        labels = [each.label for each in arms]
        return verdicts(summarize(arms, against_one(labels, "random") if against is None else against))[
            -1
        ].sentence

    close = said(arm("random", 0.0), arm("margin", 0.0005))
    assert close.startswith("undecided: margin is ")
    assert re.search(r"; (about [\d,]+ more seeds?|a few more seeds) would decide\.$", close)
    assert "with one seed; give at least 2 seeds" in said(arm("random", 0.0, 1), arm("margin", 0.1, 1))
    assert "it is compared with no other arm" in said(arm("random", 0.0), against={})
    assert "the two have other label counts" in said(arm("random", 0.0), arm("margin", 0.0, cycles=3))
    assert "since there was no query" in said(arm("random", 0.0, cycles=0), arm("margin", 0.0, cycles=0))
    apart = replace(arm("margin", 0.0), seeds=(7, 8, 9, 10, 11))
    assert "the two share no seed" in said(arm("random", 0.0), apart)
    same = replace(arm("random", 0.0), label="margin")
    assert "the areas are equal for every seed" in said(arm("random", 0.0), same)


def test_differences_are_sorted_and_drawn_to_scale() -> None:
    chart = str(sections.differences(shown(THREE)))
    assert chart.index(">margin<") < chart.index(">worst<")
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"|points="([\d.]+),', chart) for x in x if x]
    zero = float(re.findall(r'<line x1="([\d.]+)"[^>]*class="zero"', chart)[0])
    assert places[0] > zero > places[1]
    areas = [100 * each.accuracy[:, 1:].mean() for each in THREE]
    assert (places[0] - zero) / (places[1] - zero) == pytest.approx(
        (areas[1] - areas[0]) / (areas[2] - areas[0]), rel=0.01
    )


def test_saved_labels() -> None:
    better, worse = sections.savings(shown(THREE))
    base, own = THREE[0].accuracy.mean(axis=0), THREE[1].accuracy.mean(axis=0)
    needed = np.interp(base[-1], own, THREE[1].labeled)
    assert (better.label, better.spent) == ("margin", 500)
    assert better.needed == pytest.approx(needed)
    assert better.saved == pytest.approx(500 - needed)
    assert better.share == pytest.approx(100 * (500 - needed) / 500)
    assert better.efficiency == pytest.approx(500 / needed)
    assert math.isnan(worse.saved)
    assert sections.savings(shown(THREE, {})) == []


def test_costs_are_those_of_the_runs() -> None:
    made = shown(THREE)
    for each, found in zip(THREE, beside.costs(made), strict=True):
        kept = [made.known[each.label, seed] for seed in each.seeds]
        assert found.seconds == pytest.approx(np.mean([run.query_seconds[1:].sum() for run in kept]))
        assert found.megabytes == pytest.approx(np.mean([run.query_megabytes[1:].max() for run in kept]))
        assert found.train_seconds == pytest.approx(np.mean([run.train_seconds.sum() for run in kept]))
        assert found.accuracy == pytest.approx(100 * each.accuracy[:, -1].mean())


def test_recall_in_the_matrix_is_the_mean_over_seeds() -> None:
    made = shown(THREE)
    (_, recall), (_, bought) = beside.class_maps(made)
    kept = [made.known["margin", seed] for seed in range(5)]
    for label in range(3):
        mean = 100 * np.mean([run.recall[-1, label] for run in kept])
        assert f"margin, class &lt;{label}&gt;: {mean:.0f}<" in recall
        mean = np.mean([run.bought[1:, label].sum() for run in kept])
        assert f"margin, class &lt;{label}&gt;: {mean:.0f}<" in bought


def test_balance_is_one_for_even_and_zero_for_one_class() -> None:
    counts = np.array([[5, 5, 0, 0], [4, 4, 4, 4], [9, 0, 0, 0], [0, 0, 0, 0]])
    found = balance(counts)
    assert found[:3] == pytest.approx([0.5, 1.0, 0.0])
    assert math.isnan(found[3])


def test_published_numbers_stand_beside_ours_where_the_scenario_is_that_of_the_paper() -> None:
    numbers = (
        Published("margin", 500, 70.0, 0.5, "a source"),
        Published("margin", 123, 60.0, None, "a source"),
        Published("absent", 500, 60.0, None, "a source"),
    )
    facts = {"scenario": "x", "size": "paper", "options": {}}
    found = Page(page(content(THREE, published=numbers, facts=facts)))
    own = 100 * THREE[1].accuracy[:, -1]
    cells = found.within("td")
    assert f"{own.mean():.2f} ± {own.std(ddof=1):.2f}" in cells
    assert f"{own.mean() - 70:.2f}" in cells
    assert "70.00 ± 0.50" in cells
    assert "60.00" in cells
    assert "- ± -" in cells
    small = page(content(THREE, published=numbers, facts={**facts, "size": "small"}))
    assert "The published numbers are those of the size paper; these runs are of the size small." in small
    assert "70.00 ± 0.50" not in small


# ---- charts -------------------------------------------------------------------------------------------------


def test_few_seeds_are_lines_of_their_own_and_many_a_band() -> None:
    for seeds, thin, bands in ((1, 0, 0), (4, 4, 0), (5, 0, 1)):
        chart = str(sections.learning_curves(shown([arm("random", 0.0, seeds)])))
        assert (chart.count('class="seed"'), chart.count('class="band"')) == (thin, bands)


def test_a_line_is_where_its_numbers_are() -> None:
    mark = Mark("a", "k", Look("#123456", "solid", "o"))
    chart = str(
        line_chart(
            "t",
            [Line(mark, np.array([0.0, 40, 100]), np.array([0.0, 1, math.nan]))],
            x_title="x",
            y_title="y",
        )
    )
    (drawn,) = re.findall(r'<polyline points="([^"]*)" class="mean"', chart)
    (x0, y0), (x1, y1) = ([float(v) for v in place.split(",")] for place in drawn.split())
    assert (x0 < x1, y0 > y1) == (True, True)  # SVG counts downwards
    numbers = re.findall(r'<text x="([\d.]+)" [^>]*class="tick \w+">([\d.]+)</text>', chart)
    axis = {float(value): float(x) for x, value in numbers}
    assert x1 == pytest.approx(axis[40.0], abs=0.02)


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.31, 0.52, 4) == pytest.approx([0.35, 0.4, 0.45, 0.5])
    assert ticks(3, 3) == [3]
    assert decades(0.5, 200) == [1, 3, 10, 30, 100]
    assert [number(value) for value in (0, 1500, 0.25, 1e-5, 2e8, -0.0)] == [
        "0",
        "1,500",
        "0.25",
        "1e-5",
        "2e8",
        "0",
    ]


# ---- folders ------------------------------------------------------------------------------------------------


def test_two_reports_of_a_folder_are_equal_to_the_byte(played: Path, tmp_path: Path) -> None:
    names = ("report.html", "curve.png", "curve.svg", "curve.pdf", "curves.csv", "results.csv")
    before = {name: (played / name).read_bytes() for name in names}
    copy = tmp_path / "moved"
    shutil.copytree(played, copy)
    for name in names:
        (copy / name).unlink()
    assert run("report", str(copy))[0] == 0
    assert {name: (copy / name).read_bytes() for name in names} == before
    assert before["curve.svg"].startswith(b"<?xml")
    assert before["curve.pdf"].startswith(b"%PDF")
    assert json.loads(run("report", str(copy), "--json")[1])["report"] == str(copy / "report.html")


def test_results_are_the_curves_and_more(played: Path) -> None:
    with (played / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (played / "curves.csv").open() as file:
        curves = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [{name: row[name] for name in curves[0]} for row in rows] == curves
    (folder,) = played.glob("margin-seed1-*")
    with (folder / "costs.csv").open() as file:
        costs = list(csv.DictReader(file))
    with (folder / "classes.csv").open() as file:
        classes = list(csv.DictReader(file))
    mine = [row for row in rows if (row["label"], row["seed"]) == ("margin", "1")]
    assert [row["query_seconds"] for row in mine] == [row["query_seconds"] for row in costs]
    assert [row["nll"] for row in mine] == [row["nll"] for row in classes]
    worst = [min(float(v) for k, v in row.items() if k.startswith("recall_")) for row in classes]
    assert [float(row["worst_class_recall"]) for row in mine] == worst
    found = Page((played / "report.html").read_text())
    (link,) = [each for each in found.all("a") if each.get("download")]
    inlined = base64.b64decode((link["href"] or "").partition("base64,")[2]).decode()
    assert sorted(inlined.splitlines()) == sorted((played / "results.csv").read_text().splitlines())


def test_a_long_table_is_cut_on_the_page_and_whole_behind_its_link() -> None:
    made = forms()["sixty"]
    (link,) = [each for each in Page(page(made)).all("a") if each.get("download")]
    whole = gzip.decompress(base64.b64decode((link["href"] or "").partition("base64,")[2])).decode()
    assert len(list(csv.DictReader(io.StringIO(whole)))) == 60 * 5 * (CYCLES + 1)
    assert "The rest is in the file below." in page(made)


def test_the_command_on_the_page_repeats_the_runs(tmp_path: Path) -> None:
    first = (
        "compare",
        FAKE,
        "--agents",
        "margin,entropy",
        "--seeds",
        "3:5",
        "--set",
        "beta=5.0",
        "budget=10",
    )
    assert run(*first, "--reference", "entropy", "--out", str(tmp_path / "a"))[0] == 0
    (command,) = Page((tmp_path / "a/report.html").read_text()).within("pre")[:1]
    words = shlex.split(command)
    assert words[0] == "alenv"
    code, _, err = run(*words[1:], "--out", str(tmp_path / "b"))
    assert code == 0, err
    assert (tmp_path / "a/curves.csv").read_bytes() == (tmp_path / "b/curves.csv").read_bytes()
    settings = [json.loads((tmp_path / name / "settings.json").read_text()) for name in "ab"]
    assert settings[0] == settings[1]


def test_commands_of_scenarios_and_of_seeds_with_gaps() -> None:
    facts = {"scenario": "default_setting", "size": "smoke", "options": {"uncertainty": "margin"}}
    made = Shown("t", ("a",), (0, 1, 4, 5, 9), ())
    assert repeat.commands(ComparisonSettings(facts, 2, {}, None), made) == [
        f"alenv run default_setting --size smoke --option uncertainty=margin --threads 2 --seeds {seeds}"
        for seeds in ("2", "4:6", "9:10")
    ]
    assert repeat.commands(ComparisonSettings({"own": 1}, None, {}, None), made) == []


def test_settings_that_differ_are_told_apart(tmp_path: Path) -> None:
    arms = tuple(Arm(f"beta {beta}", FAKE, "margin", {"beta": beta}) for beta in (1.0, 5.0))
    labels = tuple(each.label for each in arms)
    picture = Picture("curve", "", labels, against_one(labels, labels[0]))
    comparison = Comparison("A title", arms, (0, 1), tmp_path, {"own": "code"}, (picture,))
    assert play_comparison(comparison, Engine(), 1, lambda event: None) == {}
    make_report(tmp_path)
    found = Page((tmp_path / "report.html").read_text())
    rows = found.within("tbody")
    assert "recipe: beta" in rows
    assert "recipe: lr" in rows
    assert "No command repeats it: the comparison was begun by code of its own." in found.within("p")
    (meta,) = tmp_path.glob("beta-1.0-seed0-*/meta.json")
    facts = json.loads(meta.read_text())
    for value in (facts["code"]["sha256"], facts["dataset"]["checksum"], facts["versions"]["torch"]):
        assert value in rows


# ---- contact sheets -----------------------------------------------------------------------------------------


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))))


def test_contact_sheets_show_what_was_bought(played: Path) -> None:
    found = Page((played / "report.html").read_text())
    drawn = found.all("img")
    digits = data.load("digits")
    expected = []
    for label in ("random", "margin"):
        (folder,) = played.glob(f"{label}-seed0-*")
        with np.load(folder / "queries.npz") as queries:
            expected += queries["queries_rows"][[0, 1, 3]].ravel().tolist()
    assert len(drawn) == len(expected) == 2 * 3 * 5
    for image, row in zip(drawn, expected, strict=True):
        assert (pixels(image["src"] or "") == digits.train_images[row, ..., 0]).all()
        assert image["alt"] == digits.class_names[digits.train_labels[row]]


def test_where_the_images_are_not_at_hand_the_page_says_so(played: Path, tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(played, copy)
    for file in copy.glob("*/meta.json"):
        meta = json.loads(file.read_text())
        meta["dataset"]["checksum"] = "0" * 64
        file.write_text(json.dumps(meta))
    assert run("report", str(copy))[0] == 0
    text = (copy / "report.html").read_text()
    assert "No image is shown. The dataset with checksum 000000000000... is not in" in text
    assert "<img" not in text


def test_thumbnails_are_small_and_few(monkeypatch: pytest.MonkeyPatch, played: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1297, 200, 100, 3), dtype=np.uint8)
    large = replace(data.load("digits"), train_images=noise)
    monkeypatch.setattr(data, "at_hand", lambda checksum: large)
    monkeypatch.setattr(sheets, "ROOM", 60_000)
    assert run("report", str(played))[0] == 0
    found = Page((played / "report.html").read_text())
    sources = [image["src"] or "" for image in found.all("img")]
    assert 0 < sum(map(len, sources)) <= 60_000
    assert len(sources) % 6 == 0
    assert pixels(sources[0]).shape == (48, 24, 3)
    assert f"the first {len(sources) // 6} of 5 images" in " ".join(found.within("p"))
    monkeypatch.undo()
    assert run("report", str(played))[0] == 0
