"""``alenv suggest``: from a folder of images to batches and back, with labels in whatever state they are."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import filelock
import numpy as np
import photos
import pytest
from command import error, run
from labeling import FEATURES, answer, asked, files_of, first, label_file
from PIL import Image

from alenv import files, patches
from alenv.data import cache, label_files
from alenv.errors import (
    AlenvError,
    InvalidLabels,
    InvalidQuery,
    InvalidRecipe,
    MissingHead,
    RunConflict,
    StorageError,
    UnknownName,
    UnreadableImages,
)
from scenarios.suggest import apply, picking
from scenarios.suggest.inputs import features, kinds
from scenarios.suggest.project import Project


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """60 images of three kinds, and their classes."""
    root = tmp_path / "my photos"
    return root, photos.write(root, 3, 20)


# ---- rounds --------------------------------------------------------------------------------------------------


def test_no_labels_at_all_then_batch_after_batch(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    found = asked(root)
    assert found.agent == "typiclust"
    assert found.interval is None
    assert {truth[file] for file in files_of(found)} == {"kind 0", "kind 1", "kind 2"}
    assert all(not each.predicted for each in found.wanted)
    assert found.folder == Path("my photos-labeling").absolute() / "batch-001"
    answer(found, truth)
    second = asked(root)
    assert second.folder.name == "batch-002"
    assert sum(second.labels.values()) == 10
    assert not set(files_of(found)) & set(files_of(second))
    assert {each.predicted for each in second.wanted} <= set(truth.values())
    answer(second, truth)
    third = asked(root, size=20)
    assert third.agent == "learned"
    labeled = Counter(truth[file] for file in files_of(found) + files_of(second))
    assert third.validation[1] == sum(count // 5 for count in labeled.values()) > 0
    right = [each.predicted == truth[each.file] for each in third.wanted]
    assert np.mean(right) > 0.8


def test_the_same_folder_and_seed_give_the_same_batch(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    labels = label_file(root.parent / "labels.csv", first(truth, 5))
    one, two = (asked(root, (labels,), out=root.parent / name) for name in ("a", "b"))
    assert one.wanted == two.wanted


def test_one_class_then_a_new_one(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    labels = label_file(root.parent / "labels.csv", {"00-0.png": "kind 0"})
    found = asked(root, (labels,))
    assert found.agent == "typiclust"
    assert {each.predicted for each in found.wanted} == {"kind 0"}
    answer(found, truth)
    assert set(asked(root, (labels,)).labels) == {"kind 0", "kind 1", "kind 2"}


def test_twenty_classes_of_five(tmp_path: Path) -> None:
    truth = photos.write(tmp_path / "many", 20, 7)
    labels = label_file(tmp_path / "labels.csv", first(truth, 5))
    found = asked(tmp_path / "many", (labels,), 20)
    assert found.agent == "learned"
    assert found.validation[1] == 20
    assert len(found.wanted) == 20
    assert len(found.labels) == 20


def test_validation_grows_and_never_shrinks_or_teaches(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    project = Project(root.parent, root)
    assert project.divide(first(truth, 4)) == []
    taught = set(project.trained)
    assert len(taught) == 12
    early = project.divide(first(truth, 10))
    assert len(early) == 6
    assert not set(early) & taught
    late = project.divide(first(truth, 20))
    assert set(early) < set(late)
    assert len(late) == 12
    assert not set(project.trained) & set(late)
    assert project.divide(first(truth, 4)) == []
    assert set(project.validation) == set(late)


def test_unclear_images_are_not_asked_again_and_others_may_be(folder: tuple[Path, dict[str, str]]) -> None:
    root, _ = folder
    found = asked(root)
    unclear = files_of(found)[:3]
    lines = ["file,label,note", *(f"{file},,unclear" for file in unclear), ""]
    (found.folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    again = asked(root, size=57)
    assert again.unclear == 3
    assert set(files_of(again)) == {f"{n:02d}-{k}.png" for n in range(20) for k in range(3)} - set(unclear)
    labels = label_file(root.parent / "all.csv", dict.fromkeys(files_of(again), "a"))
    with pytest.raises(InvalidQuery, match="is none to ask"):
        asked(root, (labels,))


def test_folders_named_by_class_beside_unlabeled_ones(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    for file, label in truth.items():
        place = root / (label if int(file[:2]) < 5 else "Unlabelled")
        place.mkdir(exist_ok=True)
        (root / file).rename(place / file)
    found = asked(root)
    assert found.class_folders
    assert found.labels == {"kind 0": 5, "kind 1": 5, "kind 2": 5}
    assert all(file.startswith("Unlabelled/") for file in files_of(found))
    plain = asked(root, class_folders=False, out=root.parent / "other")
    assert plain.labels == {}


# ---- what a batch folder holds -------------------------------------------------------------------------------


def test_a_batch_folder(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    hostile = {**first(truth, 5), "00-0.png": "</script>", "01-0.png": "</script>"}
    labels = label_file(root.parent / "labels.csv", hostile)
    found = asked(root, (labels,), 6)
    names = {path.name for path in found.folder.iterdir()}
    assert names == {
        *("batch.csv", "batch.json", "label.html", "report.html", "sheet.png"),
        *("labelstudio.json", "labelstudio.xml"),
    }
    with (found.folder / "batch.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == files_of(found)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert all(0 < float(row["confidence"]) <= 1 and row["predicted"] and row["reason"] for row in rows)
    with Image.open(found.folder / "sheet.png") as sheet:
        assert sheet.size == (6 * 102 + 6, 118 + 6)
    page = (found.folder / "label.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 2
    assert "\\u003c/script>" in page
    assert "my%20photos/" in page
    assert json.loads((found.folder / "batch.json").read_text(encoding="utf-8"))["labels"] == found.labels


def test_label_studio_round_trip(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    found = asked(root, (label_file(root.parent / "labels.csv", first(truth, 5)),), 6)
    exported = found.folder / "labelstudio.json"
    assert label_files.read(exported, truth, root).classes == {}
    tasks = json.loads(exported.read_text(encoding="utf-8"))
    for task in tasks:
        result = task["predictions"][0]["result"]
        assert result[0]["value"]["choices"][0] in found.labels
        task["annotations"] = [{"result": result}]
    predicted = {each.file: each.predicted for each in found.wanted}
    back = root.parent / "export.json"
    back.write_text(json.dumps(tasks), encoding="utf-8")
    assert label_files.read(back, truth, root).classes == predicted
    shutil.copy(back, found.folder / "project-1-at-2026.json")
    assert sum(asked(root).labels.values()) == 6
    for task in tasks:  # by the image's address alone
        del task["data"]["file"]
    back.write_text(json.dumps(tasks), encoding="utf-8")
    assert label_files.read(back, truth, root).classes == predicted


def test_a_labeling_interface_without_classes_yet(folder: tuple[Path, dict[str, str]]) -> None:
    interface = ElementTree.parse(asked(folder[0]).folder / "labelstudio.xml")
    assert len(interface.findall("Choices/Choice")) == 2  # Label Studio refuses one without any


def test_a_batch_that_is_labeled_in_its_table(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    found = asked(root)
    table = found.folder / "batch.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    file = lines[1].split(",")[1]
    lines[1] = lines[1].replace(f"{file},,", f"{file},{truth[file]},")
    table.write_text("\n".join(lines), encoding="utf-8")
    assert asked(root).labels == {truth[file]: 1}


def test_near_duplicates_are_passed_over(folder: tuple[Path, dict[str, str]]) -> None:
    root, _ = folder
    for number in range(20):
        shutil.copy(root / "00-0.png", root / f"copy {number}.png")
    found = asked(root, size=30, agent="random")
    copies = [file for file in files_of(found) if file.startswith("copy") or file == "00-0.png"]
    assert len(copies) <= 1
    assert len(files_of(found)) == len(set(files_of(found))) == 30
    assert len(found.near_duplicates) > 0
    everything = asked(root, size=80)
    assert len(set(files_of(everything))) == 80


# ---- files of every kind -------------------------------------------------------------------------------------


def test_messy_files_are_named_and_the_rest_works(folder: tuple[Path, dict[str, str]]) -> None:
    root, _ = folder
    image = photos.painted(7, 0, 64)
    exif = Image.Exif()
    exif[0x0112] = 6
    good = [root / name for name in ("ink.jpg", "deep.png", " ein Bild ä 猫.png", "page.tiff", "turned.jpg")]
    image.convert("CMYK").save(good[0])
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(good[1])  # 12 of 16 bits
    image.save(good[2])
    image.save(good[3])
    image.crop((0, 0, 64, 32)).save(good[4], exif=exif)
    for number, name in enumerate(("moving.gif", "moving.webp", "a, b/c;d #1 %20.PNG", "no extension")):
        good.append(root / name)
        good[-1].parent.mkdir(exist_ok=True)
        frame = photos.painted(8, number, 64)
        frame.save(good[-1], Path(name).suffix[1:] or "GIF", save_all=True, append_images=[image])
    (root / "empty.jpg").touch()
    (root / "half.png").write_bytes(good[2].read_bytes()[:500])
    (root / "words.png").write_text("<html>404</html>", encoding="utf-8")
    Image.fromarray(np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)).save(root / "float.tif")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "again.png").symlink_to(root / "00-0.png")
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    image.save(root / ".hidden.png")
    (root / "readme.txt").write_text("read me", encoding="utf-8")
    unreadable = {"empty.jpg", "half.png", "words.png", "float.tif", "gone.jpg"}
    with contextlib.suppress(OSError):  # some file systems take Unicode names only
        shutil.copy(good[2], os.fsdecode(os.fsencode(root) + b"/strange-\xff.png"))
        unreadable.add("strange-\ufffd.png")
    code, out, err = run("suggest", str(root), "--size", "70", "--features", FEATURES, "--json")
    assert code == 0, err
    assert err.count("\n") == 2
    assert "passed over as no images: 1 dead link, 1 link in a circle" in err
    assert "1 empty (empty.jpg" in err
    assert all(name in err for name in unreadable)
    told = json.loads(out)
    assert told["images"] == 70
    assert set(told["unreadable"]) == unreadable
    names = {path.relative_to(root).as_posix() for path in good}
    assert names <= {each["file"] for each in told["wanted"]}
    page = Path(told["page"]).read_text(encoding="utf-8")
    tiff = next(each for each in page.split('{"file":') if each.startswith('"page.tiff"'))
    assert '"preview":"data:image/jpeg' in tiff
    label_file(Path(told["folder"]) / "labels.csv", dict.fromkeys(names, "odd"))
    assert asked(root, size=60).labels == {"odd": 9}


def test_features_are_computed_once_for_a_content(
    folder: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = folder
    read: list[str] = []
    decode = features.images.decode

    def counting(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
        read.append(file.name)
        return decode(file, shape)

    monkeypatch.setattr(features.images, "decode", counting)
    names = sorted(path.name for path in root.iterdir())
    for part in (cache.root() / "suggest").glob("own-*"):
        shutil.rmtree(part)
    before = features.described(root, names, FEATURES)
    assert sorted(read) == names
    read.clear()
    (root / "00-0.png").rename(root / "moved.png")
    photos.painted(9, 9).save(root / "new.png")
    after = features.described(root, sorted(path.name for path in root.iterdir()), FEATURES)
    assert read == ["new.png"]
    assert after.rows[after.files.index("moved.png")].tolist() == before.rows[0].tolist()


def test_patches_keep_their_dictionary(
    folder: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, truth = folder
    monkeypatch.setattr(patches, "FIT_PATCHES", 2000)
    monkeypatch.setattr(patches, "CENTROIDS", 16)
    before = features.described(root, sorted(truth), "patches")
    photos.painted(9, 9).save(root / "new.png")
    after = features.described(root, [*sorted(truth), "new.png"], "patches")
    assert np.array_equal(after.rows[:60], before.rows)
    assert len(after.rows) == 61


def test_features_in_a_file(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    names = sorted(truth, reverse=True)
    np.save(root.parent / "mine.npy", np.random.default_rng(0).normal(size=(60, 5)))
    (root.parent / "mine.txt").write_text("\n".join(names), encoding="utf-8")
    assert len(asked(root, features=str(root.parent / "mine.npy")).wanted) == 10
    (root.parent / "mine.txt").write_text("\n".join(["other.png", *names[1:]]), encoding="utf-8")
    said = error("suggest", str(root), "--features", str(root.parent / "mine.npy"))
    assert f"names no row for {names[0]}" in said


def test_labels_of_images_that_are_gone_are_passed_over(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    found = asked(root)
    answer(found, truth)
    first_file, other = files_of(found)[:2]
    (root / first_file).unlink()
    (root / "elsewhere").mkdir()  # one of the same name is another image
    photos.painted(5, 5).save(root / "elsewhere" / first_file)
    code, out, err = run("suggest", str(root), "--features", FEATURES, "--size", "5", "--json")
    assert code == 0, err
    assert err == f"alenv: passed over the labels of images that are gone: {first_file}\n"
    told = json.loads(out)
    assert told["gone"] == [first_file]
    assert sum(told["labels"].values()) == 9
    labels = label_file(root.parent / "labels.csv", {"no.png": "kind 0", other: truth[other]})
    with pytest.raises(InvalidLabels, match=r"names 1 images that are not in .*: no\.png"):
        asked(root, (labels,))


# ---- what is refused, and what is kept -----------------------------------------------------------------------


def test_conflicting_labels_are_refused_by_name(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    found = asked(root)
    answer(found, truth)
    file = files_of(found)[0]
    labels = label_file(root.parent / "labels.csv", {file: "other"})
    with pytest.raises(InvalidLabels, match=f"{file} is 'other' in .*labels.csv and '{truth[file]}' in"):
        asked(root, (labels,))
    assert not (found.folder.parent / "batch-002").exists()


def test_bad_requests_are_one_sentence_and_write_nothing(folder: tuple[Path, dict[str, str]]) -> None:
    root, _ = folder
    assert "did you mean 'margin'" in error("suggest", str(root), "--agent", "margn")
    assert "There is no folder" in error("suggest", str(root / "nowhere"))
    assert "did you mean 'imagenet'" in error("suggest", str(root), "--features", "imagnet")
    assert "needs predicted_loss" in error("suggest", str(root), "--agent", "ll4al", "--features", FEATURES)
    assert "cannot be read" in error("suggest", str(root), "--labels", "nowhere.csv")
    assert "go together" in error("suggest", str(root), "--link")
    assert not list(Path.cwd().glob("*/batch*"))
    with pytest.raises(InvalidQuery, match="whole number of images"):
        asked(root, size=0)
    with pytest.raises(UnknownName):
        asked(root, agent="margn")
    with pytest.raises(MissingHead):
        asked(root, agent="ll4al")


def test_nothing_is_overwritten_and_a_killed_run_leaves_nothing(
    folder: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, truth = folder
    found = asked(root)
    before = {path.name: path.read_bytes() for path in found.folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr("scenarios.suggest.batch_folder.labeling_page", _killed)
        with pytest.raises(KeyboardInterrupt):
            asked(root)
    assert [path.name for path in found.folder.parent.glob("batch*")] == ["batch-001"]
    answer(found, truth)
    assert asked(root).folder.name == "batch-002"
    assert {name: (found.folder / name).read_bytes() for name in before} == before
    with pytest.raises(StorageError):
        files.publish_folder(found.folder, lambda _: None)


def _killed(*_: Any) -> str:
    raise KeyboardInterrupt


def test_a_project_belongs_to_one_process_and_one_folder(folder: tuple[Path, dict[str, str]]) -> None:
    root, _ = folder
    out = root.parent / "work"
    asked(root, out=out)
    with filelock.FileLock(out / ".lock"), pytest.raises(RunConflict, match="Another process"):
        asked(root, out=out)
    photos.write(root.parent / "other", 2, 3)
    with pytest.raises(RunConflict, match="is a project of the images in"):
        asked(root.parent / "other", out=out)
    with pytest.raises(RunConflict, match="has begun with seed 0"):
        asked(root, out=out, seed=3)


def test_a_project_inside_the_folder_adds_no_images(folder: tuple[Path, dict[str, str]]) -> None:
    root, _ = folder
    assert asked(root, out=root / "labeling").images == asked(root, out=root / "labeling").images == 60


def test_labels_become_folders_of_links(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    labels = label_file(root.parent / "labels.csv", {**first(truth, 2), "05-0.png": "a/b"})
    code, out, err = run("suggest", str(root), "--apply", str(labels), "--link")
    assert code == 0, err
    assert "7 links" in out
    place = Path("my photos-labeling/classes-001")
    assert sorted(path.name for path in place.iterdir()) == ["a_b", "kind 0", "kind 1", "kind 2"]
    link = place / "kind 1" / "01-1.png"
    assert link.is_symlink()
    assert link.read_bytes() == (root / "01-1.png").read_bytes()
    assert len(list(root.iterdir())) == 60
    assert apply(root, (labels,))[0].name == "classes-002"
    both = label_file(root.parent / "both.csv", {"00-0.png": "a/b", "00-1.png": "a_b"})
    with pytest.raises(InvalidLabels, match="would share the folder"):
        apply(root, (both,))


def test_what_the_command_says(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    labels = label_file(root.parent / "labels.csv", first(truth, 5))
    arguments = ("suggest", str(root), "--labels", str(labels), "--size", "5", "--features", FEATURES)
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "60 images, 15 labeled (3 classes)" in out
    assert "on 3 held-out labels" in out
    assert "Next: open" in out.splitlines()[-1]


# ---- parts ---------------------------------------------------------------------------------------------------


def test_who_asks_by_default() -> None:
    assert picking.default_agent(0, 0) == "typiclust"
    assert picking.default_agent(50, 1) == "typiclust"
    assert picking.default_agent(5, 3) == "typiclust"
    assert picking.default_agent(6, 3) == "learned"


# ---- networks ------------------------------------------------------------------------------------------------


def test_a_network_is_trained_on_the_labels(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    labels = label_file(root.parent / "labels.csv", first(truth, 12))
    found = asked(root, (labels,), 20, retrain="convnet", image_size=24, agent="badge")
    assert found.agent == "badge"
    right = [each.predicted == truth[each.file] for each in found.wanted]
    assert np.mean(right) > 0.8
    assert found.validation[0] >= 5
    plain = asked(root, (labels,), 20, agent="badge", out=root.parent / "plain")
    assert [each.confidence for each in plain.wanted] != [each.confidence for each in found.wanted]


def test_without_labels_there_is_nothing_to_train_on(folder: tuple[Path, dict[str, str]]) -> None:
    found = asked(folder[0], retrain="convnet", image_size=24)
    assert found.agent == "typiclust"
    assert all(not each.predicted for each in found.wanted)


def test_networks_get_the_images_themselves(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    names = sorted(truth)[:5]
    found = features.described(root, names, kinds.pixels(24))
    assert found.rows.dtype == np.uint8
    wanted = np.stack([np.asarray(Image.open(root / name)) for name in names])
    assert (found.rows.reshape(5, 24, 24, 3) == wanted).all()


@pytest.mark.parametrize(
    ("retrain", "side", "kind", "words"),
    [
        ("ridge", 32, UnknownName, "trains a network"),
        ("rotation", 32, UnknownName, "convnet"),
        ("fast", 3, InvalidRecipe, "at least"),
    ],
)
def test_recipes_that_cannot_be_trained(
    folder: tuple[Path, dict[str, str]], retrain: str, side: int, kind: type[AlenvError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        asked(folder[0], retrain=retrain, image_size=side)


def test_a_network_needs_images_that_can_be_read(folder: tuple[Path, dict[str, str]]) -> None:
    root, truth = folder
    names = sorted(truth)
    np.save(root.parent / "rows.npy", np.random.default_rng(0).normal(size=(len(names), 8)))
    (root.parent / "rows.txt").write_text("\n".join(names))
    (root / names[0]).write_bytes(b"no image")
    with pytest.raises(UnreadableImages, match=names[0]):
        asked(root, features=str(root.parent / "rows.npy"), retrain="convnet", image_size=24)
