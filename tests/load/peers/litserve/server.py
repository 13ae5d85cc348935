"""LitServe: JSON in, raw float32 out, batching in worker processes."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "common"))

import litserve
import numpy as np
from fastapi import Response
from graph import MAX_BATCH, Graph, arguments


class Api(litserve.LitAPI):
    """One batch of requests through the graph."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        self.graph = Graph(os.environ["ZDC_GRAPH"])

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["particles"][0], dtype=np.float32)

    def batch(self, inputs: list) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, particles: np.ndarray) -> np.ndarray:
        return self.graph.rates(particles)

    def unbatch(self, rates: np.ndarray) -> list:
        return list(rates)

    def encode_response(self, rates: np.ndarray) -> Response:
        return Response(rates.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    options = arguments()
    os.environ["ZDC_GRAPH"] = options.graph
    # Of 0, 1 and 5 ms and of its two queues, these gave the most requests per second.
    api = Api(max_batch_size=MAX_BATCH, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=options.workers, fast_queue=True)
    server.run(host="127.0.0.1", port=options.http_port, log_level="warning", generate_client_file=False)
