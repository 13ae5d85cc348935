"""The model that every peer runs. Needs only numpy and onnxruntime: each peer has a separate environment."""

import argparse

import numpy as np
import onnxruntime

MAX_BATCH = 64
NAME = "zdc"
NEUTRON = 2112


def arguments() -> argparse.Namespace:
    """What every peer's ``server.py`` is started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--graph", required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--grpc-port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    return parser.parse_args()


class Graph:
    """One session on one thread; noise is drawn here, as a service would, and the rates are returned as they are.

    A graph that takes the species gets neutrons: peers are spared a second tensor in their requests.
    """

    def __init__(self, path: str):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs = {each.name: each.shape for each in self._session.get_inputs()}
        self.conditions, self.noise = inputs["particles"][1], inputs["noise"][1]
        self.shape = tuple(self._session.get_outputs()[0].shape[1:])
        self._takes_pdg = "pdg" in inputs
        self._rng = np.random.default_rng()

    def rates(self, particles: np.ndarray) -> np.ndarray:
        """Rates, float32 of shape (N, rows, columns), of float32 conditions of shape (N, 9)."""
        noise = self._rng.standard_normal((len(particles), self.noise), dtype=np.float32)
        feeds = {"particles": particles, "noise": noise}
        if self._takes_pdg:
            feeds["pdg"] = np.full(len(particles), NEUTRON, dtype=np.int64)
        rates: np.ndarray = self._session.run(["response"], feeds)[0]
        return rates
