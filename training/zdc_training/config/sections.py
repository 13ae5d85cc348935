"""The sections of every configuration: data, optimiser and output."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from zdc_detector.card import NAME_PATTERN
from zdc_detector.finish import Finish
from zdc_detector.random import MAX_SEED

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=MAX_SEED)]


#: Names of the showers that come with the project.
SHIPPED, SHIPPED_TEST = "zn_geant4_train.h5", "zn_geant4_test.h5"


class ConfigSection(BaseModel):
    """A section of the TOML file; unknown keys, infinities and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(ConfigSection):
    """The showers: files, split and augmentation."""

    train: Path = Field(Path(SHIPPED), description="training file: a path, or a name in training/data")
    test: Path | None = Field(
        None,
        description="file that `evaluate` reads; none of its particles may be in the training file. "
        "Default: zn_geant4_test.h5 if `train` is zn_geant4_train.h5, else none",
    )
    validation_share: float = Field(0.1, gt=0, lt=1, description="share of the particles kept for validation")
    split_seed: Seed = Field(1, description="seed of the split by particle")
    symmetries: bool = Field(
        True,
        description="apply one of the symmetries of the face (eight of a square, four of another rectangle) to each "
        "shower, drawn at random in every epoch",
    )
    description: str = Field(
        "", description="description of the showers for the model card; default: the title of the file"
    )
    limitations: tuple[str, ...] = Field(
        (),
        description="known limitations of models trained on this file, for the model card; dropped if "
        "`--set data.train` names another file",
    )
    limit: Positive | None = Field(
        None,
        description="largest number of training showers, drawn with the split seed; a larger sample contains a smaller "
        "one",
    )

    @model_validator(mode="before")
    @classmethod
    def _test_of_the_shipped_file(cls, tree: Any) -> Any:
        """The shipped test file is the default only for the shipped training file."""
        if isinstance(tree, dict) and tree.get("test") is None and str(tree.get("train", SHIPPED)) == SHIPPED:
            return {**tree, "test": SHIPPED_TEST}
        return tree


class OptimiserConfig(ConfigSection):
    """Adam and its schedule."""

    epochs: Positive = Field(100, description="passes over the training showers")
    batch_size: int = Field(
        1000, ge=2, description="showers in a step; an incomplete last batch of an epoch is dropped"
    )
    learning_rate: float = Field(1e-3, gt=0, description="learning rate of Adam after the warm-up")
    warmup_epochs: int = Field(0, ge=0, description="epochs over which the learning rate rises from 0")
    weight_decay: Weight = Field(0.0, description="weight decay, decoupled from the moments of Adam (AdamW)")
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of a running average of the weights, which is then validated and exported; 0: no average",
    )
    schedule: Literal["cosine", "exponential"] = Field(
        "cosine",
        description="shape of the decrease of the learning rate after the warm-up, from `learning_rate` to "
        "`final_share` of it",
    )
    final_share: float = Field(
        0.01, gt=0, le=1, description="final learning rate as a fraction of `learning_rate`; 1: constant"
    )
    clip_gradient: float = Field(
        10.0, gt=0, description="largest norm of the gradient; a longer gradient is scaled down to it"
    )
    patience: Positive | None = Field(
        None, description="stop after this number of validations without a smaller CRPS; if absent, train all epochs"
    )


class OutputConfig(ConfigSection):
    """The exported model: its name, and how its rates become photon counts."""

    name: str = Field(
        "zn-e2esae", pattern=NAME_PATTERN, description="name of the model; part of its folder and of URLs"
    )
    version: Positive | None = Field(
        None, description="version of the exported model; default: the next free number in its folder"
    )
    description: str = Field(
        "Conditional end-to-end Sinkhorn autoencoder", description="description of the model for its card"
    )
    finish: Literal[Finish.ROUND, Finish.POISSON] = Field(
        Finish.POISSON,
        description="how the output of the networks becomes photon counts: rounded, or Poisson counts drawn from rates",
    )
    limitations: tuple[str, ...] = Field(
        (),
        description="known limitations of the model on any training file, for its card and README",
    )
    licence: str = Field(
        "",
        description="licence of the exported model, for its card; dropped if `--set data.train` names another file",
    )


class Experiment(ConfigSection):
    """Keys and methods of the configurations of all training methods.

    A method's own class gives `method`, `model` and `loss` their type and default, and overrides the properties that
    do not hold for its networks. `zdc_training.config.methods` registers it.

    Attributes
    ----------
    implementation : ``module:attribute`` of the method's `zdc_training.nn.method.Method`. It is imported when networks
        are built, so that a configuration is read without torch.
    adaptable : Keys of [model] that may differ from those of the model that a training starts from, see
        `zdc_training.nn.learner.Generator.adapted`.
    """

    implementation: ClassVar[str]
    adaptable: ClassVar[frozenset[str]] = frozenset()

    seed: Seed = Field(
        1, description="seed of the initial weights, the order of the showers, their symmetries and the noise"
    )
    validate_every: Positive = Field(5, description="epochs between validations")
    keep: Literal["best", "last"] = Field(
        "best",
        description="which weights are kept: those with the smallest validation CRPS, or those of the last validation",
    )
    start_from: Path | None = Field(
        None,
        description="model with the initial weights: folder of a run or of an exported model, or NAME/VERSION of a "
        "model in `models` or of a shipped one; keys of method, [model] and [loss] that are left out are then this "
        "model's; if absent, the initial weights are random",
    )
    data: DataConfig = DataConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    output: OutputConfig = OutputConfig()
    method: str
    model: ConfigSection = ConfigSection()
    loss: ConfigSection = ConfigSection()

    @property
    def species(self) -> tuple[int, ...]:
        """PDG codes that the networks distinguish; empty if they read only the conditions of a particle."""
        return ()

    @property
    def condition_scaling(self) -> str:
        """Which transformation of the conditions the networks read, see `zdc_training.nn.geometry.ConditionScaler`."""
        return "linear"

    @property
    def precision(self) -> str:
        """Type of the networks' products in training: ``float32`` or ``bfloat16``."""
        return "float32"

    @property
    def blur(self) -> float | None:
        """Blur of the Sinkhorn divergence between latents that training lowers; None if it lowers none."""
        return None
