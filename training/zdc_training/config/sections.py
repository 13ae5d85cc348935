"""The sections that every experiment has, whatever it trains: data, optimiser, output."""

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
    """A table of the TOML file: unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(ConfigSection):
    """What is trained on."""

    train: Path = Field(Path(SHIPPED), description="training file: a path, or a name in training/data")
    test: Path | None = Field(
        None,
        description="file that `evaluate` reads, with other particles; default: zn_geant4_test.h5 for "
        "zn_geant4_train.h5, for other files none",
    )
    validation_share: float = Field(0.1, gt=0, lt=1, description="share of the particles kept for validation")
    split_seed: Seed = Field(1, description="seed of the split by particle")
    symmetries: bool = Field(
        True, description="turn each shower by one of the eight symmetries of the face, drawn anew"
    )
    description: str = Field("", description="what the showers are, for the model card; default: the file's title")
    limitations: tuple[str, ...] = Field(
        (),
        description="what was found that models of this training file cannot do, for the card; left out if "
        "`--set data.train` names another file",
    )
    limit: Positive | None = Field(
        None, description="use only so many training showers, drawn by the split seed; more contain fewer"
    )

    @model_validator(mode="before")
    @classmethod
    def _test_of_the_shipped_file(cls, tree: Any) -> Any:
        """Other showers are not compared with ours unless somebody says so."""
        if isinstance(tree, dict) and tree.get("test") is None and str(tree.get("train", SHIPPED)) == SHIPPED:
            return {**tree, "test": SHIPPED_TEST}
        return tree


class OptimiserConfig(ConfigSection):
    """Adam and its schedule."""

    epochs: Positive = Field(100, description="passes over the training showers")
    batch_size: int = Field(
        1000, ge=2, description="showers in a step; a last incomplete batch of an epoch is left out"
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, after the warm-up")
    warmup_epochs: int = Field(0, ge=0, description="epochs over which the learning rate rises from 0")
    weight_decay: Weight = Field(0.0, description="decay of the weights, decoupled from Adam's moments (AdamW)")
    average: float = Field(
        0.0, ge=0, lt=1, description="decay of a running average of the weights, which is then what is kept; 0: none"
    )
    schedule: Literal["cosine", "exponential"] = Field(
        "cosine", description="how the learning rate falls after the warm-up, from `learning_rate` to its `final_share`"
    )
    final_share: float = Field(
        0.01, gt=0, le=1, description="learning rate at the end, as a share of `learning_rate`; 1: it stays"
    )
    clip_gradient: float = Field(10.0, gt=0, description="gradients with a larger norm are scaled down to it")
    patience: Positive | None = Field(
        None, description="stop after so many validations without a smaller CRPS; left out: train all epochs"
    )


class OutputConfig(ConfigSection):
    """What the exported model is called and how its rates become photons."""

    name: str = Field("zn-e2esae", pattern=NAME_PATTERN, description="a folder and a part of URLs")
    version: Positive | None = Field(
        None, description="of the exported model; default: the next one in the folder it is written to"
    )
    description: str = Field(
        "Conditional end-to-end Sinkhorn autoencoder", description="what the model is, for its card"
    )
    finish: Literal[Finish.ROUND, Finish.POISSON] = Field(Finish.POISSON, description="how rates become photon counts")
    limitations: tuple[str, ...] = Field(
        (),
        description="what such a model cannot do, whatever it is trained on; stands in the card and its README",
    )
    licence: str = Field(
        "",
        description="licence of the exported model, for its card; left out if `--set data.train` names another file",
    )


class Experiment(ConfigSection):
    """What the configurations of all methods have in common.

    A method's own class gives `method`, `model` and `loss` their type and default, and overrides the properties that
    do not hold for its networks. `zdc_training.config.methods` registers it.

    Attributes
    ----------
    implementation : ``module:attribute`` of the method's `zdc_training.nn.method.Method`. It is imported when networks
        are built, so that a configuration is read without torch.
    """

    implementation: ClassVar[str]

    seed: Seed = Field(1, description="of the first weights, the order of the showers, their symmetries and the noise")
    validate_every: Positive = Field(5, description="epochs between validations")
    keep: Literal["best", "last"] = Field(
        "best", description="the weights that are kept: of the smallest validation CRPS, or of the last validation"
    )
    start_from: Path | None = Field(
        None, description="folder of a model or of a run whose weights the training begins with; left out: random ones"
    )
    data: DataConfig = DataConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    output: OutputConfig = OutputConfig()
    method: str
    model: ConfigSection = ConfigSection()
    loss: ConfigSection = ConfigSection()

    @property
    def species(self) -> tuple[int, ...]:
        """PDG codes that the networks tell apart; empty if they know a particle by its conditions alone."""
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
