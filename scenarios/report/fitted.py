"""How every table on the terminal looks, and tables that lose columns before they cut a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

STYLE: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
_GAP, _EDGES = 2, 1  # characters between two columns in this style, and at its edges


class Fitted:
    """A table whose words are never cut, least of all the names in its first column.

    Where the terminal is too narrow for them, columns are left out, and a line says which.
    """

    def __init__(self, columns: Sequence[Column], spare: Sequence[str], **style: Any) -> None:
        """Takes the columns; ``add_row`` fills them.

        Args:
            columns: The columns; the first one holds the names.
            spare: Headers of those that may be left out, the least important first.
            **style: Further settings of the table.
        """
        self._columns = [replace(column, overflow="fold") for column in columns]
        self._spare = spare
        self._style = {**STYLE, **style}
        self._rows: list[tuple[str | Text, ...]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Adds a row, one cell per column."""
        self._rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the table with as many columns as there is room for."""
        left_out = self._left_out(options.max_width)
        widths = self._widths(self._kept(left_out), options.max_width)
        shown = Table(
            *(replace(self._columns[i], _cells=[], width=w) for i, w in widths.items()), **self._style
        )
        for cells in self._rows:
            shown.add_row(*(cells[i] for i in widths))
        yield shown
        if left_out:
            names = ", ".join(" ".join(header.split()) for header in left_out)
            yield Text(f"no room for: {names}")

    def _left_out(self, room: int) -> list[str]:
        """Returns the headers of columns that a table of so many characters must do without."""
        left_out: list[str] = []
        for header in self._spare:
            if self._needs(self._kept(left_out)) <= room:
                break
            left_out.append(header)
        for header in left_out[::-1]:  # the last to go may have made room for a narrower one
            rest = [other for other in left_out if other != header]
            if self._needs(self._kept(rest)) <= room:
                left_out = rest
        return left_out

    def _kept(self, left_out: Sequence[str]) -> list[int]:
        return [i for i, column in enumerate(self._columns) if column.header not in left_out]

    def _needs(self, kept: Sequence[int]) -> int:
        """Returns the width of a table of some columns, whose words are whole."""
        return sum(self._extent(i, whole=self._columns[i].no_wrap) + _GAP for i in kept) + _EDGES

    def _widths(self, kept: Sequence[int], room: int) -> dict[int, int | None]:
        """Returns the width of each column that is kept; None where a name must be broken, however."""
        spare = room - self._needs(kept)
        if spare < 0:
            return dict.fromkeys(kept)
        widths = {i: self._extent(i, whole=self._columns[i].no_wrap) for i in kept}
        most = {i: self._extent(i, whole=True) for i in kept}
        while spare and (tight := [i for i in kept if widths[i] < most[i]]):
            widths[max(tight, key=lambda i: most[i] / widths[i])] += 1
            spare -= 1
        return dict(widths)

    def _extent(self, position: int, whole: bool) -> int:
        """Returns the width of a column's longest line, or without ``whole`` of its longest word."""
        texts = [self._columns[position].header, *(cells[position] for cells in self._rows)]
        parts = [part for text in map(str, texts) for part in (text.splitlines() if whole else text.split())]
        return max(map(cell_len, parts), default=1) or 1
