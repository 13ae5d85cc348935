"""Throughput of several ways to the same answers: closed loops in interleaved rounds."""

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """One way to responses.

    Attributes
    ----------
    name, output : What it is called in the table.
    call : Asks once and waits; returns the rows that came back. Called from several threads.
    in_flight : Calls under way at the same time.
    """

    name: str
    output: str
    call: Callable[[], int]
    in_flight: int


@dataclass(frozen=True)
class Result:
    """Rates [responses/s] of one way, one per round, and of the reference in the same rounds."""

    way: Way
    rates: tuple[float, ...]
    reference: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.rates)

    @property
    def share(self) -> float:
        """Of the reference; the median of the rounds' ratios, so that a machine that slows down counts for both."""
        return statistics.median(rate / beside for rate, beside in zip(self.rates, self.reference, strict=True))


def throughput(way: Way, seconds: float) -> float:
    """Responses/s of calls that begin within `seconds`, until the last of them has ended."""
    began = time.perf_counter()

    def loop() -> int:
        rows = way.call()
        while time.perf_counter() - began < seconds:
            rows += way.call()
        return rows

    with ThreadPoolExecutor(way.in_flight) as pool:
        loops = [pool.submit(loop) for _ in range(way.in_flight)]
        rows = sum(each.result() for each in loops)
    return rows / (time.perf_counter() - began)


def interleaved(ways: list[Way], seconds: float, rounds: int) -> list[Result]:
    """Measure every way once a round; the first is the reference of all. Says on stderr how far it is."""
    for way in ways:
        way.call()  # connections, buffers
    rates: list[list[float]] = [[] for _ in ways]
    for done in range(rounds):
        print(f"round {done + 1} of {rounds}", file=sys.stderr)
        for way, of_way in zip(ways, rates, strict=True):
            of_way.append(throughput(way, seconds))
    return [Result(way, tuple(of_way), tuple(rates[0])) for way, of_way in zip(ways, rates, strict=True)]
