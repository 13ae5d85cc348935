"""Progress of `train-zdc fit`: a bar with an ETA on a terminal, otherwise one line per epoch."""

import sys
import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from zdc_common.interrupts import Interrupts


class ProgressReporter:
    """Shows the progress of `zdc_training.loop.fit.fit` and stops it between two steps on Ctrl-C.

    It is a context manager because it must restore the terminal's cursor.
    """

    def __init__(self, epochs: int) -> None:
        self._console = Console(stderr=True)
        self._interrupts = Interrupts()
        self._epochs = epochs
        self._started = time.monotonic()
        self._first: int | None = None
        self._last_step: float | None = None
        columns = (
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        silent = not self._console.is_terminal
        self._progress = Progress(*columns, console=self._console, disable=silent, speed_estimate_period=600)
        self._task = self._progress.add_task("", total=epochs)

    def __enter__(self) -> "ProgressReporter":
        self._interrupts.__enter__()
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._interrupts.__exit__()

    def step(self, epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
        """Advance the bar within an epoch."""
        if self._first is None:
            self._first = epoch - 1
        now = time.monotonic()
        speed = f"{1 / max(now - self._last_step, 1e-6):.3g} steps/s  " if self._last_step else ""
        self._last_step = now
        text = speed + "  ".join(f"{name} {value:.4g}" for name, value in terms.items() if value)
        self._progress.update(self._task, completed=epoch - 1 + step / steps, description=text)
        self._interrupts.check()

    def warn(self, text: str) -> None:
        """Print a warning above the bar."""
        self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def epoch(self, record: dict[str, float]) -> None:
        """Print loss terms and validation figures of an epoch."""
        epoch = int(record["epoch"])
        terms, validation = _listed(record, "loss/"), _listed(record, "validation/")
        if validation or not self._console.is_terminal:
            done = epoch - (self._first or 0)
            left = (time.monotonic() - self._started) / done * (self._epochs - epoch)
            eta = timedelta(seconds=round(left))
            speed = f"{record['steps_per_second']:.3g} steps/s"
            line = f"epoch {epoch}/{self._epochs}  {record['seconds']:.1f} s  {speed}  ETA {eta}  {terms}"
            if validation:
                line += f"\n  validation: {validation}"
            self._console.print(line, highlight=False, soft_wrap=True)
            sys.stderr.flush()
        self._interrupts.check()


def _listed(record: dict[str, float], prefix: str) -> str:
    found = {name.removeprefix(prefix): value for name, value in record.items() if name.startswith(prefix)}
    return "  ".join(f"{name} {value:.4g}" for name, value in found.items())
