"""Throughput of several ways to the same answers, in interleaved rounds, and the processor time that they take."""

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One measurement of one way.

    Attributes
    ----------
    rows : Responses that came back.
    seconds : From the first request to the last answer.
    client_cpu : Processor time of whoever asked [s]; in process, of everything.
    """

    rows: int
    seconds: float
    client_cpu: float


@dataclass(frozen=True)
class Way:
    """One way to responses.

    Attributes
    ----------
    name, client, output : As in the table: protocol, who asks, and what for.
    run : Asks for that many seconds.
    """

    name: str
    client: str
    output: str
    run: Callable[[float], Run]


@dataclass(frozen=True)
class Measured:
    """A run beside the reference in the same round, and the server's processor time [s] meanwhile."""

    run: Run
    reference: Run
    server_cpu: float

    @property
    def rate(self) -> float:
        """Responses per second."""
        return self.run.rows / self.run.seconds

    @property
    def share(self) -> float:
        """Of the reference's rate."""
        return self.rate * self.reference.seconds / self.reference.rows


@dataclass(frozen=True)
class Result:
    """All rounds of one way."""

    way: Way
    rounds: tuple[Measured, ...]

    def median(self, figure: Callable[[Measured], float]) -> float:
        """Of the rounds; of ratios too, so that a machine that slows down counts for both sides."""
        return statistics.median(map(figure, self.rounds))

    @property
    def rates(self) -> list[float]:
        """Responses per second, of each round."""
        return [measured.rate for measured in self.rounds]

    @property
    def server_microseconds(self) -> float:
        """Processor time of the server for a response."""
        return self.median(lambda measured: 1e6 * measured.server_cpu / measured.run.rows)

    @property
    def client_microseconds(self) -> float:
        """Processor time of the client for a response."""
        return self.median(lambda measured: 1e6 * measured.run.client_cpu / measured.run.rows)


def closed_loop(call: Callable[[], int], in_flight: int) -> Callable[[float], Run]:
    """Calls from `in_flight` threads of this process, each again when it has its answer.

    Parameters
    ----------
    call : Asks once and waits; returns the rows that came back.
    in_flight : Calls under way at the same time.
    """

    def run(seconds: float) -> Run:
        cpu, began = time.process_time(), time.perf_counter()

        def loop() -> int:
            rows = call()
            while time.perf_counter() - began < seconds:
                rows += call()
            return rows

        with ThreadPoolExecutor(in_flight) as pool:
            loops = [pool.submit(loop) for _ in range(in_flight)]
            rows = sum(each.result() for each in loops)
        return Run(rows, time.perf_counter() - began, time.process_time() - cpu)

    return run


def interleaved(ways: list[Way], seconds: float, rounds: int, server_cpu_seconds: Callable[[], float]) -> list[Result]:
    """Measure every way once a round; the first is the reference of all. Says on stderr how far it is.

    Parameters
    ----------
    ways : What to measure; each is tried briefly beforehand, which makes connections and buffers.
    seconds, rounds : How long, and how often.
    server_cpu_seconds : Processor time of the server so far.
    """
    for way in ways:
        way.run(0.0)
    measured: list[list[Measured]] = [[] for _ in ways]
    for done in range(rounds):
        print(f"round {done + 1} of {rounds}", file=sys.stderr)
        reference: Run | None = None
        for way, of_way in zip(ways, measured, strict=True):
            before = server_cpu_seconds()
            run = way.run(seconds)
            reference = reference or run
            of_way.append(Measured(run, reference, server_cpu_seconds() - before))
    return [Result(way, tuple(of_way)) for way, of_way in zip(ways, measured, strict=True)]
