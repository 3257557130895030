"""What a batch and its labels say, in sentences for a person."""

from __future__ import annotations

from scenarios.suggest.findings.folds import FOLDS
from scenarios.suggest.findings.label_findings import LabelFindings
from scenarios.suggest.findings.power_law import LEAST_EACH, LEAST_LABELS
from scenarios.suggest.findings.stopping import AGREEMENT, LEAST

NO_SAMPLE = (
    "An agent chose which images were labeled, so that held-out labels are no random sample of the folder: accuracy "
    "on all of its images may be higher or lower."
)

OF_HEAD = "A network chose this batch; the rest is found out with a head on the features, which takes dozens of fits."


def expected(found: LabelFindings) -> str:
    """Returns what the batch is expected to bring."""
    if found.gain is None:
        return (
            f"What this batch brings cannot be foretold yet: that takes {LEAST_LABELS} labels, {LEAST_EACH} a class, "
            f"and {FOLDS} of two classes."
        )
    gain, low, high = (100 * each for each in found.gain)
    return f"This batch is expected to bring {gain:+.1f} points of accuracy [{low:+.1f}, {high:+.1f}]."


def stopping(found: LabelFindings) -> str:
    """Returns whether it is time to stop."""
    if found.missing is None:
        return f"Whether it is time to stop is not told: that takes {LEAST} unlabeled images."
    if found.agreement is None:
        batches = "one more labeled batch" if found.missing == 1 else f"{found.missing} more labeled batches"
        return f"Whether it is time to stop is told after {batches}."
    verdict = "It is time to stop" if found.stop else "It is not time to stop yet"
    return (
        f"{verdict}: from batch to batch the last classifiers agree with kappa {found.agreement:.3f}, and "
        f"{AGREEMENT} is enough."
    )


def suspicion(found: LabelFindings) -> str:
    """Returns how many labels look wrong; empty where none does."""
    parts = []
    if found.wrong:
        parts.append(f"probably wrong labels: {len(found.wrong):,}")
    if found.doubtful:
        parts.append(f"labels worth another look: {len(found.doubtful):,}")
    if found.clashes:
        parts.append(f"pairs of near-duplicates with different labels: {len(found.clashes):,}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
