"""A worker process: takes showers on its standard input and answers on its standard output, with pickled messages.

Geant4 and its data are set up once. Geant4 prints on the standard output too; its text goes to the standard error,
which the job keeps in a file for the report of a crash.
"""

import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from zdc_training.simulator.light import STEP_X, STEP_Y, LightTable
from zdc_training.simulator.primaries import MM_PER_CM, Primary
from zdc_training.simulator.set_up import SetUp


@dataclass(frozen=True)
class Task:
    """One shower to simulate.

    Attributes
    ----------
    row : Its number.
    primary : The particle.
    seed : Seed of Geant4's random engine.
    """

    row: int
    primary: Primary
    seed: int


@dataclass(frozen=True)
class Shower:
    """The expected light of one shower.

    Attributes
    ----------
    row : Its number.
    fibres : Fibres with light, in the order of the flattened image, uint32, shape (lit,).
    rates : Expected photons in them, float32, shape (lit,).
    cpu_seconds : Processor time.
    """

    row: int
    fibres: NDArray[np.uint32]
    rates: NDArray[np.float32]
    cpu_seconds: float


class FibreLight:
    """From the steps of a shower to the expected photons of each fibre."""

    def __init__(self, set_up: SetUp):
        self._table = LightTable(set_up.light)
        self._shape = set_up.calorimeter.shape
        self._half = [MM_PER_CM * half for half in set_up.calorimeter.half_width]

    def rates(self, steps: NDArray[np.float64]) -> NDArray[np.float32]:
        """Expected photons of each fibre, in the order of the flattened image, shape (fibres,).

        Parameters
        ----------
        steps : Columns of `zdc_training.simulator.light`, shape (N, 5).
        """
        cells = [
            np.clip(np.floor((steps[:, column] + half) * (number / (2 * half))), 0, number - 1).astype(np.intp)
            for column, half, number in zip((STEP_X, STEP_Y), self._half, self._shape, strict=True)
        ]
        rows, columns = self._shape
        light = np.bincount(cells[0] * columns + cells[1], self._table.photons(steps), minlength=rows * columns)
        return light.astype(np.float32)


def main() -> None:
    """Work until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the job decides: the shower in work is finished
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    set_up, variables = pickle.load(sys.stdin.buffer)
    os.environ.update(variables)
    _work(set_up, sys.stdin.buffer, answers)
    # Without Geant4's destructors, which crash when Python's objects are gone.
    os._exit(0)


def _work(set_up: SetUp, tasks: IO[bytes], answers: IO[bytes]) -> None:
    from zdc_training.simulator.application import Application

    application, light = Application(set_up), FibreLight(set_up)
    while True:
        try:
            task: Task = pickle.load(tasks)
        except EOFError:
            return
        started = time.process_time()
        rates = light.rates(application.shoot(task.primary, task.seed))
        lit = np.flatnonzero(rates).astype(np.uint32)
        pickle.dump(Shower(task.row, lit, rates[lit], time.process_time() - started), answers)
        answers.flush()


if __name__ == "__main__":
    main()
