"""The operations of the Open Inference Protocol on a simulator; HTTP and gRPC both use them."""

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
from zdc_service.simulating.plan import Plan
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest, SimulationResult
from zdc_service.status import kind_of

#: Maximum number of loads and unloads at the same time (they wait for each other), and of listings of the folder.
_MOST_CHANGES = 16
#: Maximum time to list the models folder.
_FOLDER_SECONDS = 10.0

#: Checks the value of a client's ``Authorization`` header; raises UnauthenticatedError if it has no valid token.
Authorize = Callable[[str | bytes | None], None]


@dataclass(frozen=True)
class Asked:
    """A checked request.

    Attributes
    ----------
    engine : The requested model.
    simulation : The simulation to run.
    outputs : Names of the requested outputs.
    deadline : Time until which the answer is needed, on the clock of `time.monotonic`, or None.
    reply_bytes : Size of the answer's arrays in bytes.
    plan : The planned simulation, if it was planned already.
    """

    engine: Engine
    simulation: SimulationRequest
    outputs: tuple[str, ...]
    deadline: float | None
    reply_bytes: int
    plan: Plan | None = None


class Models:
    """The models of a simulator. Answers are dicts with the protocol's keys; errors are those of the simulator."""

    def __init__(self, simulator: Simulator, administrator: Authorize | None):
        """Use a simulator.

        Parameters
        ----------
        simulator : Has the models and computes responses.
        administrator : Checks the token of a client that loads or unloads a model; None: every client may do so.
        """
        self._simulator = simulator
        self._administrator = administrator
        self._repository = simulator.repository
        self._changes = SideThreads(_MOST_CHANGES, "loads and unloads of models")
        self._looks = SideThreads(_MOST_CHANGES, "listings of the models folder")

    def understand(
        self, name: str, version: str, read: Callable[[], InferenceRequest], deadline: float | None, check: bool
    ) -> Asked:
        """Read and check a request to a model; errors are counted in the model's statistics.

        Parameters
        ----------
        name, version : The model; empty: the default model, its newest version.
        read : Parses the request.
        deadline : Time until which the answer is needed, on the clock of `time.monotonic`, or None.
        check : Whether to plan the simulation at once; for large requests, which are read on another thread.

        Raises
        ------
        ModelNotFoundError : no such model or version.
        InvalidInputError, OutOfRangeError, TooLargeError : Raised by `read`, `prepare`, and by `Simulator.plan` if
            `check` is true.
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
        """Start a simulation; one without a plan is planned together with other small requests.

        Raises
        ------
        ZdcError : As `Simulator.ask`; errors of the computation are in the future.
        """
        if asked.plan is None:
            return self._simulator.ask(asked.simulation, asked.deadline, asked.engine)
        return self._simulator.dispatch(asked.plan, deadline=asked.deadline)

    def check_loaded(self, name: str, version: str) -> None:
        """Raise ModelNotFoundError if no such model is loaded."""
        self._engine(name, version)

    def metadata(self, name: str, version: str) -> dict[str, Any]:
        """The `model_metadata` of one model."""
        card = self._engine(name, version).card
        return model_metadata(card, sorted(one.card.version for one in self._repository if one.card.name == card.name))

    def config(self, name: str, version: str) -> dict[str, Any]:
        """The `model_config` of one model."""
        return model_config(self._engine(name, version).card, self._simulator.max_request_rows)

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """The `model_statistics` of all models, of all versions of one model, or of one version."""
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
        """All versions of all models in the folder; with `ready`, only those that are loaded.

        Raises
        ------
        NotReadyError : the folder cannot be listed in time.
        """
        try:
            async with asyncio.timeout(_FOLDER_SECONDS):
                found = await self._looks.run(self._repository.index)
        except TimeoutError as error:
            raise NotReadyError(f"the models folder could not be listed within {_FOLDER_SECONDS:g} s") from error
        entries = [
            {"name": one.name, "version": str(one.version), "state": one.state, "reason": one.reason} for one in found
        ]
        return [entry for entry in entries if entry["state"] == "READY" or not ready]

    def check_administrator(self, authorization: str | bytes | None) -> None:
        """Raise ForbiddenError if this ``Authorization`` header does not allow to load and unload models."""
        if self._administrator is None:
            return
        try:
            self._administrator(authorization)
        except UnauthenticatedError as error:
            raise ForbiddenError(
                "loading and unloading models needs a token of --admin-token-files; ask this server's administrator"
            ) from error

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load all versions of a model from the folder, and wait until they are loaded."""
        if parameters:
            raise InvalidInputError(f"parameter {excerpt(min(parameters))} is unknown; load takes no parameters")
        try:
            await self._changes.run(partial(self._repository.load, name))
        except ModelError as error:  # elsewhere an internal error, but here the client must see it
            raise InvalidInputError(str(error)) from error

    async def unload(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Accept no more requests for a model."""
        unknown = set(parameters) - {"unload_dependents"}
        if unknown:
            raise InvalidInputError(f"parameter {excerpt(min(unknown))} is unknown; known is unload_dependents")
        await self._changes.run(partial(self._repository.unload, name))

    def _engine(self, name: str, version: str) -> Engine:
        return self._repository.get(name or None, version_of(version))
