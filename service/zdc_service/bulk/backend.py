"""The simulator of a job's rows, as one process uses it: a server, or the models on the local disk."""

import threading
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from zdc_common.errors import ConfigError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.finish import Finish
from zdc_detector.particles import Particles

from zdc_service.allocator import keep_large_buffers
from zdc_service.client import Chunk, Client, ClientOptions, concatenate, connect
from zdc_service.settings import EngineSettings
from zdc_service.simulation import OutOfRange, Output


@dataclass(frozen=True)
class ModelChoice:
    """The model that the caller chose; None is the default model, or the newest version."""

    model: str | None
    version: int | None
    rates: bool


class ModelIdentity(BaseModel):
    """The identity of a model: fields of `BulkJob` that depend on the model."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    graph_sha256: str
    calorimeter: Calorimeter
    finish: Finish


@dataclass(frozen=True)
class Backend:
    """A server or a folder of models, and the options for its client.

    Attributes
    ----------
    server : Address of the server; None simulates in the process that calls `open`.
    options : Options for the connection to the server.
    settings : Models and device, if there is no server.
    """

    server: str | None
    options: ClientOptions
    settings: EngineSettings

    def open(self) -> Client:
        """Create the client, which loads the models if there is no server; raises as `zdc_service.client.connect`."""
        return connect(self.server, self.options, self.settings if self.server is None else None)

    def identify(self, client: Client, choice: ModelChoice) -> ModelIdentity:
        """The identity of the chosen model.

        Raises
        ------
        ZdcError : as in `Client.simulate`, e.g. there is no such model, or no server answers.
        """
        # Any particle is suitable: if the model does not know it, it is skipped, and the result describes the model.
        answer = self._ask(client, choice, 2112)
        facts = client.facts(answer.model, answer.version)
        return ModelIdentity(
            model=answer.model,
            version=answer.version,
            graph_sha256=facts.graph_sha256,
            calorimeter=facts.calorimeter,
            finish=answer.finish,
        )

    def knows(self, client: Client, choice: ModelChoice, pdg: int) -> bool:
        """Whether the chosen model was trained on a species; raises as `identify`."""
        return "species" not in self._ask(client, choice, pdg).skipped

    def _ask(self, client: Client, choice: ModelChoice, pdg: int) -> Chunk:
        particle = Particles.from_columns({"pdg": [pdg], "px": [0.0], "py": [0.0], "pz": [1000.0]})
        return concatenate(
            client.simulate(
                particle,
                seed=0,
                output=Output.CHANNELS,
                out_of_range=OutOfRange.SKIP,
                model=choice.model,
                version=choice.version,
                rates=choice.rates,
            )
        )


class SharedClient:
    """A client that all tasks of a process share, so that models are loaded once; the first task opens it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._backend: Backend | None = None
        self._client: Client | None = None
        self._known: dict[ModelChoice, ModelIdentity] = {}

    def client(self, backend: Backend) -> Client:
        """The client of a backend; a client of another backend is closed first."""
        with self._lock:
            if self._client is None or self._backend != backend:
                if self._client is not None:
                    self._client.close()
                keep_large_buffers()
                self._known = {}
                self._client, self._backend = backend.open(), backend
            return self._client

    def identity(self, backend: Backend, choice: ModelChoice) -> ModelIdentity:
        """The identity of the chosen model in this process."""
        client = self.client(backend)
        if choice not in self._known:
            self._known[choice] = backend.identify(client, choice)
        return self._known[choice]

    def check(self, backend: Backend, expected: ModelIdentity, rates: bool) -> None:
        """Raise ConfigError if this process has another model with that name and version."""
        found = self.identity(backend, ModelChoice(expected.model, expected.version, rates))
        if found != expected:
            raise ConfigError(
                f"{expected.model} version {expected.version} on this machine differs from the job's: its graph_sha256 "
                f"is {found.graph_sha256}, the job's is {expected.graph_sha256}; install the same models everywhere"
            )

    def close(self) -> None:
        """Close the client."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = self._backend = None
