"""State of the server during and after a soak: memory, counters, and whether it is idle."""

import asyncio
import os
import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

_SAMPLE_SECONDS = 0.5
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Longest wait until the queue is empty [s].
_IDLE_SECONDS = 15.0
#: Allowed growth of memory from the first to the second half of a run, as a share and in bytes.
_GROWTH, _SLACK = 0.05, 32 * 1024 * 1024

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Memory:
    """Resident memory of a process over time.

    It is flat if, after a warm-up, the median of the second half is close to that of the first. Requests of megabytes
    arrive at random times, and the server keeps part of their memory.
    """

    def __init__(self, pid: int, warm_up: float):
        """The first `warm_up` seconds are left out; with 0, memory is not checked."""
        self._warm_up = warm_up
        self._statm = Path(f"/proc/{pid}/statm")
        self._samples: list[tuple[float, int]] = []

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            self._samples.append((time.monotonic(), int(self._statm.read_text().split()[1]) * _PAGE))
            await asyncio.sleep(_SAMPLE_SECONDS)

    @property
    def flat(self) -> bool:
        """Whether memory did not grow, within the tolerance."""
        first, second = self._halves()
        return not self._warm_up or second <= first * (1 + _GROWTH) + _SLACK

    def _halves(self) -> tuple[float, float]:
        """Median of each half of the time after the warm-up [bytes]."""
        began = self._samples[0][0] + self._warm_up
        sizes = [size for when, size in self._samples if when >= began]
        half = len(sizes) // 2
        return statistics.median(sizes[: half + 1]), statistics.median(sizes[half:])

    def __str__(self) -> str:
        first, second = self._halves()
        most = max(size for _, size in self._samples)
        flat = f"flat is at most {_GROWTH:.0%} + {_SLACK >> 20} MiB more" if self._warm_up else "not judged"
        return (
            f"resident memory of the server, medians of the halves after {self._warm_up:g} s: {first / 1e6:.0f} and "
            f"{second / 1e6:.0f} MB ({flat}), at most {most / 1e6:.0f} MB"
        )


class Counters:
    """The server's metrics at one moment."""

    def __init__(self, text: str):
        self._samples = [
            (name, dict(_LABEL.findall(labels or "")), float(value)) for name, labels, value in _SAMPLE.findall(text)
        ]

    def sum(self, name: str, **labels: str) -> float:
        """Sum of all samples of a name with these labels."""
        return sum(value for one, found, value in self._samples if one == name and labels.items() <= found.items())

    def kinds(self, protocol: str) -> Mapping[str, float]:
        """Finished requests of a protocol by kind."""
        return {
            found["kind"]: value
            for name, found, value in self._samples
            if name == "zdc_requests_total" and found["protocol"] == protocol
        }

    @property
    def models(self) -> tuple[float, float]:
        """Successful and failed requests of all models."""
        return self.sum("nv_inference_request_success"), self.sum("nv_inference_request_failure")

    @property
    def waiting(self) -> tuple[float, float]:
        """Waiting rows and requests."""
        return self.sum("zdc_queue_rows"), self.sum("nv_inference_pending_request_count")


async def counters_when_idle(address: str) -> Counters:
    """The metrics when the queue is empty, or after a time limit."""
    end = time.monotonic() + _IDLE_SECONDS
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        while True:
            counters = Counters((await client.get("/metrics")).text)
            if counters.waiting == (0, 0) or time.monotonic() > end:
                return counters
            await asyncio.sleep(0.2)
