"""Worker processes with one shower each in work; a worker that crashes is replaced."""

import os
import pickle
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import IO

from zdc_common.errors import TrainingError

from zdc_training.simulator.set_up import SetUp
from zdc_training.simulator.tasks import Lost, Shower, Task

#: A crash may have a cause outside, such as too little memory: a second one of the same shower has not.
_TRIES = 2
#: So many lost showers one after another have a common cause: the others would be lost too.
_MOST_LOST_IN_A_ROW = 3


class _Worker:
    def __init__(self, set_up: SetUp, variables: Mapping[str, str], module: str):
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        self.task: Task | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._tasks, self.answers = self._process.stdin, self._process.stdout
        self._send((set_up, dict(variables)))

    def _send(self, message: object) -> None:
        try:
            pickle.dump(message, self._tasks)
            self._tasks.flush()
        except BrokenPipeError:
            pass  # it has ended: `answer` says how

    def give(self, task: Task) -> None:
        """Begin a shower."""
        self.task = task
        self._send(task)

    def answer(self) -> Shower | None:
        """The finished shower; None if the process has ended."""
        try:
            shower: Shower = pickle.load(self.answers)
        except (EOFError, pickle.UnpicklingError):
            return None
        self.task = None
        return shower

    def end(self, at_once: bool = False) -> str:
        """Stop the process; how it ended."""
        if at_once:
            self._process.kill()
        with suppress(BrokenPipeError):
            self._tasks.close()
        code = self._process.wait()
        self.answers.close()
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").splitlines()
        self._words.close()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"the worker ended with {how}" + (f": {said}" if (said := _last_words(lines)) else "")


def _last_words(lines: list[str]) -> str:
    """The last exception of Geant4, or the last lines."""
    starts = [place for place, line in enumerate(lines) if "G4Exception :" in line]
    chosen = lines[starts[-1] : starts[-1] + 4] if starts else lines[-3:]
    return " | ".join(text for line in chosen if (text := line.strip(" *-=")))[:500]


class Pool:
    """Workers for one set-up.

    Parameters
    ----------
    workers : Number of processes.
    variables : Environment variables with the places of Geant4's data files.
    module : What a worker runs; it calls `zdc_training.simulator.worker.serve`.
    """

    def __init__(
        self,
        set_up: SetUp,
        workers: int,
        variables: Mapping[str, str],
        module: str = "zdc_training.simulator.worker",
    ):
        self._module = module
        self._set_up = set_up
        self._number = workers
        self._variables = variables
        self._workers: list[_Worker] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end(at_once=worker.task is not None)
        self._workers.clear()

    def run(self, tasks: Iterable[Task]) -> Iterator[Shower | Lost]:
        """Simulate all showers, in the order in which they finish.

        Raises
        ------
        TrainingError : several showers one after another are lost.
        """
        waiting = iter(tasks)
        tries: dict[int, int] = {}
        lost_in_a_row = 0
        with selectors.DefaultSelector() as selector:
            while True:
                while len(self._workers) < self._number and (task := next(waiting, None)) is not None:
                    self._start(task, selector)
                if not self._workers:
                    return
                for key, _ in selector.select():
                    worker: _Worker = key.data
                    task = worker.task
                    assert task is not None
                    shower = worker.answer()
                    if shower is not None:
                        lost_in_a_row = 0
                        yield shower
                        if (following := next(waiting, None)) is not None:
                            worker.give(following)
                            continue
                    selector.unregister(worker.answers)
                    self._workers.remove(worker)
                    reason = worker.end()
                    if shower is None:
                        tries[task.row] = tries.get(task.row, 0) + 1
                        if tries[task.row] < _TRIES:
                            self._start(task, selector)
                        else:
                            lost_in_a_row += 1
                            yield Lost(task.row, reason)
                            if lost_in_a_row == _MOST_LOST_IN_A_ROW:
                                raise TrainingError(f"{lost_in_a_row} showers one after another are lost: {reason}")

    def _start(self, task: Task, selector: selectors.BaseSelector) -> None:
        worker = _Worker(self._set_up, self._variables, self._module)
        self._workers.append(worker)
        selector.register(worker.answers, selectors.EVENT_READ, worker)
        worker.give(task)
