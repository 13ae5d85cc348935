"""Single particles at 1, 32 and 256 clients beside other servers: requests per second and latency.

``python tests/load/single_particles.py --help``; `make bench-single` runs it with the shipped model. Every server
computes the same graph and is asked by the same compiled program, in interleaved rounds; those that are not asked
stand still.
"""

import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field

from commands import chosen_model, facts, markdown, one_line_errors, parsed, parser_for, settings_of
from load_generator import Generator, Load, Target
from peers import PEERS, NotRunError, running_peer
from process_tree import ProcessTree, wait_for_answer
from server_process import Served, running_server
from wire import MODEL_INFER, SIMULATE, infer_grpc, infer_http, simulate_grpc, simulate_http
from workload import particles_for
from zdc_detector.card import GRAPH_FILE
from zdc_detector.particles import Particles
from zdc_service.simulation import SimulationRequest

OURS, TRITON = "zdc", "PyTriton"
#: Requests are sent in turns, so that not all of them ask for the same particle.
PARTICLES = 64
WARM_UP = 0.7
WAIT = 60.0
PROTOCOLS = {"http": "HTTP", "grpc": "gRPC"}


@dataclass(frozen=True)
class Contender:
    """A server behind one protocol.

    Attributes
    ----------
    name, protocol : As in the table.
    target : How to ask it.
    tree : Its processes.
    loads : What was measured, by number of clients, one for each round.
    """

    name: str
    protocol: str
    target: Target
    tree: ProcessTree
    loads: dict[int, list[Load]] = field(default_factory=dict)

    def median(self, clients: int, attribute: str) -> float:
        """Of the rounds."""
        return statistics.median(float(getattr(load, attribute)) for load in self.loads[clients])


def main() -> None:
    """Print facts, the table, and which peers could not be run."""
    parser = parser_for(__doc__, seconds=2.0, rounds=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32, 256], help="default: 1 32 256")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="*", default=names, choices=names, help="default: all; none if empty")
    options = parsed(parser)
    with one_line_errors(parser, options.device), ExitStack() as stack:
        settings = settings_of(options)
        model, placement = chosen_model(settings)
        print("\n".join(facts(model, placement)), flush=True)
        print("peers: the same graph on onnxruntime's CPU provider, one thread a session, batches of at most 64")
        generator = Generator()
        everything = particles_for(model.card, PARTICLES)
        particles = [everything[i : i + 1] for i in range(PARTICLES)]
        served = stack.enter_context(running_server(settings))
        contenders = ours(served, model.card.name, particles)
        wait_for_answer(served.tree, served.http, contenders[0].target.requests[0], WAIT)
        served.tree.pause()
        not_run = []
        for peer in PEERS:
            if peer.name not in options.peers:
                continue
            try:
                tree, targets = stack.enter_context(running_peer(peer, model.folder / GRAPH_FILE, particles))
                tree.pause()
                contenders += [Contender(peer.name, PROTOCOLS[each.protocol], each, tree) for each in targets]
            except NotRunError as error:
                not_run.append(f"{peer.name}: not run: {error}")
        measure(generator, contenders, options.clients, options.seconds, options.rounds)
        print(f"medians of {options.rounds} interleaved rounds of {options.seconds:g} s\n")
        print("\n".join(table(contenders, options.clients)))
        print("\n".join(not_run))


def ours(server: Served, model: str, particles: list[Particles]) -> list[Contender]:
    """Our own protocols, dense counts, and the Open Inference Protocol with the requests that PyTriton gets."""
    requests = [SimulationRequest(each) for each in particles]
    http = Target("http", server.http, tuple(map(simulate_http, requests)))
    grpc = Target("grpc", server.grpc, tuple(map(simulate_grpc, requests)), SIMULATE)
    open_http = Target("http", server.http, tuple(infer_http(model, each) for each in particles))
    open_grpc = Target("grpc", server.grpc, tuple(infer_grpc(model, each) for each in particles), MODEL_INFER)
    return [
        Contender(OURS, "HTTP", http, server.tree),
        Contender(f"{OURS}, Open Inference Protocol", "HTTP", open_http, server.tree),
        Contender(OURS, "gRPC", grpc, server.tree),
        Contender(f"{OURS}, Open Inference Protocol", "gRPC", open_grpc, server.tree),
    ]


def measure(generator: Generator, contenders: list[Contender], clients: list[int], seconds: float, rounds: int) -> None:
    """All contenders at all numbers of clients, once a round; says on stderr how far it is."""
    for done in range(rounds):
        for count in clients:
            print(f"round {done + 1} of {rounds}, {count} clients", file=sys.stderr)
            for each in contenders:
                each.tree.resume()
                try:
                    each.loads.setdefault(count, []).append(generator.run(each.target, count, WARM_UP, seconds))
                except RuntimeError as error:
                    raise RuntimeError(f"{each.name} over {each.protocol} with {count} clients: {error}") from error
                finally:
                    each.tree.pause()


def table(contenders: list[Contender], clients: list[int]) -> list[str]:
    """Lines of a Markdown table, and of what errors there were."""
    head = ["server", "protocol", "clients", "requests/s", "lowest..highest", "p50 [ms]", "p99 [ms]", "reply [bytes]"]
    rows, errors = [], []
    for count in clients:
        for protocol in PROTOCOLS.values():
            for each in contenders:
                if each.protocol != protocol:
                    continue
                rates = [load.rate for load in each.loads[count]]
                rows.append(
                    [each.name, protocol, str(count), f"{each.median(count, 'rate'):.0f}"]
                    + [f"{min(rates):.0f}..{max(rates):.0f}"]
                    + [f"{each.median(count, name) * 1e3:.2f}" for name in ("p50", "p99")]
                    + [f"{each.median(count, 'reply_bytes'):.0f}", beside(contenders, each, count)]
                )
                for load in each.loads[count]:
                    errors += [
                        f"{each.name} {protocol}, {count} clients: {n} x {what}" for what, n in load.reasons.items()
                    ]
    return [*markdown([*head, f"of {TRITON}"], rows, 2), *errors]


def beside(contenders: list[Contender], one: Contender, clients: int) -> str:
    """Requests per second over PyTriton's at the same protocol, in the same rounds: the median of the ratios."""
    for other in contenders:
        if (other.name, other.protocol) == (TRITON, one.protocol):
            pairs = zip(one.loads[clients], other.loads[clients], strict=True)
            return f"{statistics.median(a.rate / b.rate if b.rate else float('inf') for a, b in pairs):.2f}"
    return "-"


if __name__ == "__main__":
    main()
