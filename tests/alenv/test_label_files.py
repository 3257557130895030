"""Label files as people have them: what is read, and what is refused in one sentence."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from alenv.data import label_files
from alenv.errors import InvalidLabels

FILES = ("a.png", "cats/b.jpg", "cats/c.jpg", "dogs/c.jpg", "ein Bild ä.png")


def read(tmp_path: Path, content: str | bytes, name: str = "labels.csv") -> label_files.Labels:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return label_files.read(path, FILES, Path("/photos/animals"))


def task(image: str, *choices: str, **more: Any) -> dict[str, Any]:
    result = [{"type": "choices", "value": {"choices": list(choices)}}] if choices else []
    return {"id": 7, "data": {"image": image}, "annotations": [{"result": result}], **more}


def exported(number: int, file: str, result: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Returns a task as Label Studio 1.23 exports one of alenv's: with its prediction, which is no label."""
    guess = {"id": 1, "result": [chosen("cow")], "model_version": "alenv", "score": 0.4, "task": number}
    annotation = {"id": 5, "completed_by": 1, "result": result, "was_cancelled": False, "prediction": guess}
    return {
        "id": number,
        "annotations": [annotation | more],
        "file_upload": "9f1754bc-labelstudio.json",
        "drafts": [],
        "predictions": [1],
        "data": {
            "image": "/data/local-files/?d=animals/x.png",
            "file": file,
            "rank": number,
            "reason": "cow or cat",
        },
        "meta": {},
        "inner_id": number,
        "cancelled_annotations": 0,
        "project": 1,
    }


def chosen(label: str) -> dict[str, Any]:
    return {"from_name": "class", "to_name": "image", "type": "choices", "value": {"choices": [label]}}


def exported_min(number: int, file: str, **more: Any) -> dict[str, Any]:
    """Returns the same in JSON-MIN, in which the class is called as its control is."""
    image = {
        "image": "/data/local-files/?d=animals/x.png",
        "file": file,
        "rank": number,
        "reason": "cow or cat",
    }
    return {**image, "id": number, "annotator": 1, "annotation_id": 5, "lead_time": None, **more}


PLAIN = {"a.png": "cat", "cats/b.jpg": "dog"}


@pytest.mark.parametrize(
    "content",
    [
        "file,label\na.png,cat\ncats/b.jpg,dog\n",
        "label,file\r\ncat,a.png\r\ndog,cats/b.jpg\r\n",
        "\ufefffile;label\na.png;cat\ncats/b.jpg;dog",
        "file\tlabel\na.png\tcat\ncats/b.jpg\tdog\n",
        "File, Label\na.png, cat \n\ncats\\b.jpg,dog\n",
        'filename,class\n"a.png","cat"\n"./cats/b.jpg","dog"\n',
        "file,label\na.png,cat\na.png,cat\n/photos/animals/cats/b.jpg,dog\ndogs/c.jpg,\n",
        "file,label\nC:\\other\\animals\\a.png,cat\n/home/me/cats/b.jpg,dog\n",
        "file,label\na.png,cat\nb.jpg,dog\n",
        "file,label\na.png,cat\ncats/b.jpg,dog\n".encode("utf-16"),
        '"annotation_id","class","file","image"\n1,"cat","a.png","/x"\n2,"dog","cats/b.jpg","/y"\n3,"","cats/c.jpg","/z"\n',
        "file|label\ra.png|cat\rcats/b.jpg|dog\r",
        "\r\n\r\nfile;label\r\na.png;cat\r\ncats/b.jpg;dog\r\n;;\r\n",
        "file,label\nphotos/animals/a.png,cat\nanimals/cats/b.jpg,dog\n",
        'file;label;note\n"a.png";cat;"1, 2, 3"\ncats/b.jpg;dog;\n',
        "file,label\na.png,cat\ncats/b.jpg,dog\n".encode("utf-8-sig"),
    ],
)
def test_csv_files_of_every_kind(tmp_path: Path, content: str | bytes) -> None:
    assert read(tmp_path, content).classes == PLAIN


def test_names_that_differ_in_a_space_are_two_images(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n a.png,cat\na.png,dog\n", encoding="utf-8")
    found = label_files.read(tmp_path / "labels.csv", (" a.png", "a.png"), tmp_path)
    assert found.classes == {" a.png": "cat", "a.png": "dog"}


def test_further_columns_are_kept(tmp_path: Path) -> None:
    text = 'who,label,file,note\nme,cat,a.png,"a, b"\nyou,"dog ""x""",cats/b.jpg,\n'
    found = read(tmp_path, text)
    assert found.columns == ("who", "note")
    assert found.more["a.png"] == {"who": "me", "note": "a, b"}
    assert found.more["cats/b.jpg"] == {"who": "you", "note": ""}
    assert found.names == ("cat", 'dog "x"')


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_may_be_composed_or_not(tmp_path: Path, form: Any) -> None:
    name = unicodedata.normalize(form, "ein Bild ä.png")
    assert read(tmp_path, f"file,label\n{name},cat\n").classes == {"ein Bild ä.png": "cat"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("file,label\na.png,cat\na.png,dog\n", r"a\.png is 'cat' \(line 2\) and 'dog' \(line 3\)"),
        ("file,label\nx.png,cat\n", r"names 1 images that are not in .*: x\.png \(line 2\);"),
        (
            "file,label\n" + "".join(f"other/{i}.png,cat\n" for i in range(5)),
            r"5 images .*0\.png \(line 2\).* and 2 others",
        ),
        ("file,label\nc.jpg,cat\n", r"names 1 images that are not in"),  # there are two
        ("file,label\nbirds/a.png,cat\n", r"birds/a\.png \(line 2\)"),  # of another folder
        ("image_id,cat\n1,2\n", "has the columns image_id, cat; its first line must name file and label"),
        ("", "columns of an empty file"),
        ("file,label,label\na.png,cat,dog\n", "two columns 'label'"),
        ("file,label\na.png\n", "1 columns in line 2 and 2 in its first line"),
        ("file,label\nä.png,cat\n".encode("latin-1"), r"not UTF-8 text \(line 2\)"),
        (b"file,label\n\0\0\0", "holds no text"),
        ("file,label\na.png,cat\n".encode("utf-16")[2:], "holds no text"),  # without its mark
        ("file,label\nä.png,cat\n".encode("utf-16")[:-1], r"not UTF-8|not UTF-16"),
        (
            "file,label\n/photos/other/cat.png,cat\nD:\\animals2\\a.png,dog\n",
            r"2 images .*cat\.png \(line 2\), D:",
        ),
        ("file,file,label\na.png,b.png,cat\n", "two columns 'file'"),
        ("\n\n", "columns of an empty file"),
        ('file,label\n"a.png,cat\n', r"1 columns in line 2 and 2"),
    ],
)
def test_csv_files_that_are_refused(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(InvalidLabels, match=sentence):
        read(tmp_path, content)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidLabels, match="cannot be read"):
        label_files.read(tmp_path / "no.csv", FILES, tmp_path)


@pytest.mark.parametrize(
    "tasks",
    [
        [task("a.png", "cat"), task("/data/local-files/?d=animals/cats/b.jpg", "dog")],
        [task("/data/upload/3/0123abcd-a.png", "cat"), task("s3://bucket/animals/cats/b.jpg", "dog")],
        [task("a.png", "cat"), task("x", "dog", data={"file": "cats/b.jpg", "image": "http://h/1"})],
        [{"image": "a.png", "choice": "cat"}, {"image": "cats/b.jpg", "choice": {"choices": ["dog"]}}],
        [task("a.png", "cat"), task("cats/b.jpg", "dog"), task("cats/c.jpg")],
        [task("a.png", "cat"), task("cats/b.jpg", "dog"), task("cats/c.jpg", annotations=[3])],
        [
            exported(1, "a.png", [chosen("cat")]),
            exported(2, "cats/b.jpg", [chosen("dog")]),
            exported(3, "cats/c.jpg", [], was_cancelled=True),
            exported(4, "dogs/c.jpg", []),
        ],
        [
            exported_min(1, "a.png", **{"class": "cat"}),
            exported_min(2, "cats/b.jpg", **{"class": "dog"}),
            exported_min(4, "dogs/c.jpg"),
        ],
        [
            task("a.png", "cat"),
            task("cats/b.jpg", "dog"),
            task("cats/c.jpg", annotations=[{"was_cancelled": True, "result": []}]),
        ],
    ],
)
def test_exports_of_label_studio(tmp_path: Path, tasks: list[dict[str, Any]]) -> None:
    assert read(tmp_path, json.dumps(tasks), "export.json").classes == PLAIN


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no JSON"),
        ('{"a": 1}', "is no list of tasks"),
        (json.dumps([task("a.png", "cat", "dog")]), "task 7 the classes cat, dog"),
        (json.dumps([{"id": 2, "data": {"text": "x"}, "annotations": []}]), "no image in task 2"),
        (json.dumps([task("a.png", "cat"), task("a.png", "dog")]), "'cat' .task 7. and 'dog'"),
    ],
)
def test_exports_that_are_refused(tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(InvalidLabels, match=sentence):
        read(tmp_path, content, "export.json")


def test_sources_are_joined_and_must_agree() -> None:
    one = label_files.Labels({"a.png": "cat"}, {"a.png": {"who": "me"}}, ("who",))
    other = label_files.Labels({"a.png": "cat", "cats/b.jpg": "dog"})
    both = label_files.joined([("labels.csv", one), ("batch.csv", other)])
    assert (both.classes, both.columns) == (PLAIN, ("who",))
    with pytest.raises(InvalidLabels, match=r"a\.png is 'cat' in labels\.csv and 'dog' in batch\.csv"):
        label_files.joined([("labels.csv", one), ("batch.csv", label_files.Labels({"a.png": "dog"}))])
