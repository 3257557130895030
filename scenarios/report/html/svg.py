"""The smallest parts of a chart: elements, scales, ticks and a frame with two axes, as SVG text.

Every chart is ``WIDTH`` units wide, about the pixels of a phone, and scales with its box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 380
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 30, 44  # room for the axes
LETTER = 6.2  # units that a letter of a label takes, with some to spare


def tag(name: str, *content: str, **attributes: object) -> Markup:
    """Returns an element; text is escaped, ``class_`` is ``class``, an underscore a hyphen, None no attribute."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _text(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(part) for part in content)
    return Markup("<{}{}>{}</{}>").format(Markup(name), written, inner, Markup(name))


def _text(value: object) -> str:
    """Returns a number with at most two digits, other things as they are."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def drawing(title: str, height: float, content: Iterable[str], width: float = WIDTH) -> Markup:
    """Returns a whole picture that fills its box; ``title`` says what it shows to those who do not see it."""
    return tag(
        "svg",
        tag("title", title),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_text(float(width))} {_text(float(height))}",
        role="img",
    )


def points(xs: Iterable[float], ys: Iterable[float]) -> str:
    """Returns what ``points`` of a polyline takes."""
    return " ".join(f"{_text(float(x))},{_text(float(y))}" for x, y in zip(xs, ys, strict=True))


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Returns about ``count`` round numbers from ``low`` to ``high``, both ends included."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = min((factor * power for factor in (1, 2, 2.5, 5, 10)), key=lambda step: abs(span / step - count))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Returns round numbers on a logarithmic axis from ``low`` to ``high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1.0, 3.0) if high < 1000 * low else (1.0,)
    found = [float(f"{factor}e{power}") for power in powers for factor in factors]
    return [value for value in found if low * 0.999 <= value <= high * 1.001] or [low]


def number(value: float) -> str:
    """Returns a short number for an axis."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e7):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return text if text != "-0" else "0"


def axis_title(text: str, y: float, middle: float | None = None) -> Markup:
    """Returns the title of an axis, around ``middle`` or from the left edge; too long a one is cut, with a tooltip."""
    room = WIDTH - 4 if middle is None else 2 * min(middle, WIDTH - middle) - 4
    whole = tag("title", text)
    if middle is None or len(text) * LETTER > room:
        return tag("text", whole, shortened(text, WIDTH - 4.0), x=2, y=y, class_="axis-title")
    return tag("text", whole, text, x=middle, y=y, class_="axis-title middle")


@dataclass(frozen=True)
class Frame:
    """A rectangle with an axis below and one at its left.

    Attributes:
        x: Lowest and highest value below.
        y: Lowest and highest value at the left.
        height: Of the whole chart.
        log: Whether the axis below is logarithmic.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    height: float = 260
    log: bool = False

    def across(self, value: float) -> float:
        """Returns the horizontal place of a value."""
        low, high = self.x
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(self, value: float) -> float:
        """Returns the vertical place of a value."""
        low, high = self.y
        share = (value - low) / (high - low) if high > low else 0.5
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def axes(self, x_title: str, y_title: str) -> list[Markup]:
        """Returns grid, numbers and titles; a title names its unit."""
        bottom, right = self.height - BOTTOM, WIDTH - RIGHT
        parts = []
        for value in ticks(*self.y):
            at = self.down(value)
            parts.append(tag("line", x1=LEFT, x2=right, y1=at, y2=at, class_="grid"))
            parts.append(tag("text", number(value), x=LEFT - 6, y=at + 4, class_="tick end"))
        places = decades(*self.x) if self.log else ticks(*self.x)
        for value in places:
            at = self.across(value)
            parts.append(tag("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis"))
            anchor = "tick end" if at > right - 12 else "tick middle"
            parts.append(tag("text", number(value), x=min(at, float(right)), y=bottom + 16, class_=anchor))
        parts.append(tag("line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis"))
        return [*parts, axis_title(x_title, self.height - 8, (LEFT + right) / 2), axis_title(y_title, 14)]


def around(values: Sequence[float], room: float = 0.06) -> tuple[float, float]:
    """Returns limits with some room around finite values; 0 and 1 where there are none."""
    finite = [float(value) for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    space = room * (high - low) or 0.05 * abs(high) or 1.0
    return low - space, high + space


def shortened(text: str, room: float) -> str:
    """Returns a label that fits into ``room`` units; the whole of it belongs into a ``title``."""
    most = max(4, int(room / LETTER))
    return text if len(text) <= most else text[: most - 1] + "…"
