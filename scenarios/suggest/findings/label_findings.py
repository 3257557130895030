"""What the labels say so far, as values that JSON can hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from scenarios.suggest.findings.stopping import AGREEMENT

Range = tuple[float, float, float]  # a share, and the lower and upper end of its range


@dataclass(frozen=True)
class ClassFound:
    """What is known of a class.

    Attributes:
        name: The class.
        labels: How many it has.
        held_out: How many of its held-out labels are found, and how many there are.
        crossed: How many of its labels are found in cross-validation, and how many there are; (0, 0) without one.
    """

    name: str
    labels: int
    held_out: tuple[int, int]
    crossed: tuple[int, int]


@dataclass(frozen=True)
class WrongLabel:
    """A label that looks wrong.

    Attributes:
        file: Its image.
        given: The label.
        likelier: The class that fits better.
        confidence: Probabilities of both, by classifiers that did not know the label.
        chance: That the label is wrong.
        held_out: Whether it measures accuracy.
    """

    file: str
    given: str
    likelier: str
    confidence: tuple[float, float]
    chance: float
    held_out: bool


@dataclass(frozen=True)
class Clash:
    """Two images that look the same and have different labels."""

    files: tuple[str, str]
    labels: tuple[str, str]


@dataclass(frozen=True)
class Curve:
    """Accuracy over labels that teach.

    Attributes:
        labels: Numbers of labels.
        accuracy: With each of them, and its 95 % interval.
    """

    labels: tuple[float, ...] = ()
    accuracy: tuple[Range, ...] = ()


@dataclass(frozen=True)
class LabelFindings:
    """What the labels say.

    Attributes:
        classes: What is known of each.
        weakest: The classes that are found least often, those of at least five labels.
        few: Classes of fewer than five labels, which are not judged.
        batches: Accuracy on the held-out labels before each batch and at present.
        crossed: Accuracy in cross-validation with parts of the labels.
        law: What that law of accuracy over labels is, as far as the batch reaches.
        brings: How many more labels teach once this batch is labeled.
        gain: Accuracy that they are expected to bring; None where nothing can be said.
        agreement: Mean agreement of the last classifiers; None before there are enough.
        missing: How many labeled batches are missing for that; None where too few images are unlabeled.
        wrong: Labels that are probably wrong, the most striking one first.
        doubtful: Others of which classifiers are confident that they are of another class, likewise.
        clashes: Near-duplicates with different labels.
        chosen: Whether an agent chose some of the labeled images.
    """

    classes: tuple[ClassFound, ...] = ()
    weakest: tuple[str, ...] = ()
    few: tuple[str, ...] = ()
    batches: Curve = field(default_factory=Curve)
    crossed: Curve = field(default_factory=Curve)
    law: Curve = field(default_factory=Curve)
    brings: int = 0
    gain: Range | None = None
    agreement: float | None = None
    missing: int | None = None
    wrong: tuple[WrongLabel, ...] = ()
    doubtful: tuple[WrongLabel, ...] = ()
    clashes: tuple[Clash, ...] = ()
    chosen: bool = False

    @property
    def stop(self) -> bool:
        """Whether it is time to stop."""
        return self.agreement is not None and self.agreement >= AGREEMENT
