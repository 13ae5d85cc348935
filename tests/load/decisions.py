"""Times behind the decisions in docs/architecture.md: each chosen way compared with its alternatives.

``python tests/load/decisions.py`` prints one table. The ways of one decision are measured alternately, and the shortest
round counts, so other work on the machine has little effect. Read the figures as ratios.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from commands import chosen_model, facts, markdown, one_line_errors, parsed, parser_for, settings_of
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter
from workload import particles_for
from zdc_detector.card import ModelCard
from zdc_detector.finish import Finish, finish_and_sum
from zdc_detector.particles import CONDITIONS
from zdc_detector.random import block_keys
from zdc_service.codecs import JSON, NPY, RAW, Form, encode
from zdc_service.engine.model_store import StoredModel
from zdc_service.engine.providers import CPU
from zdc_service.serving.http.binary import parse_binary
from zdc_service.serving.http.schema import parse_request
from zdc_service.serving.rpc.convert import write_response
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest, SimulationResult

#: Responses of an encoded answer; particles of a parsed request; rows of a batch.
ANSWER, REQUEST, BATCH = 256, 1000, 64
COLUMNS = ("px", "py", "pz", "vx", "vy", "vz")

Call = Callable[[], object]


@dataclass(frozen=True)
class Decision:
    """One choice among ways to the same result.

    Attributes
    ----------
    name : Name in the table.
    ways : Functions to measure, by name; the project uses the first.
    per : Responses or particles per call.
    clock : Processor time, or real time if several threads compute.
    """

    name: str
    ways: Mapping[str, Call]
    per: int
    clock: Callable[[], float] = time.process_time


class OneParticle(BaseModel):
    """A particle as one object."""

    pdg: int
    px: float
    py: float
    pz: float
    vx: float
    vy: float
    vz: float


def main() -> None:
    """Run the benchmark."""
    parser = parser_for(__doc__, seconds=0.3, rounds=7)
    options = parsed(parser)
    with one_line_errors(parser, options.device):
        settings = settings_of(options)
        print("\n".join(facts(*chosen_model(settings))), end="\n\n")
        rows = []
        for decision in decisions(settings):
            times = measured(decision, options.rounds, options.seconds)
            chosen = next(iter(times.values()))
            for way, seconds in times.items():
                rows.append([decision.name, way, f"{1e6 * seconds / decision.per:.3g}", f"{seconds / chosen:.1f}"])
        print("\n".join(markdown(["decision", "way", "time [us]", "of the chosen way"], rows, text_columns=2)))


def measured(decision: Decision, rounds: int, seconds: float) -> dict[str, float]:
    """Time of one call of each way [s]: that of the shortest round; a round calls each way for `seconds`."""
    shortest = dict.fromkeys(decision.ways, np.inf)
    for call in decision.ways.values():
        call()
    for _ in range(rounds):
        for name, call in decision.ways.items():
            began, calls, until = decision.clock(), 0, time.monotonic() + seconds
            while time.monotonic() < until or not calls:
                call()
                calls += 1
            shortest[name] = min(shortest[name], (decision.clock() - began) / calls)
    return shortest


def decisions(settings: EngineSettings) -> Iterator[Decision]:
    """All decisions, measured with one model."""
    model, _ = chosen_model(settings)
    particles = particles_for(model.card, REQUEST)
    with Simulator(settings) as simulator:
        result = simulator.simulate(SimulationRequest(particles[:ANSWER], seed=1))
        rates = simulator.simulate(SimulationRequest(particles[:ANSWER], seed=1, rates=True)).response
    assert rates is not None
    yield Decision("the graph of a response, on two threads", threads(model), 2 * BATCH, time.perf_counter)
    yield Decision("photon counts and sums of a response", finishes(model.card, rates), ANSWER)
    yield Decision("a response in an HTTP answer", bodies(result), ANSWER)
    yield Decision("a response in a gRPC answer", messages(result), ANSWER)
    places = [CONDITIONS.index(name) for name in COLUMNS]
    rows = np.column_stack([particles.pdg, particles.conditions[:, places]]).astype("<f4")
    yield Decision("a particle of a request, read and checked", requests(rows), REQUEST)


def threads(model: StoredModel) -> Mapping[str, Call]:
    """Two batches at the same time, each on one thread, and two batches in turn, each on two threads."""
    particles = particles_for(model.card, BATCH).toward_a()
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((BATCH, model.card.noise.dimension)).astype(np.float32)
    feeds: dict[str, NDArray[np.generic]] = {"particles": particles.conditions, "noise": noise}
    if model.card.takes_pdg:
        feeds["pdg"] = particles.pdg

    def session(threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(model.graph, options, providers=[CPU])

    one, two, pool = session(1), session(2), ThreadPoolExecutor(2)

    def together() -> None:
        for done in [pool.submit(one.run, None, feeds) for _ in range(2)]:
            done.result()

    def in_turn() -> None:
        for _ in range(2):
            two.run(None, feeds)

    return {"two batches together, one thread each": together, "two batches in turn, two threads each": in_turn}


def finishes(card: ModelCard, rates: NDArray[np.float32]) -> Mapping[str, Call]:
    """Poisson counts by this project's compiled function, and by numpy's generator (not the same in all versions)."""
    rng, index = np.random.default_rng(1), card.calorimeter.channel_of_fibre
    masks = (index[:, None] == np.arange(len(card.calorimeter.channel_names))).astype(np.float32)
    keys = block_keys(1, 0, len(rates))

    def numpys() -> object:
        images = rng.poisson(rates).astype(np.uint16)
        return images.reshape(len(images), -1).astype(np.float32) @ masks

    return {
        "compiled, keyed by seed and row": lambda: finish_and_sum(rates, Finish.POISSON, *keys, card.calorimeter),
        "numpy's generator, and a matrix product": numpys,
    }


def bodies(result: SimulationResult) -> Mapping[str, Call]:
    """The encoded answer as an array and as text."""
    return {
        "array (npy)": lambda: encode(result, Form(NPY)).body,
        "lists (JSON)": lambda: encode(result, Form(JSON)).body,
    }


def messages(result: SimulationResult) -> Mapping[str, Call]:
    """The serialized gRPC answer, and an alternative with one number per fibre."""
    response = result.response
    assert response is not None
    photons = response.reshape(-1).astype(np.float32).tolist()
    file = descriptor_pb2.FileDescriptorProto(name="decisions.proto", syntax="proto3")
    message = file.message_type.add(name="Floats")
    message.field.add(name="numbers", number=1, label=3, type=2)  # repeated float: a number for each fibre
    message.field.add(name="data", number=2, label=1, type=12)  # bytes
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("Floats"))
    return {
        "bytes of the array behind a header": lambda: write_response(result, last=True),
        "a message with bytes": lambda: kind(data=response.tobytes()).SerializeToString(),
        "a message with repeated float": lambda: kind(numbers=photons).SerializeToString(),
    }


def requests(rows: NDArray[np.float32]) -> Mapping[str, Call]:
    """Rows of float32, columns of JSON, and a list of objects of JSON."""
    names = ("pdg", *COLUMNS)
    columns = {name: rows[:, i].tolist() for i, name in enumerate(names)}
    columns["pdg"] = [int(code) for code in columns["pdg"]]
    objects = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    raw, as_columns = rows.tobytes(), json.dumps({"particles": columns}).encode()
    as_objects, adapter = json.dumps(objects).encode(), TypeAdapter(list[OneParticle])
    return {
        "rows of float32": lambda: parse_binary(RAW, "", raw, REQUEST),
        "columns of JSON": lambda: parse_request(as_columns, REQUEST),
        "a pydantic model for each": lambda: adapter.validate_json(as_objects),
    }


if __name__ == "__main__":
    main()
