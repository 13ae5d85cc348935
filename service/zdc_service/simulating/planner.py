"""From a request to the plan of its rows, or to the error that says what is wrong with it."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError, OutOfRangeError
from zdc_detector.card import ModelCard
from zdc_detector.frames import Frame, placed_at_face
from zdc_detector.particles import CHARGE, LARGEST, PX, VX, Particles
from zdc_detector.random import LARGEST_NORMAL, MAX_ROW, check_seed, fresh_seed
from zdc_detector.ranges import FRAME, RANGES, SPECIES, UNKNOWN

from zdc_service.engine.engine import Engine
from zdc_service.engine.repository import Repository
from zdc_service.simulating.plan import Plan, Tally, finish_of
from zdc_service.simulation import OutOfRange, SimulationRequest, check_rows
from zdc_service.status import kind_of
from zdc_service.telemetry.instruments import Instruments

_NAMED_PARTICLES = 3  # an error message names this many and counts the rest


class Planner:
    """Finds the model of a request, checks the request and plans its rows. Thread-safe.

    Attributes
    ----------
    max_request_rows : Maximum number of rows of one request.
    """

    def __init__(self, repository: Repository, max_request_rows: int, instruments: Instruments):
        """`instruments` count the particles outside the trained range."""
        self._repository = repository
        self.max_request_rows = max_request_rows
        self._instruments = instruments

    def engine_of(self, request: SimulationRequest) -> Engine:
        """The model that a request asks for; raises ModelNotFoundError."""
        return self._repository.get(request.model, request.version)

    def placed(self, request: SimulationRequest, engine: Engine) -> SimulationRequest:
        """The request with the vz of the model's face filled in, if its particles are given there.

        Raises
        ------
        InvalidInputError : a given vz is not at the face. It is counted as an error of the model.
        """
        if request.frame is Frame.VERTEX:
            return request
        try:
            return replace(request, particles=placed_at_face(request.particles, engine.card.calorimeter))
        except InvalidInputError as error:
            engine.statistics.failed(kind_of(error), 0.0)
            raise

    def plan(self, request: SimulationRequest, engine: Engine) -> Plan:
        """Check a request and compute everything that its rows depend on; an error is counted as the model's.

        Parameters
        ----------
        request : To be checked.
        engine : The model, from `engine_of`.

        Raises
        ------
        InvalidInputError : seed, first row, repeats, noise or a vz at the face outside their bounds.
        TooLargeError : more rows than `max_request_rows`.
        OutOfRangeError : a particle outside the trained range, if the request says ``error``.
        """
        request = self.placed(request, engine)
        began = time.monotonic()
        try:
            return self._plan(request, engine)
        except Exception as error:
            engine.statistics.failed(kind_of(error), time.monotonic() - began)
            raise

    def _plan(self, request: SimulationRequest, engine: Engine) -> Plan:
        seed = fresh_seed() if request.seed is None else request.seed
        check_seed(seed, request.first_row)
        if request.repeats < 1:
            raise InvalidInputError(f"repeats = {request.repeats} must be at least 1")
        rows = len(request.particles) * request.repeats
        check_rows(len(request.particles), request.repeats, self.max_request_rows)
        if request.first_row + rows > MAX_ROW:
            raise InvalidInputError(f"first_row = {request.first_row} leaves no room for {rows} rows below 2^63")
        noise = _check_noise(engine.card, request)
        kept, skipped, extrapolated = self._in_range(engine.card, request)
        everything = len(kept) == len(request.particles)
        particles = request.particles if everything else request.particles[kept]
        aimed = engine.card.ranges.aimed(particles, engine.card.calorimeter)
        if extrapolated:
            aimed = _missing(aimed, engine.card.calorimeter.behind_face(aimed.conditions))
        return Plan(
            engine=engine,
            particles=aimed,
            index=kept,
            side=particles.side,
            seed=seed,
            first_row=request.first_row,
            repeats=request.repeats,
            output=request.output,
            finish=finish_of(request, engine),
            skipped=skipped,
            extrapolated=extrapolated,
            tally=Tally(len(kept) * request.repeats, engine.statistics),
            noise=noise if noise is None or everything else noise[kept],
            frame=request.frame,
        )

    def _in_range(
        self, card: ModelCard, request: SimulationRequest
    ) -> tuple[NDArray[np.uint32], Mapping[str, int], Mapping[str, int]]:
        """Indices of the particles to simulate; particles that are skipped and extrapolated, counted by reason."""
        everything = np.arange(len(request.particles), dtype=np.uint32)
        reasons = card.ranges.outside(request.particles, card.calorimeter)
        if not reasons.any():
            return everything, {}, {}
        if request.out_of_range is OutOfRange.ERROR:
            raise self.out_of_range(request, card, reasons)
        counts = self._count_outside(request, reasons)
        if request.out_of_range is OutOfRange.SKIP:
            return everything[reasons == 0], counts, {}
        unknown = np.isin(reasons, UNKNOWN)
        if unknown.any():  # the model knows nothing of their species, or of their frame
            raise self._refusal(card, request, np.where(unknown, reasons, 0))
        return everything, {}, counts

    def out_of_range(self, request: SimulationRequest, card: ModelCard, reasons: NDArray[np.uint8]) -> OutOfRangeError:
        """The error of a request that says ``error`` and has particles outside the trained range, which it counts.

        Parameters
        ----------
        request : The request.
        card : Of its model.
        reasons : Of each particle, as `Ranges.outside` gives them; not all 0.
        """
        self._count_outside(request, reasons)
        return self._refusal(card, request, reasons)

    def _refusal(self, card: ModelCard, request: SimulationRequest, reasons: NDArray[np.uint8]) -> OutOfRangeError:
        """The error that names the refused particles, those with a reason, and what would accept them."""
        refused = np.flatnonzero(reasons)
        messages = [
            f"particle[{row}]: {card.ranges.message(request.particles, row, card.calorimeter)}"
            for row in refused[:_NAMED_PARTICLES].tolist()
        ]
        more = f"; and {refused.size - _NAMED_PARTICLES} more" if refused.size > _NAMED_PARTICLES else ""
        return OutOfRangeError(f"{'; '.join(messages)}{more}; {self._remedy(request.particles, card, reasons)}")

    def _remedy(self, particles: Particles, card: ModelCard, reasons: NDArray[np.uint8]) -> str:
        unknown = np.isin(reasons, UNKNOWN)
        if not unknown.any():
            return "out_of_range = skip or extrapolate accepts such particles"
        skip = "out_of_range = skip leaves such particles out"
        if SPECIES in reasons:
            skip += ", and no setting simulates another species"
        charged = unknown & (particles.conditions[:, CHARGE] != 0)
        neutral = (reasons == FRAME) & ~charged  # at the face
        if not (charged | neutral).any():
            return skip
        swept = charged & ~card.calorimeter.at_face(particles.conditions)
        remedies = ["give charged particles at the face, frame = face"] if swept.any() else []
        remedies += ["give neutral particles at their vertex, frame = vertex"] if neutral.any() else []
        return "; ".join([*remedies, self._knowing(set(particles.pdg[charged | neutral].tolist())), skip])

    def _knowing(self, codes: set[int]) -> str:
        """Which loaded models know species at the face."""
        models = [
            f"{engine.card.name} {engine.card.version}"
            for engine in self._repository
            if Frame.FACE in engine.card.ranges.frames and codes <= {one.pdg for one in engine.card.ranges.species}
        ]
        what = f"pdg {', '.join(map(str, sorted(codes)[:_NAMED_PARTICLES]))} at the face"
        named = ", ".join(models[:_NAMED_PARTICLES])
        return f"models that know {what}: {named}" if models else f"no loaded model knows {what}"

    def _count_outside(self, request: SimulationRequest, reasons: NDArray[np.uint8]) -> dict[str, int]:
        """Count particles outside the trained range by reason, for Prometheus and for the result."""
        counts = {RANGES[i]: int(n) for i, n in enumerate(np.bincount(reasons)) if i and n}
        for reason, count in counts.items():
            self._instruments.out_of_range.labels(reason, request.out_of_range.value).inc(count)
        return counts


def _missing(particles: Particles, rows: NDArray[np.bool_]) -> Particles:
    """Particles, those of the given rows changed so that they miss the face.

    Without the change, the graph extends the line of a particle that starts behind the face backwards to the face.
    """
    if not rows.any():
        return particles
    conditions = particles.conditions.copy()
    conditions[rows, VX] = LARGEST
    conditions[rows, PX] = 0
    return Particles(particles.pdg, conditions)


def _check_noise(card: ModelCard, request: SimulationRequest) -> NDArray[np.float32] | None:
    if request.noise is None:
        return None
    wanted = (len(request.particles), card.noise.dimension)
    if request.noise.shape != wanted:
        raise InvalidInputError(
            f"noise has shape {request.noise.shape}; {card.name} takes {wanted}: one row for each particle"
        )
    if request.repeats != 1:
        raise InvalidInputError(f"repeats = {request.repeats} with noise given; repeat particles and noise instead")
    possible = np.abs(request.noise) <= LARGEST_NORMAL  # nan is not
    if not possible.all():
        row, column = np.unravel_index(np.argmin(possible), possible.shape)
        raise InvalidInputError(
            f"particle[{row}]: noise[{column}] = {request.noise[row, column]:g} must be within +-{LARGEST_NORMAL:g}; "
            "noise is standard normal numbers"
        )
    return request.noise
