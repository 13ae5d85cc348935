"""An engine that a test can stop."""

import threading

import numpy as np
from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import StoredModel
from zdc_service.telemetry.statistics import Statistics


class GatedEngine(Engine):
    """A real engine that waits at a gate before each run, so that a test decides what is queued meanwhile.

    Attributes
    ----------
    gate : Open unless a test has closed it.
    batches : Rows of each run.
    threads : `threading.get_ident` of each run.
    """

    def __init__(self, model: StoredModel):
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(model)
        self.fresh()

    def fresh(self) -> None:
        """Clear the records, and open a new gate."""
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.threads: list[int] = []
        self.statistics = Statistics()

    def run(self, conditions: np.ndarray, noise: np.ndarray, pdg: np.ndarray) -> np.ndarray:
        if hasattr(self, "batches"):
            self.batches.append(len(conditions))
            self.threads.append(threading.get_ident())
        assert self.gate.wait(30)
        return super().run(conditions, noise, pdg)
