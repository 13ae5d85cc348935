"""The model card: the description of one exported model for servers, clients and physicists."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from zdc_common.errors import ModelError
from zdc_common.file_content import content_of, hash_problem
from zdc_common.frozen import Frozen

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.finish import Finish
from zdc_detector.particles import CONDITIONS, UNITS
from zdc_detector.ranges import Ranges

CARD_FILE, GRAPH_FILE, GOLDEN_FILE = "card.json", "model.onnx", "golden.npz"

#: Largest version number: int32, the smallest type of all protocols.
LARGEST_VERSION = 2**31 - 1

#: Names of models are names of folders and parts of URLs.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"

#: Accepted difference from the golden rates, relative to their largest pixel. Another CPU sums a convolution in another
#: order, which in float32 changes much less than this; a wrong file changes more.
GOLDEN_TOLERANCE = 1e-3


class NoiseSpec(Frozen):
    """The noise input of the graph."""

    dimension: int = Field(gt=0, description="random numbers per response")
    distribution: Literal["normal"] = Field("normal", description="standard normal: mean 0, variance 1")


class ConditionSpec(Frozen):
    """One of the graph's nine conditions."""

    name: str = Field(description="name of the condition, e.g. `energy`")
    unit: str = Field(description="its unit, e.g. `GeV`")


class DataSpec(Frozen):
    """Training data of the model."""

    description: str = Field(description="title of the showers")
    files: dict[str, str] = Field(description="file name -> sha256")
    split_seed: int = Field(description="seed of the division into training and validation showers")


class TrainingSpec(Frozen):
    """Time and hardware of a training."""

    seconds: float = Field(ge=0, description="of all epochs, including validation")
    epochs: int = Field(description="number of epochs")
    device: str = Field(description="`cpu`, or the name of the GPU")
    threads: int = Field(description="of torch, in each process")
    processes: int = Field(1, description="number of processes")


class SourceSpec(Frozen):
    """A model that was fine-tuned: the training of another one began with its weights."""

    name: str = Field(description="name of the model")
    version: int | None = Field(description="version of the model; null: a run that was not exported")
    sha256: str = Field(description="SHA-256 of its graph, or of the weights of a run, hexadecimal")
    trained_on: dict[str, str] = Field(description="its training file: name -> sha256; empty: not recorded")

    def __str__(self) -> str:
        """Name, version and the first digits of the hash."""
        return f"{self.name} {self.version or '(a run)'} (sha256 {self.sha256[:12]}...)"


class Metric(Frozen):
    """One figure of merit, its floor (simulation against simulation) and 90 % bootstrap intervals over particles."""

    value: float = Field(description="generated against simulated responses")
    floor: float = Field(description="simulated against simulated responses")
    interval: tuple[float, float] = Field(description="90 % interval of `value`")
    ratio: float | None = Field(None, description="`value` / `floor`; null if it is not defined")
    ratio_interval: tuple[float, float] | None = Field(None, description="90 % interval of `ratio`")


class ModelCard(Frozen):
    """`card.json` beside `model.onnx`.

    Inputs of the graph are ``particles`` (N, 9) float32 in the units of `conditions`, ``noise``
    (N, noise.dimension) float32 and, if `takes_pdg`, ``pdg`` (N,) int64. Its output is ``response``
    (N, rows, columns) float32. Particles must have pz > 0.
    """

    schema_version: Literal[1] = Field(1, description="version of the layout of this card")
    name: str = Field(pattern=NAME_PATTERN, description="name of the model")
    version: int = Field(ge=1, le=LARGEST_VERSION, description="version of the model")
    description: str = Field(description="one sentence about the model")
    calorimeter: Calorimeter = Field(description="face, fibres and channels")
    conditions: tuple[ConditionSpec, ...] = Field(description="the columns of the input `particles`, in order")
    scaler: dict[str, Any] = Field(description="how the graph scales the conditions; information only")
    ranges: Ranges = Field(description="training range: species, energies, vertices, frames")
    noise: NoiseSpec = Field(description="the input `noise` of the graph")
    takes_pdg: bool = Field(False, description="whether the graph has the input `pdg`")
    output: Literal["rate", "count"] = Field(
        description="output for a fibre: `rate`, the expected number of photons, or `count`, a number of photons"
    )
    finish: Finish = Field(description="how the output becomes photon counts: `none`, `round` or `poisson`")
    opset: int = Field(description="version of the ONNX operator set")
    flops_per_response: int = Field(description="of the graph for one row; 1 multiply-add = 2")
    data: DataSpec = Field(description="training data")
    training: TrainingSpec | None = Field(None, description="time and hardware of the training; null: not recorded")
    licence: str = Field("", description="of the model; empty: not stated")
    config: dict[str, Any] = Field(description="the training configuration as resolved")
    git_commit: str = Field(description="commit of the training; `-dirty` if files had changed")
    created: str = Field(description="date and time of the export, ISO 8601")
    metrics: dict[str, Metric] = Field(default_factory=dict, description="figures of merit on the test file, by name")
    limitations: tuple[str, ...] = Field((), description="what the model cannot do, in sentences")
    graph_sha256: str = Field(description="SHA-256 of `model.onnx`, hexadecimal")
    weights_sha256: str = Field(
        "", description="SHA-256 of `weights.npz`, which only training reads, hexadecimal; empty: there is no such file"
    )
    fine_tuned_from: SourceSpec | None = Field(
        None, description="model whose weights the training began with; null: random weights"
    )

    @field_validator("conditions")
    @classmethod
    def _in_our_order_and_units(cls, conditions: tuple[ConditionSpec, ...]) -> tuple[ConditionSpec, ...]:
        found = [f"{condition.name} [{condition.unit}]" for condition in conditions]
        wanted = [f"{name} [{unit}]" for name, unit in zip(CONDITIONS, UNITS, strict=True)]
        if found != wanted:
            raise ValueError(f"the graph takes {', '.join(found)}; it must take {', '.join(wanted)}")
        return conditions

    @classmethod
    def read(cls, folder: Path) -> "ModelCard":
        """Read ``card.json`` and check the hash of the graph beside it.

        Raises
        ------
        ModelError : a file is missing, the card does not fit the schema, or the hash differs.
        """
        return cls.read_with_graph(folder)[0]

    @classmethod
    def read_with_graph(cls, folder: Path) -> tuple["ModelCard", bytes]:
        """As `read`, with the checked bytes of the graph."""
        path = folder / CARD_FILE
        try:
            card = cls.model_validate_json(content_of(path))
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}; a model folder holds {CARD_FILE} and {GRAPH_FILE}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"{path}: {where}: {first['msg']} ({error.error_count()} problems)") from error
        path = folder / GRAPH_FILE
        try:
            graph = content_of(path)
        except OSError as error:
            raise ModelError(f"{path}: {str(error.strerror).lower()}") from error
        if problem := hash_problem(graph, card.graph_sha256):
            raise ModelError(f"{path}: {problem}; copy it again")
        return card, graph
