"""Requests of all kinds with known answers: parts of a few jobs that were computed in this process."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from workload import particles_for
from zdc_detector.card import ModelCard
from zdc_detector.particles import PZ, VX, VZ, Particles
from zdc_service.codecs import arrays_of
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest, SimulationResult

#: Particles, repeats and `rates` of the jobs from which requests are taken.
_JOBS = ((3000, 1, False), (3000, 1, False), (1000, 3, False), (1000, 1, True))
#: Shares of requests by maximum number of particles. Most are small, so that the server bundles them.
_SIZES = ((0.65, 8), (0.25, 100), (0.1, 2000))
#: Share of requests with a bad particle.
_BAD = 0.02
_FAR_AWAY = 1000.0
"""A vertex [cm] at which no particle is born."""

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class _Job:
    """A job with its expected answers, as dense responses and as hits."""

    request: SimulationRequest
    dense: SimulationResult
    hits: SimulationResult


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes
    ----------
    request : The request.
    bad : Whether its last particle is outside the trained range.
    """

    request: SimulationRequest
    bad: bool
    _job: _Job
    _start: int

    @property
    def rows(self) -> int:
        """Number of rows of the expected answer."""
        return len(self.request.particles) * self.request.repeats

    @cached_property
    def answer(self) -> Arrays:
        """The expected arrays by name, in the types of this project's protocols."""
        start, stop, output = self._start, self._start + self.rows, self.request.output
        right, hits = self._job.dense, self._job.hits.hits
        assert right.response is not None
        assert hits is not None
        return arrays_of(
            replace(
                right,
                particle=np.repeat(np.arange(len(self.request.particles), dtype=np.uint32), self.request.repeats),
                side=right.side[start:stop],
                channels=right.channels[start:stop],
                response=right.response[start:stop] if output is Output.RESPONSE else None,
                hits=hits.rows(start, stop) if output is Output.HITS else None,
            )
        )

    def wrong(self, arrays: Arrays) -> str | None:
        """The first difference from the expected answer: array and row; None if there is none.

        Parameters
        ----------
        arrays : Arrays by name, at least those of the output; float32 is accepted for integers.
        """
        for name, right in self.answer.items():
            if name not in arrays:
                continue
            found = arrays[name]
            if found.shape != right.shape:
                return f"{name} has shape {found.shape}, not {right.shape}"
            if found.dtype != right.dtype:
                right = right.astype(np.float32)
            if found.dtype != right.dtype.newbyteorder("<"):
                return f"{name} is of type {found.dtype}"
            if found.tobytes() != right.tobytes():
                return f"{name} differs first at {np.argwhere(found != right)[0].tolist()}"
        return None


class Pool:
    """Makes random requests with known answers."""

    def __init__(self, settings: EngineSettings, seed: int, mixed_up: float = 0.0):
        """Compute the jobs with the default model of `settings`.

        Parameters
        ----------
        settings, seed : Settings of the engine, seed of the jobs.
        mixed_up : Share of requests that expect the rows of a neighbour, to show that the check works.
        """
        self._mixed_up = mixed_up
        with Simulator(settings) as simulator:
            card = simulator.repository.get().card
            self._jobs = [_job(simulator, card, place, *job, seed) for place, job in enumerate(_JOBS)]
        self._outputs = list(Output)

    def draw(self, rng: np.random.Generator, most_rows: int, repeats: bool, bad: bool) -> Asked:
        """A random request of at most `most_rows` rows; with repeats or a bad particle only if allowed."""
        jobs = [job for job in self._jobs if repeats or job.request.repeats == 1]
        job = jobs[rng.integers(len(jobs))]
        times = job.request.repeats
        size = _size(rng, min(most_rows // times, len(job.request.particles)))
        first = int(rng.integers(len(job.request.particles) - size + 1))
        particles = job.request.particles[slice(first, first + size)]
        bad = bad and bool(rng.random() < _BAD)
        if bad:
            particles = _spoiled(particles)
        request = replace(
            job.request,
            particles=particles,
            first_row=job.request.first_row + first * times,
            output=self._outputs[rng.integers(len(self._outputs))],
        )
        beside = times if first and rng.random() < self._mixed_up else 0
        return Asked(request, bad, job, first * times - beside)


def _size(rng: np.random.Generator, most: int) -> int:
    shares, sizes = zip(*_SIZES, strict=True)
    limit = min(int(rng.choice(sizes, p=shares)), most)
    return max(1, int(np.exp(rng.uniform(0, np.log(limit + 1)))))


def _job(
    simulator: Simulator, card: ModelCard, place: int, particles: int, repeats: int, rates: bool, seed: int
) -> _Job:
    request = SimulationRequest(
        _both_sides(particles_for(card, particles, seed=seed + place)),
        seed=seed * len(_JOBS) + place,
        first_row=place * 2**40,
        repeats=repeats,
        rates=rates,
        model=card.name,
    )
    dense, hits = (simulator.simulate(replace(request, output=output)) for output in (Output.RESPONSE, Output.HITS))
    return _Job(request, dense, hits)


def _both_sides(particles: Particles) -> Particles:
    """The particles, every third one mirrored to -z."""
    conditions = particles.conditions.copy()
    conditions[::3, [VZ, PZ]] *= -1
    return Particles(particles.pdg, conditions)


def _spoiled(particles: Particles) -> Particles:
    """The particles, the last one far outside the trained range."""
    conditions = particles.conditions.copy()
    conditions[-1, VX] = _FAR_AWAY
    return Particles(particles.pdg, conditions)
