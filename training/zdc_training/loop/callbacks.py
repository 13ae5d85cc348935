"""Callbacks of a training run: experiment trackers, messages or files of your own.

A callback is a class, named on the command line: `train-zdc fit CONFIG --callback my_tracking:MLflow`. Its module is
in the current folder or on Python's module path. For MLflow, `my_tracking.py` is

    import mlflow

    class MLflow:
        def __init__(self, config, folder):
            mlflow.start_run(run_name=folder.name)
            mlflow.log_dict(config.model_dump(mode="json"), "config.json")

        def epoch(self, record):
            mlflow.log_metrics(record, step=int(record["epoch"]))

        def end(self, error):
            mlflow.end_run("FAILED" if error else "FINISHED")

If a callback raises an exception, a warning is printed, the callback is not called again and the training continues.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from zdc_common.errors import ConfigError

from zdc_training.config.sections import Experiment
from zdc_training.loop.fit import Reporter


class Callback(Protocol):
    """Created with the configuration and the folder of a run before it begins or is resumed."""

    def epoch(self, record: dict[str, float]) -> None:
        """Called after every epoch with its record in ``log.jsonl``."""

    def end(self, error: BaseException | None) -> None:
        """Called at the end with the exception that ended the run; None after the last epoch."""


def load_callback(name: str) -> Callable[[Experiment, Path], Callback]:
    """The class ``module:class``.

    Raises
    ------
    ConfigError : there is no such class, or its module cannot be imported.
    """
    module, separator, attribute = name.partition(":")
    if not separator:
        raise ConfigError(f"--callback {name}: write MODULE:CLASS")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the current folder
    try:
        made: Callable[[Experiment, Path], Callback] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # of a user's module
        raise ConfigError(f"--callback {name}: {type(error).__name__}: {error}") from error
    return made


class Followed:
    """A reporter that also calls the callbacks; a context manager that calls their `end`."""

    def __init__(self, reporter: Reporter, names: Sequence[str], config: Experiment, folder: Path) -> None:
        self._reporter = reporter
        self.step, self.warn, self.say = reporter.step, reporter.warn, reporter.say
        self._callbacks: dict[str, Callback] = {}
        for name in names:
            make = load_callback(name)
            try:
                self._callbacks[name] = make(config, folder)
            except Exception as error:
                raise ConfigError(f"--callback {name}: {type(error).__name__}: {error}") from error

    def __enter__(self) -> "Followed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell(lambda callback: callback.end(error))

    def epoch(self, record: dict[str, float]) -> None:
        """Call the callbacks, then the reporter, which may stop the run."""
        self._tell(lambda callback: callback.epoch(dict(record)))
        self._reporter.epoch(record)

    def _tell(self, what: Callable[[Callback], None]) -> None:
        for name, callback in list(self._callbacks.items()):
            try:
                what(callback)
            except Exception as error:  # a broken tracker must not end the training
                del self._callbacks[name]
                self.warn(f"--callback {name} failed and is not called again: {type(error).__name__}: {error}")
