"""Responses per second of requests of 1000 particles: every protocol beside raw onnxruntime, in one run.

``python tests/load/throughput.py --help``; `make bench` runs it with the shipped model.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import numpy as np
from in_process import onnxruntime_alone, simulator_call
from machine import machine, versions
from measuring import Result, Way, interleaved
from protocols import TIMEOUT, grpc_call, http_call
from server_process import running_server
from workload import particles_for
from zdc_detector.errors import ConfigError, ZdcError
from zdc_service.allocator import keep_large_buffers
from zdc_service.client import ClientOptions
from zdc_service.codecs import JSON, NPZ, RAW
from zdc_service.engine import Engine
from zdc_service.model_store import find_models
from zdc_service.settings import EngineSettings
from zdc_service.simulation import Output, SimulationRequest
from zdc_service.simulator import Simulator

PARTICLES = 1000
IN_FLIGHT = ClientOptions().in_flight
OUTPUTS = (Output.RESPONSE, Output.HITS)
#: An octet stream carries one array, and hits are three.
MEDIA_TYPES = {"HTTP octet-stream": (RAW, OUTPUTS[:1]), "HTTP npz": (NPZ, OUTPUTS), "HTTP JSON": (JSON, OUTPUTS)}


def main() -> None:
    """Print facts and table; one line "not run" where CUDA is asked for and cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=Path, help="folder of models; default: the shipped ones")
    parser.add_argument("--model", help="name of the model; default: the folder's only one, or the shipped one")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="cpu", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5.0, help="of one measurement; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way; default: %(default)s")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds} must be at least 1")
    keep_large_buffers()  # as the service does
    settings = EngineSettings(models=options.models, default_model=options.model, device=options.device)
    try:
        with prepared(settings) as (facts, ways):
            print("\n".join(facts), flush=True)
            results = interleaved(ways, options.seconds, options.rounds)
        print(f"medians of {options.rounds} interleaved rounds of {options.seconds:g} s a way\n")
        print("\n".join(table(results)))
    except ConfigError as error:
        if options.device != "cuda":
            parser.error(str(error))
        print(f"not run: {error}")
    except ZdcError as error:
        parser.error(str(error))


@contextmanager
def prepared(settings: EngineSettings) -> Iterator[tuple[list[str], list[Way]]]:
    """Facts about what is measured, and the ways to measure, onnxruntime alone first."""
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(settings))
        engine = simulator.repository.get()
        request = SimulationRequest(particles_for(engine.card, PARTICLES), seed=1)
        requests = {output: replace(request, output=output) for output in OUTPUTS}
        server = stack.enter_context(running_server(settings))
        limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
        client = stack.enter_context(httpx.Client(base_url=server.http, timeout=TIMEOUT, limits=limits))
        channel = stack.enter_context(grpc.insecure_channel(server.grpc))
        stored = next(model for model in find_models(settings.models) if model.card == engine.card)
        alone = onnxruntime_alone(stored, engine.provider, request, engine.max_batch_rows)
        ways = [Way("onnxruntime alone", "rates", alone, settings.threads)]
        ways += [Way("in process", o, simulator_call(simulator, requests[o]), IN_FLIGHT) for o in OUTPUTS]
        for name, (media_type, outputs) in MEDIA_TYPES.items():
            ways += [Way(name, o, http_call(client, requests[o], media_type), IN_FLIGHT) for o in outputs]
        ways += [Way("gRPC stream", o, grpc_call(channel, requests[o]), IN_FLIGHT) for o in OUTPUTS]
        yield facts(engine, simulator, requests[Output.HITS]), ways


def facts(engine: Engine, simulator: Simulator, request: SimulationRequest) -> list[str]:
    """Lines that say what the figures hold for."""
    card, hits = engine.card, simulator.simulate(request).hits
    lit = np.diff(hits.offsets).mean() if hits is not None else 0.0
    return [
        f"machine: {machine()}",
        f"versions: {versions()}",
        f"model: {card.name} version {card.version} on {engine.provider}, {card.flops_per_response / 1e6:.2f} MFLOP a "
        f"response, {lit:.0f} of {card.calorimeter.fibres} fibres lit on average",
        f"requests: {PARTICLES} particles, {IN_FLIGHT} in flight; clients are bare httpx and grpc on the same cores",
    ]


def table(results: list[Result]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        f"| {'way':17} | {'output':8} | responses/s | lowest..highest | of onnxruntime |",
        f"| {'-' * 17} | {'-' * 8} | {'-' * 10}: | {'-' * 14}: | {'-' * 13}: |",
    ]
    for result in results:
        way, spread = result.way, f"{min(result.rates):.0f}..{max(result.rates):.0f}"
        lines.append(f"| {way.name:17} | {way.output:8} | {result.rate:11.0f} | {spread:>15} | {result.share:14.1%} |")
    return lines


if __name__ == "__main__":
    main()
