"""PyTriton: Triton's own HTTP and gRPC front end, batching in Triton, Python instances."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "common"))

import numpy as np
from graph import MAX_BATCH, NAME, Graph, arguments
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def instance(path: str):
    """An inference function with its own session."""
    graph = Graph(path)

    @batch
    def infer(particles: np.ndarray) -> dict[str, np.ndarray]:
        return {"response": graph.rates(particles)}

    return infer


def main() -> None:
    """Serve until terminated."""
    options = arguments()
    graph = Graph(options.graph)
    config = TritonConfig(
        http_address="127.0.0.1",
        grpc_address="127.0.0.1",
        http_port=options.http_port,
        grpc_port=options.grpc_port,
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=NAME,
            infer_func=[instance(options.graph) for _ in range(options.workers)],
            inputs=[Tensor(name="particles", dtype=np.float32, shape=(graph.conditions,))],
            outputs=[Tensor(name="response", dtype=np.float32, shape=graph.shape)],
            config=ModelConfig(batching=True, max_batch_size=MAX_BATCH, batcher=DynamicBatcher()),
        )
        triton.serve()


if __name__ == "__main__":
    main()
