"""Single particles with 1, 32 and 256 clients, compared with other servers: requests per second and latency.

``python tests/load/single_particles.py --help``; `make bench-single` runs it with the shipped model. All servers
run the same graph, and the same compiled program sends the requests. A round starts one server after the other, and
only one runs at a time: idle servers that poll would take processor time from the measured one.
"""

import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial

from commands import chosen_model, facts, markdown, one_line_errors, parsed, parser_for, settings_of
from load_generator import Generator, Load, Target
from peers import PEERS, NotRunError, running_peer
from process_tree import wait_for_answer
from server_process import running_server
from wire import MODEL_INFER, SIMULATE, SIMULATE_STREAM, infer_grpc, infer_http, simulate_grpc, simulate_http
from workload import particles_for
from zdc_detector.card import GRAPH_FILE, ModelCard
from zdc_detector.particles import Particles
from zdc_service.settings import EngineSettings
from zdc_service.simulation import SimulationRequest

OURS, STREAM, TRITON, OPEN = "zdc", "zdc, in one stream", "PyTriton", "zdc, Open Inference Protocol"
PROTOCOLS = {"http": "HTTP", "grpc": "gRPC", "grpc-stream": "gRPC"}
#: Number of different requests, which are sent in turn, so that not all have the same particle.
PARTICLES = 64
WARM_UP = 0.7
WAIT = 60.0

Targets = list[tuple[str, Target]]
Start = Callable[[], AbstractContextManager[Targets]]


@dataclass(frozen=True)
class Cell:
    """Measurements of one server over one protocol with a number of clients; one load per round."""

    name: str
    protocol: str
    clients: int
    loads: list[Load] = field(default_factory=list)

    def median(self, figure: Callable[[Load], float]) -> float:
        """Median over the rounds."""
        return statistics.median(map(figure, self.loads))


def main() -> None:
    """Print facts, the table, and which peers could not be run."""
    parser = parser_for(__doc__, seconds=2.0, rounds=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32, 256], help="default: 1 32 256")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="*", default=names, choices=names, help="default: all; none if empty")
    options = parsed(parser)
    with one_line_errors(parser, options.device):
        settings = settings_of(options)
        model, placement = chosen_model(settings)
        print("\n".join(facts(model, placement)), flush=True)
        print("peers: the same graph on onnxruntime's CPU provider, one thread a session, batches of at most 64")
        everything = particles_for(model.card, PARTICLES)
        particles = [everything[i : i + 1] for i in range(PARTICLES)]
        starts: dict[str, Start] = {OURS: partial(ours, settings, model.card, particles)}
        for peer in PEERS:
            if peer.name in options.peers:
                starts[peer.name] = partial(running_peer, peer, model.folder / GRAPH_FILE, particles)
        cells, not_run = measure(starts, options.clients, options.seconds, options.rounds)
        print(f"medians of {options.rounds} interleaved rounds of {options.seconds:g} s\n")
        print("\n".join([*table(cells, options.clients), *not_run]))


@contextmanager
def ours(settings: EngineSettings, card: ModelCard, particles: list[Particles]) -> Iterator[Targets]:
    """Our own protocols, dense counts, and the Open Inference Protocol with requests like those that PyTriton gets.

    One stream replaces all clients: it has as many requests in flight.
    """
    with running_server(settings) as server:
        requests = [SimulationRequest(each) for each in particles]
        http = Target("http", server.http, tuple(map(simulate_http, requests)))
        messages = tuple(map(simulate_grpc, requests))
        grpc = Target("grpc", server.grpc, messages, SIMULATE)
        stream = Target("grpc-stream", server.grpc, messages, SIMULATE_STREAM)
        open_http = Target(
            "http", server.http, tuple(infer_http(card.name, each, card.takes_pdg) for each in particles)
        )
        open_grpc = Target(
            "grpc", server.grpc, tuple(infer_grpc(card.name, each, card.takes_pdg) for each in particles), MODEL_INFER
        )
        wait_for_answer(server.tree, server.http, http.requests[0], WAIT)
        yield [(OURS, http), (OURS, grpc), (STREAM, stream), (OPEN, open_http), (OPEN, open_grpc)]


def measure(starts: dict[str, Start], clients: list[int], seconds: float, rounds: int) -> tuple[list[Cell], list[str]]:
    """All measurements, and a line for each server that could not be run. Prints progress on stderr."""
    generator = Generator()
    cells: dict[tuple[str, str, int], Cell] = {}
    not_run: dict[str, str] = {}
    for done in range(rounds):
        for server, start in starts.items():
            if server in not_run:
                continue
            print(f"round {done + 1} of {rounds}: {server}", file=sys.stderr)
            try:
                with start() as targets:
                    for count in clients:
                        for name, target in targets:
                            key = (name, PROTOCOLS[target.protocol], count)
                            load = generator.run(target, count, WARM_UP, seconds)
                            cells.setdefault(key, Cell(*key)).loads.append(load)
            except NotRunError as error:
                not_run[server] = f"{server}: not run: {error}"
    return list(cells.values()), list(not_run.values())


def table(cells: list[Cell], clients: list[int]) -> list[str]:
    """Lines of a Markdown table, and of the errors."""
    head = ["server", "protocol", "clients", "requests/s", "lowest..highest", "p50 [ms]", "p99 [ms]", "reply [bytes]"]
    rows, errors = [], []
    for count in clients:
        for protocol in dict.fromkeys(PROTOCOLS.values()):
            for cell in cells:
                if (cell.clients, cell.protocol) != (count, protocol):
                    continue
                rates = [load.rate for load in cell.loads]
                figures = [
                    f"{cell.median(lambda load: load.rate):.0f}",
                    f"{min(rates):.0f}..{max(rates):.0f}",
                    f"{cell.median(lambda load: load.p50) * 1e3:.2f}",
                    f"{cell.median(lambda load: load.p99) * 1e3:.2f}",
                    f"{cell.median(lambda load: load.reply_bytes):.0f}",
                    beside(cells, cell),
                ]
                rows.append([cell.name, protocol, str(count), *figures])
                for load in cell.loads:
                    errors += [
                        f"{cell.name} {protocol}, {count} clients: {n} x {why}" for why, n in load.reasons.items()
                    ]
    return [*markdown([*head, f"of {TRITON}"], rows, 2), *errors]


def beside(cells: list[Cell], one: Cell) -> str:
    """Median over the rounds of the ratio to PyTriton's requests per second over the same protocol."""
    for other in cells:
        if (other.name, other.protocol, other.clients) == (TRITON, one.protocol, one.clients):
            pairs = zip(one.loads, other.loads, strict=True)
            return f"{statistics.median(a.rate / b.rate if b.rate else float('inf') for a, b in pairs):.2f}"
    return "-"


if __name__ == "__main__":
    main()
