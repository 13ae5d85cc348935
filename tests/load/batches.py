"""Batches of 256 particles over each protocol, compared with onnxruntime alone: responses per second, processor time.

``python tests/load/batches.py --help``; `make bench` runs it with the shipped model, then with a small one.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import grpc
import httpx
import numpy as np
from commands import chosen_model, facts, markdown
from in_process import onnxruntime_alone, simulator_call
from load_generator import Generator, Target
from measuring import Result, Way, closed_loop
from protocols import TIMEOUT, compiled, grpc_stream, http_binary, http_json
from server_process import running_server
from two_models import Prepared, measure_two_models
from wire import SIMULATE_STREAM, simulate_grpc, simulate_http
from workload import particles_for
from zdc_service.codecs import NPZ, RAW
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest

OUTPUTS = (Output.RESPONSE, Output.HITS)
COMPILED, PYTHON = "compiled", "Python"


def main() -> None:
    """Run the benchmark."""
    measure_two_models(__doc__, 5.0, "responses per second", prepared, table)


@contextmanager
def prepared(settings: EngineSettings, particles: int, in_flight: int) -> Iterator[Prepared]:
    """Lines about model and machine, the ways to measure (first onnxruntime alone), and the server."""
    model, placement = chosen_model(settings)
    request = SimulationRequest(particles_for(model.card, particles), seed=1)
    requests = {output: replace(request, output=output) for output in OUTPUTS}
    with ExitStack() as stack:
        generator = Generator()
        simulator = stack.enter_context(Simulator(settings))
        server = stack.enter_context(running_server(settings))
        limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        http = stack.enter_context(httpx.Client(base_url=f"http://{server.http}", timeout=TIMEOUT, limits=limits))
        unlimited = [("grpc.max_receive_message_length", -1)]
        channel = stack.enter_context(grpc.insecure_channel(server.grpc, options=unlimited))
        alone = onnxruntime_alone(model, placement, request)
        ways = [Way("onnxruntime alone", "", "rates", closed_loop(alone, settings.threads))]
        for output, each in requests.items():
            raw = Target("http", server.http, (simulate_http(each),))
            stream = Target("grpc-stream", server.grpc, (simulate_grpc(each),), SIMULATE_STREAM)
            ways += [
                Way("in process", "", output, closed_loop(simulator_call(simulator, each), in_flight)),
                Way("HTTP octet-stream", COMPILED, output, compiled(generator, raw, in_flight, particles)),
                Way("gRPC stream", COMPILED, output, compiled(generator, stream, in_flight, particles)),
                Way("HTTP octet-stream", PYTHON, output, closed_loop(http_binary(http, each, RAW), in_flight)),
                Way("HTTP npz", PYTHON, output, closed_loop(http_binary(http, each, NPZ), in_flight)),
                Way("gRPC stream", PYTHON, output, grpc_stream(channel, each, in_flight)),
                Way("HTTP JSON", PYTHON, output, closed_loop(http_json(http, each), in_flight)),
            ]
        lines = [
            *facts(model, placement),
            f"{lit_fibres(simulator, requests[Output.HITS]):.0f} of {model.card.calorimeter.fibres} fibres lit on "
            f"average; onnxruntime alone: {settings.threads} threads, batches of {placement.max_batch_rows}",
            f"requests: {particles} particles, {in_flight} in flight; server and client share the cores",
        ]
        yield lines, ways, server.tree


def lit_fibres(simulator: Simulator, request: SimulationRequest) -> float:
    """Number of hits in the mean response."""
    hits = simulator.simulate(request).hits
    return float(np.diff(hits.offsets).mean()) if hits is not None else 0.0


def table(results: list[Result]) -> list[str]:
    """Lines of a Markdown table."""
    head = ["way", "client", "output", "responses/s", "lowest..highest", "of onnxruntime", "CPU server [us]", "client"]
    rows = []
    for result in results:
        way, rates = result.way, result.rates
        server = f"{result.server_microseconds:.1f}" if way.client else "-"
        share = result.median(lambda measured: measured.share)
        cells = [f"{np.median(rates):.0f}", f"{min(rates):.0f}..{max(rates):.0f}", f"{share:.1%}", server]
        rows.append([way.name, way.client, way.output, *cells, f"{result.client_microseconds:.1f}"])
    return markdown(head, rows, 3)


if __name__ == "__main__":
    main()
