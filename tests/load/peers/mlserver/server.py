"""MLServer: Open Inference Protocol, JSON over HTTP and raw tensors over gRPC, parallel workers."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "common"))

from graph import MAX_BATCH, NAME, Graph, arguments
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse


class Zdc(MLModel):
    """The graph behind an adaptive batcher."""

    async def load(self) -> bool:
        self.graph = Graph(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rates = self.graph.rates(NumpyCodec.decode_input(payload.inputs[0]))
        output = NumpyCodec.encode_output("response", rates)
        return InferenceResponse(model_name=NAME, outputs=[output])


async def main() -> None:
    """Serve until terminated."""
    options = arguments()
    settings = Settings(
        host="127.0.0.1",
        http_port=options.http_port,
        grpc_port=options.grpc_port,
        metrics_endpoint=None,
        parallel_workers=options.workers,
        debug=False,
    )
    model = ModelSettings(
        name=NAME,
        implementation=Zdc,
        max_batch_size=MAX_BATCH,
        max_batch_time=0.001,  # it makes batches only if it is allowed to wait
        parameters=ModelParameters(uri=options.graph),
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
