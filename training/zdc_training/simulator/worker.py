"""A worker process: takes showers on its standard input and answers on its standard output, with pickled messages.

Geant4 and its data are set up once. Geant4 prints on the standard output too; its text goes to the standard error,
which the job keeps in a file for the report of a crash.
"""

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from typing import IO

import numpy as np
from numpy.typing import NDArray

from zdc_training.simulator.light import FibreLight
from zdc_training.simulator.set_up import SetUp
from zdc_training.simulator.tasks import Shower, Task

#: Makes the answer of a task: its steps in fibres, and the processor time at its begin.
Answer = Callable[[Task, NDArray[np.float64], float], Shower]


def serve(answer_of: Callable[[SetUp], Answer]) -> None:
    """Work until the standard input ends, then end the process.

    Parameters
    ----------
    answer_of : Makes the function that answers, for a set-up.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the job decides: the shower in work is finished
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    set_up, variables = pickle.load(sys.stdin.buffer)
    os.environ.update(variables)
    _work(set_up, answer_of(set_up), sys.stdin.buffer, answers)
    # Without Geant4's destructors, which crash when Python's objects are gone.
    os._exit(0)


def _work(set_up: SetUp, answer: Answer, tasks: IO[bytes], answers: IO[bytes]) -> None:
    from zdc_training.simulator.application import Application

    application = Application(set_up)
    while True:
        try:
            task: Task = pickle.load(tasks)
        except EOFError:
            return
        started = time.process_time()
        pickle.dump(answer(task, application.shoot(task.primary, task.seed), started), answers)
        answers.flush()


def shower_of(set_up: SetUp) -> Answer:
    """The answer of a job's workers: the expected light of each fibre."""
    light = FibreLight(set_up)

    def answer(task: Task, steps: NDArray[np.float64], started: float) -> Shower:
        rates = light.rates(steps)
        lit = np.flatnonzero(rates).astype(np.uint32)
        return Shower(task.row, lit, rates[lit], time.process_time() - started)

    return answer


if __name__ == "__main__":
    serve(shower_of)
