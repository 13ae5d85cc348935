"""Runs a notebook and shows its output. The notebook is a Python file of cells (``# %%``), as Jupytext reads it."""

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

_CELL = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook.

    Attributes
    ----------
    text : Markdown, or Python if `is_code`.
    """

    is_code: bool
    text: str


@dataclass(frozen=True)
class Output:
    """Printed text and figures (PNG) of a cell."""

    printed: str
    figures: tuple[bytes, ...]


def cells_of(source: str) -> list[Cell]:
    """The cells of a notebook; text above the first cell is left out."""
    parts = _CELL.split(source)
    cells = []
    for mark, text in zip(parts[1::2], parts[2::2], strict=True):
        lines = text.strip().splitlines()
        if mark:
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
        cells.append(Cell(is_code=not mark, text="\n".join(lines)))
    return cells


def run_cells(cells: list[Cell], folder: Path) -> Iterator[tuple[Cell, Output]]:
    """Each cell with its output; all cells share their names, as in a notebook.

    Parameters
    ----------
    folder : Working directory of the cells: the root of a checkout.

    Raises
    ------
    Exception : what a cell raises.
    """
    mpl.use("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        for cell in cells:
            printed = io.StringIO()
            if cell.is_code:
                with contextlib.redirect_stdout(printed):
                    exec(compile(cell.text, "tutorial", "exec"), names)
            yield cell, Output(printed.getvalue(), tuple(_taken_figures()))


def _taken_figures() -> Iterator[bytes]:
    """The open figures, which are closed."""
    import matplotlib.pyplot as plt

    for number in plt.get_fignums():
        stream = io.BytesIO()
        plt.figure(number).savefig(stream, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        plt.close(number)
        yield stream.getvalue()


def tutorial_page(executed: list[tuple[Cell, Output]], name: str) -> tuple[str, dict[str, bytes]]:
    """A page with code, printed text and figures.

    Returns
    -------
    The page, and its pictures by file name.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell, output in executed:
        parts.append(f"```python\n{cell.text}\n```" if cell.is_code else cell.text)
        if output.printed:
            parts.append(f'```text title="Output"\n{output.printed.rstrip()}\n```')
        for figure in output.figures:
            file = f"{name}-{len(pictures) + 1}.png"
            pictures[file] = figure
            parts.append(f"![Figure {len(pictures)}: output of the code above]({file})")
    return "\n\n".join(parts) + "\n", pictures


def as_notebook(cells: list[Cell]) -> str:
    """The cells as an ``.ipynb`` file without outputs (nbformat 4.5)."""
    entries: list[dict[str, Any]] = [
        {
            "cell_type": "code" if cell.is_code else "markdown",
            "id": f"cell-{number}",
            "metadata": {},
            "source": cell.text.splitlines(keepends=True),
            **({"execution_count": None, "outputs": []} if cell.is_code else {}),
        }
        for number, cell in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": entries, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1) + os.linesep
