"""What the names of folders say: which hold the splits, and which can be no class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

TRAIN, TEST, VALIDATION, OTHER = "train", "test", "validation", "other"

_ROLES = {
    TRAIN: ("train", "training"),
    TEST: ("test", "testing"),
    VALIDATION: ("val", "valid", "validation", "dev", "eval", "evaluation", "holdout"),
    OTHER: (
        *("labeled", "labelled", "unlabeled", "unlabelled", "unsupervised"),
        *("annotations", "annotation", "labels", "masks", "bboxes", "groundtruth", "segmentations"),
        *("pred", "predictions", "fold", "folds"),
    ),
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}

# Words that say nothing: "train_images" is a train folder. A folder of no other word is no class either.
_EMPTY_WORDS = "(?:set|data|dataset|images?|imgs?|photos|pictures|split|folder)"
_HOLDERS = frozenset(("image", "images", "img", "imgs"))
_NAMED = re.compile(f"{_EMPTY_WORDS}*({'|'.join(_ROLE_OF)}){_EMPTY_WORDS}*")


def letters(name: str) -> str:
    """Returns the letters of a name, in lower case."""
    return re.sub(r"[\W\d_]", "", name.lower())


def role(name: str) -> str:
    """Returns the split or other part of a dataset that a folder is named like, or empty for a class.

    Letters count, not their case, digits or signs: ``Train``, ``test_images``, ``val2017``, ``fold-3``.
    """
    plain = letters(name)
    found = _NAMED.fullmatch(plain)
    if found is not None:
        return _ROLE_OF[found[1]]
    return OTHER if plain in _HOLDERS else ""


def is_holder(name: str) -> bool:
    """Tells whether a folder is named like one that merely holds a class's images."""
    return letters(name) in _HOLDERS


def roles(names: Iterable[str]) -> Mapping[str, str]:
    """Returns the role of each name among its siblings, empty for a class.

    ``seg_train`` beside ``seg_test`` is a split, since they differ in that word alone; ``bullet_train``
    beside other names is a class.
    """
    given = list(names)
    found = {name: role(name) for name in given}
    by_stem: dict[tuple[str, ...], dict[str, str]] = {}
    for name in given:
        words = re.findall(r"[a-z]+", name.lower())
        marks = [_ROLE_OF[word] for word in words if word in _ROLE_OF]
        if not found[name] and len(marks) == 1:
            stem = tuple(word for word in words if word not in _ROLE_OF)
            by_stem.setdefault(stem, {})[name] = marks[0]
    for alike in by_stem.values():
        if len(set(alike.values())) > 1:
            found.update(alike)
    return found
