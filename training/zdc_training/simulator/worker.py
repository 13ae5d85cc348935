"""A worker process: takes showers on its standard input and answers on its standard output, with pickled messages.

Geant4 and its data are set up once. Geant4 prints on the standard output too; its text goes to the standard error,
which the job keeps in a file for the report of a crash.
"""

import os
import pickle
import signal
import sys
import time
from typing import IO

import numpy as np

from zdc_training.simulator.light import FibreLight
from zdc_training.simulator.set_up import SetUp
from zdc_training.simulator.tasks import Shower, Task


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
