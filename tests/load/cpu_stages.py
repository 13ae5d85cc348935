"""Processor time of a response by stage, from the request's bytes to the client's.

``python tests/load/cpu_stages.py --help``; `make bench-cpu` runs it with the shipped model, then with a small one.
Each stage is measured separately, in this process, with as many threads as the server has; server and clients are
separate processes. The difference between the server's time and its stages is transport: event loop, HTTP or gRPC,
queues, locks.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
from commands import chosen_model, facts, markdown
from in_process import onnxruntime_alone, simulator_call
from load_generator import Generator, Target
from measuring import Result, Way, closed_loop
from protocols import compiled, library
from server_process import running_server
from two_models import Prepared, measure_two_models
from wire import SIMULATE_STREAM, rows_of, simulate_grpc, simulate_http, simulate_path
from workload import particles_for
from zdc_detector.finish import finish_and_sum
from zdc_detector.hits import to_hits
from zdc_detector.random import block_keys, normals_of
from zdc_service.codecs import RAW, Form, encode
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.serving.http.binary import parse_binary
from zdc_service.serving.rpc.convert import read_request, write_response
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest

OUTPUTS = (Output.RESPONSE, Output.HITS)
HTTP, GRPC = "HTTP octet-stream", "gRPC stream"
#: Stages of every batch, whatever the output.
STAGES = ("noise", "graph", "finish, sums")
READ, SPARSE, WRITE, INSIDE, SERVER, LIBRARY = "parse, check", "hits", "encode", "in process", "server", "library"

Call = Callable[[], int]


def main() -> None:
    """Run the benchmark."""
    measure_two_models(__doc__, 2.0, "microseconds of CPU a response", prepared, table)


@contextmanager
def prepared(settings: EngineSettings, particles: int, in_flight: int) -> Iterator[Prepared]:
    """Lines about model and machine, each stage as a way, and the server."""
    model, placement = chosen_model(settings)
    request = SimulationRequest(particles_for(model.card, particles), seed=1)
    with ExitStack() as stack:
        generator = Generator()
        simulator = stack.enter_context(Simulator(settings))
        server = stack.enter_context(running_server(settings))

        def stage(name: str, call: Call, protocol: str = "", output: str = "") -> Way:
            return Way(name, protocol, output, closed_loop(call, settings.threads))

        ways = [
            stage("graph", onnxruntime_alone(model, placement, request)),
            stage("noise", noise(simulator, request)),
            stage("finish, sums", finish(simulator, request)),
            stage(SPARSE, sparse(simulator, request), output=Output.HITS),
        ]
        for output in OUTPUTS:
            each = replace(request, output=output)
            ways.append(Way(INSIDE, "", output, closed_loop(simulator_call(simulator, each), in_flight)))
            targets = {
                HTTP: Target("http", server.http, (simulate_http(each),)),
                GRPC: Target("grpc-stream", server.grpc, (simulate_grpc(each),), SIMULATE_STREAM),
            }
            urls = {HTTP: f"http://{server.http}", GRPC: f"grpc://{server.grpc}"}
            for protocol, target in targets.items():
                ways += [
                    stage(READ, reading(simulator, each, protocol), protocol, output),
                    stage(WRITE, writing(simulator, each, protocol), protocol, output),
                    Way(SERVER, protocol, output, compiled(generator, target, in_flight, particles)),
                    Way(LIBRARY, protocol, output, stack.enter_context(library(urls[protocol], each))),
                ]
        lines = [
            *facts(model, placement),
            f"requests: {particles} particles, {in_flight} in flight; batches of {placement.max_batch_rows} rows",
        ]
        yield lines, ways, server.tree


def noise(simulator: Simulator, request: SimulationRequest) -> Call:
    """The noise of one batch."""
    engine = simulator.repository.get()
    keys = block_keys(1, 0, min(engine.max_batch_rows, len(request.particles)))
    return lambda: len(normals_of(*keys, engine.card.noise.dimension))


def finish(simulator: Simulator, request: SimulationRequest) -> Call:
    """Counts and their sums from the rates of one batch."""
    engine = simulator.repository.get()
    rates = simulator.simulate(replace(request, rates=True)).response
    if rates is None:
        raise RuntimeError("the result has no dense response")
    batch = rates[: engine.max_batch_rows].astype(np.float32)
    keys = block_keys(1, 0, len(batch))
    return lambda: len(finish_and_sum(batch, engine.card.finish, *keys, engine.card.calorimeter)[0])


def sparse(simulator: Simulator, request: SimulationRequest) -> Call:
    """The hits of one batch."""
    images = simulator.simulate(request).response
    if images is None:
        raise RuntimeError("the result has no dense response")
    batch = images[: simulator.repository.get().max_batch_rows]
    return lambda: len(to_hits(batch).offsets) - 1


def reading(simulator: Simulator, request: SimulationRequest, protocol: str) -> Call:
    """From bytes to a checked request."""
    rows = len(request.particles)
    if protocol == GRPC:
        message = simulate_grpc(request)
        return lambda: rows if simulator.plan(read_request(pb.SimulateRequest.FromString(message), rows)) else 0
    query, body = simulate_path(request).partition("?")[2], rows_of(request.particles)
    return lambda: rows if simulator.plan(parse_binary(RAW, query, body, rows)) else 0


def writing(simulator: Simulator, request: SimulationRequest, protocol: str) -> Call:
    """From a result to bytes."""
    result, rows = simulator.simulate(request), len(request.particles)
    if protocol == GRPC:
        return lambda: rows if write_response(result, True) else 0
    form = Form(RAW)
    return lambda: rows if encode(result, form) else 0


def table(results: list[Result]) -> list[str]:
    """Lines of a Markdown table: stages, the transport of the server, and clients."""
    ours = {(each.way.name, each.way.client, each.way.output): each.client_microseconds for each in results}
    servers = {
        (each.way.client, each.way.output): each.server_microseconds for each in results if each.way.name == SERVER
    }
    columns = []
    for (protocol, output), server in servers.items():
        column = {name: ours[name, "", ""] for name in STAGES}
        column[SPARSE] = ours[SPARSE, "", output] if output == Output.HITS else 0.0
        column[READ] = ours[READ, protocol, output]
        column[WRITE] = ours[WRITE, protocol, output]
        column["transport and the rest"] = server - sum(column.values())
        column["**server**"] = server
        column["server beyond the graph"] = server - column["graph"]
        column["(simulator in process, beyond the graph)"] = ours[INSIDE, "", output] - column["graph"]
        column["client, compiled"] = ours[SERVER, protocol, output]
        column["client, `zdc_service.client`"] = ours[LIBRARY, protocol, output]
        columns.append(column)
    head = ["stage", *(f"{protocol}, {output}" for protocol, output in servers)]
    return markdown(head, [[name, *(f"{column[name]:.2f}" for column in columns)] for name in columns[0]], 1)


if __name__ == "__main__":
    main()
