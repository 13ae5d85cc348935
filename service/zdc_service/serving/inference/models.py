"""What a simulator does, by the names of the Open Inference Protocol; HTTP and gRPC only carry it."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from zdc_common.errors import (
    ForbiddenError,
    InvalidInputError,
    ModelError,
    NotReadyError,
    UnauthenticatedError,
    excerpt,
)

from zdc_service.engine.engine import Engine
from zdc_service.serving.inference.metadata import model_config, model_metadata
from zdc_service.serving.inference.reply import OUTPUT_DATATYPE
from zdc_service.serving.inference.request import InferenceRequest, prepare, version_of
from zdc_service.serving.inference.statistics import model_statistics
from zdc_service.serving.inference.tensors import DATATYPES, outputs_of
from zdc_service.side_threads import SideThreads
from zdc_service.simulating.job import Plan
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest, SimulationResult
from zdc_service.status import kind_of

#: Loads and unloads, which wait for each other, and looks at the folder, each at a time.
_MOST_CHANGES = 16
#: After this time a models folder is said not to answer.
_FOLDER_SECONDS = 10.0

#: Takes what a caller sends as ``Authorization``; raises UnauthenticatedError where that does not do.
Authorize = Callable[[str | bytes | None], None]


@dataclass(frozen=True)
class Asked:
    """A request that was understood.

    Attributes
    ----------
    engine : The model that it asks for.
    simulation : What is to be simulated.
    outputs : Names of the outputs wanted.
    deadline : `time.monotonic` after which the answer is not wanted, or None.
    reply_bytes : Of the answer's arrays.
    plan : The simulation as checked, where that was done beforehand.
    """

    engine: Engine
    simulation: SimulationRequest
    outputs: tuple[str, ...]
    deadline: float | None
    reply_bytes: int
    plan: Plan | None = None


class Models:
    """The models of a simulator; answers are dicts with the protocol's keys, errors those of the simulator."""

    def __init__(self, simulator: Simulator, administrator: Authorize | None):
        """`administrator` passes those who may load and unload models; None stands for everybody."""
        self._simulator = simulator
        self._administrator = administrator
        self._repository = simulator.repository
        self._changes = SideThreads(_MOST_CHANGES, "changes of models")
        self._looks = SideThreads(_MOST_CHANGES, "looks at the models folder")

    def understand(
        self, name: str, version: str, read: Callable[[], InferenceRequest], deadline: float | None, check: bool
    ) -> Asked:
        """Read a request to a model; errors are counted as the model's.

        Parameters
        ----------
        name, version : The model; empty: the default model, its newest version.
        read : From the request's form to what it says.
        deadline : `time.monotonic` after which the answer is not wanted, or None.
        check : Plan it at once; for large ones, on a thread for such things.

        Raises
        ------
        ModelNotFoundError : no such model or version.
        InvalidInputError, OutOfRangeError, TooLargeError : As `read`, `prepare`, and `Simulator.plan` if it is checked.
        """
        engine = self._engine(name, version)
        began = time.monotonic()
        try:
            prepared = prepare(engine.card, read(), self._simulator.max_request_rows)
        except Exception as error:
            engine.statistics.failed(kind_of(error), time.monotonic() - began)
            raise
        deadlines = [one for one in (deadline, prepared.deadline) if one is not None]
        simulation = prepared.simulation
        row = sum(math.prod(spec.shape[1:]) for spec in outputs_of(engine.card) if spec.name in prepared.outputs)
        return Asked(
            engine,
            simulation,
            prepared.outputs,
            min(deadlines, default=None),
            len(simulation.particles) * row * int(DATATYPES[OUTPUT_DATATYPE].itemsize),
            self._simulator.plan(simulation, engine) if check else None,
        )

    def dispatch(self, asked: Asked) -> "asyncio.Future[SimulationResult]":
        """Start to answer; what was not checked yet is, together with small requests that arrive at the same time.

        Raises
        ------
        ZdcError : As `Simulator.ask`; otherwise the future does.
        """
        if asked.plan is None:
            return self._simulator.ask(asked.simulation, asked.deadline, asked.engine)
        return self._simulator.dispatch(asked.plan, deadline=asked.deadline)

    def check_loaded(self, name: str, version: str) -> None:
        """Raise ModelNotFoundError where no such model is loaded."""
        self._engine(name, version)

    def metadata(self, name: str, version: str) -> dict[str, Any]:
        """`model_metadata` of one model."""
        card = self._engine(name, version).card
        return model_metadata(card, sorted(one.card.version for one in self._repository if one.card.name == card.name))

    def config(self, name: str, version: str) -> dict[str, Any]:
        """`model_config` of one model."""
        return model_config(self._engine(name, version).card, self._simulator.max_request_rows)

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """`model_statistics` of all models, or of one in all versions or one."""
        if name:
            self._engine(name, version)
        number = version_of(version)
        chosen = [
            engine
            for engine in self._repository
            if name in ("", engine.card.name) and number in (None, engine.card.version)
        ]
        return {"model_stats": [model_statistics(one.card, one.statistics.totals()) for one in chosen]}

    async def index(self, ready: bool) -> list[dict[str, str]]:
        """All versions of all models of the folder, or only those that are loaded.

        Raises
        ------
        NotReadyError : the folder does not answer.
        """
        try:
            async with asyncio.timeout(_FOLDER_SECONDS):
                found = await self._looks.run(self._repository.index)
        except TimeoutError as error:
            raise NotReadyError(f"the models folder does not answer within {_FOLDER_SECONDS:g} s") from error
        entries = [
            {"name": one.name, "version": str(one.version), "state": one.state, "reason": one.reason} for one in found
        ]
        return [entry for entry in entries if entry["state"] == "READY" or not ready]

    def check_administrator(self, authorization: str | bytes | None) -> None:
        """Let a caller pass who may load and unload models, by the ``Authorization`` sent; raises ForbiddenError."""
        if self._administrator is None:
            return
        try:
            self._administrator(authorization)
        except UnauthenticatedError as error:
            raise ForbiddenError(
                "to load or unload models takes a token of --admin-token-files; ask whoever runs this server"
            ) from error

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load what the folder has of a model; takes as long as that takes."""
        if parameters:
            raise InvalidInputError(f"parameter {excerpt(min(parameters))}: a model is loaded as its folder has it")
        try:
            await self._changes.run(partial(self._repository.load, name))
        except ModelError as error:  # to other callers internal, here the answer
            raise InvalidInputError(str(error)) from error

    async def unload(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Take no new work for a model."""
        unknown = set(parameters) - {"unload_dependents"}
        if unknown:
            raise InvalidInputError(f"parameter {excerpt(min(unknown))} is unknown; there is unload_dependents")
        await self._changes.run(partial(self._repository.unload, name))

    def _engine(self, name: str, version: str) -> Engine:
        return self._repository.get(name or None, version_of(version))
