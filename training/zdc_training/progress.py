"""What `train-zdc fit` shows: a bar with an ETA on a terminal, one line an epoch elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressReporter:
    """Follows `zdc_training.fit.fit`; a context manager, because a terminal needs its cursor back."""

    def __init__(self, epochs: int, quiet: bool = False) -> None:
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._epochs = epochs
        self._started = time.monotonic()
        self._first: int | None = None
        columns = (
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        shown = self._console.is_terminal and not quiet
        self._progress = Progress(*columns, console=self._console, disable=not shown, speed_estimate_period=600)
        self._task = self._progress.add_task("", total=epochs)

    def __enter__(self) -> "ProgressReporter":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
        """Move the bar within an epoch."""
        if self._first is None:
            self._first = epoch - 1
        text = "  ".join(f"{name} {value:.4g}" for name, value in terms.items() if value)
        self._progress.update(self._task, completed=epoch - 1 + step / steps, description=text)

    def epoch(self, record: dict[str, float]) -> None:
        """Say what an epoch gave."""
        if self._quiet:
            return
        epoch = int(record["epoch"])
        terms = "  ".join(
            f"{name.removeprefix('loss/')} {value:.4g}" for name, value in record.items() if name.startswith("loss/")
        )
        validation = "  ".join(
            f"{name.removeprefix('validation/')} {value:.4g}"
            for name, value in record.items()
            if name.startswith("validation/")
        )
        if validation or not self._console.is_terminal:
            done = epoch - (self._first or 0)
            left = (time.monotonic() - self._started) / done * (self._epochs - epoch)
            line = f"epoch {epoch}/{self._epochs}  {record['seconds']:.1f} s  ETA {left / 60:.0f} min  {terms}"
            if validation:
                line += f"\n  validation: {validation}"
            self._console.print(line, highlight=False, soft_wrap=True)
            sys.stderr.flush()
