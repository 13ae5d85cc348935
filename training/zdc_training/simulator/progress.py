"""Progress of `train-zdc simulate`: a bar on a terminal, otherwise a line a minute; CPU-s per TeV and an ETA."""

import time
from datetime import timedelta
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from zdc_common.interrupts import Interrupts

_SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Shows how far a simulation is; the time is in proportion to the energy.

    Parameters
    ----------
    energies : Energy of the particle of each shower [GeV], shape (showers,).
    done : Showers that were finished before.

    Attributes
    ----------
    interrupts : Stops the loop over the showers on Ctrl-C.
    """

    def __init__(self, energies: NDArray[np.float64], done: set[int]):
        self.interrupts = Interrupts()
        self._console = Console(stderr=True)
        self._energies = energies
        old = [row for row in done if row < len(energies)]
        self._finished = len(old)
        self._left = float(energies.sum() - energies[old].sum())
        self._simulated = 0.0
        self._cpu_seconds = 0.0
        self._started = self._last_line = time.monotonic()
        columns = (TextColumn("showers"), MofNCompleteColumn(), BarColumn(bar_width=20), TimeElapsedColumn())
        self._bar = Bar(
            *columns, TextColumn("{task.description}"), console=self._console, disable=not self._console.is_terminal
        )
        self._task = self._bar.add_task("", total=len(energies), completed=self._finished)

    def __enter__(self) -> "Progress":
        self.interrupts.__enter__()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self.interrupts.__exit__()

    def finished(self, row: int, cpu_seconds: float) -> None:
        """Count a finished shower."""
        energy = float(self._energies[row])
        self._finished += 1
        self._left -= energy
        self._simulated += energy
        self._cpu_seconds += cpu_seconds
        now = time.monotonic()
        eta = timedelta(seconds=round((now - self._started) * max(self._left, 0) / self._simulated))
        text = f"{1e3 * self._cpu_seconds / self._simulated:.3g} CPU-s/TeV  ETA {eta}"
        self._bar.update(self._task, completed=self._finished, description=text)
        if not self._console.is_terminal and now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.say(f"{self._finished} of {len(self._energies)} showers  {text}")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)
