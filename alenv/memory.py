"""Resident memory of this process, now and at its peak, in MB (10^6 bytes)."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

STATUS = Path("/proc/self/status")
FORGET = Path("/proc/self/clear_refs")


def resident() -> float:
    """Returns what is resident now; where the system does not say, the peak."""
    return _status("VmRSS") or resident_peak()


def resident_peak() -> float:
    """Returns the largest resident memory since ``forget_resident_peak``, or since the start of the process."""
    unit = 1 if sys.platform == "darwin" else 1024  # in bytes on macOS, in kibibytes elsewhere
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def forget_resident_peak() -> None:
    """Makes ``resident_peak`` count from now, on Linux where that is allowed."""
    with suppress(OSError):  # no such file elsewhere, and some containers forbid to write it
        FORGET.write_text("5")  # sets VmHWM back to VmRSS


def _status(field: str) -> float | None:
    """Returns a line of Linux's account of this process; None where there is none."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(found[0]) * 1024 / 1e6 if found else None
