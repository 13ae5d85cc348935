"""BentoML: JSON in, base64 in JSON out, adaptive batching in worker processes.

Its main server splits batches into arrays or lists only: numbers as text would cost it more than base64 does.
"""

import base64
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "common"))

import bentoml
import numpy as np
from graph import MAX_BATCH, Graph, arguments


@bentoml.service(workers=int(os.environ.get("ZDC_WORKERS", "1")), logging={"access": {"enabled": False}})
class Zdc:
    """The graph behind an adaptive batcher."""

    def __init__(self) -> None:
        self.graph = Graph(os.environ["ZDC_GRAPH"])

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, route="/infer")
    def infer(self, particles: np.ndarray) -> list[str]:
        return [base64.b64encode(rates).decode() for rates in self.graph.rates(particles.astype(np.float32))]


if __name__ == "__main__":
    options = arguments()
    os.environ |= {"ZDC_GRAPH": options.graph, "ZDC_WORKERS": str(options.workers)}
    here = str(Path(__file__).parent)
    serve = [sys.executable, "-m", "bentoml", "serve", "server:Zdc", "--working-dir", here]
    os.execv(sys.executable, [*serve, "--host", "127.0.0.1", "--port", str(options.http_port)])
