"""Throughput and processor time of several ways to the same answers, in interleaved rounds."""

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
    rows : Number of responses.
    seconds : Time from the first request to the last answer.
    client_cpu : Processor time of the client [s]; for a way in this process, of everything.
    """

    rows: int
    seconds: float
    client_cpu: float


@dataclass(frozen=True)
class Way:
    """One way to get responses.

    Attributes
    ----------
    name, client, output : Texts of the table: protocol, client, output.
    run : Sends requests for the given number of seconds.
    """

    name: str
    client: str
    output: str
    run: Callable[[float], Run]


@dataclass(frozen=True)
class Measured:
    """A run, the run of the reference in the same round, and the server's processor time during the run [s]."""

    run: Run
    reference: Run
    server_cpu: float

    @property
    def rate(self) -> float:
        """Responses per second."""
        return self.run.rows / self.run.seconds

    @property
    def share(self) -> float:
        """Fraction of the rate of the reference."""
        return self.rate * self.reference.seconds / self.reference.rows


@dataclass(frozen=True)
class Result:
    """All rounds of one way."""

    way: Way
    rounds: tuple[Measured, ...]

    def median(self, figure: Callable[[Measured], float]) -> float:
        """Median over the rounds, also of ratios: if the machine slows down, both sides of a ratio do."""
        return statistics.median(map(figure, self.rounds))

    @property
    def rates(self) -> list[float]:
        """Responses per second, of each round."""
        return [measured.rate for measured in self.rounds]

    @property
    def server_microseconds(self) -> float:
        """Processor time of the server per response."""
        return self.median(lambda measured: 1e6 * measured.server_cpu / measured.run.rows)

    @property
    def client_microseconds(self) -> float:
        """Processor time of the client per response."""
        return self.median(lambda measured: 1e6 * measured.run.client_cpu / measured.run.rows)


def closed_loop(call: Callable[[], int], in_flight: int) -> Callable[[float], Run]:
    """A way that calls a function from `in_flight` threads of this process, repeatedly.

    Parameters
    ----------
    call : Sends one request and waits; returns the number of rows.
    in_flight : Number of simultaneous calls.
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
    """Measure every way once per round; the first is the reference. Progress is printed on stderr.

    Parameters
    ----------
    ways : Ways to measure; each runs briefly beforehand, to make connections and buffers.
    seconds, rounds : Duration of one measurement, and number of rounds.
    server_cpu_seconds : Returns the processor time of the server since its start.
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
