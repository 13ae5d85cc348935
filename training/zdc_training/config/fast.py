"""Keys of the method `fast`: an autoencoder with a generated latent on a coarse grid, trained with energy scores."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from zdc_training.config.sections import ConfigSection, Experiment, Positive, Weight


class FastModelConfig(ConfigSection):
    """The networks of `zdc_training.fast.model`, and the inner geometry of the calorimeter."""

    entry: Literal["face", "block"] = Field(
        "face",
        description="which particles give light, and what the networks know of them. face: straight lines that meet "
        "the face; position in the cell and species (version 1 of zn-fast). block: also lines that enter through a "
        "side; edges, angles, released energy and traits of the species; light of coarse units falls with distance",
    )
    noise: int = Field(
        19,
        ge=4,
        description="dimension of the noise; of the last three numbers, two spread the light of the fibres and one is "
        "for the gate",
    )
    latent: Positive = Field(16, description="dimension of the latent")
    condition_width: Positive = Field(96, description="width of the two layers that read the conditions")
    generator_width: Positive = Field(128, description="width of the two hidden layers of the noise generator")
    decoder_width: Positive = Field(192, description="width of the two hidden layers of the decoder")
    encoder_width: Positive = Field(256, description="width of the two hidden layers of the encoder")
    gate_width: Positive = Field(64, description="width of the two hidden layers of the gate")
    reach: tuple[int, ...] = Field(
        (0, 1, 2, 3, 4, 5, 6, 9, 12, 15, 18, 27, 43),
        min_length=2,
        description="largest distance from the impact cell [fibres] in each division of an axis; the last division has "
        "the rest",
    )
    clumping: float = Field(
        0.15,
        gt=0,
        description="variance over mean of the light of a fibre, in addition to the Poisson variance; see "
        "`zdc_training.nn.light`",
    )
    clumping_knee: float | None = Field(
        None,
        gt=0,
        description="mean light of a fibre at which its clumping is half of `clumping` [photons]: in bright fibres, "
        "many tracks average out; if absent, clumping is the same at all brightnesses",
    )
    species: tuple[int, ...] = Field(
        (22, 2112, 130, 3122, 310, -2112), description="PDG codes that the networks distinguish"
    )
    decay_lengths: tuple[Weight, ...] = Field(
        (0.0, 2.64e13, 1534.0, 7.89, 2.6844, 2.64e13),
        description="mean decay length c tau of each species [cm] (Particle Data Group); 0: stable",
    )
    groove: float = Field(0.03, gt=0, description="half side of the square air groove around a fibre [cm]")
    fibre: float = Field(0.01825, gt=0, description="radius of a fibre [cm]")
    depth: float = Field(100.0, gt=0, description="length of the calorimeter [cm]")

    @model_validator(mode="after")
    def _a_decay_length_for_each_species(self) -> Self:
        if len(self.decay_lengths) != len(self.species):
            raise ValueError(f"{len(self.decay_lengths)} decay_lengths for {len(self.species)} species")
        return self


class FastLossConfig(ConfigSection):
    """Weights of the terms of `zdc_training.fast.losses`."""

    reconstruction_weight: Weight = Field(
        0.01, description="weight of the Poisson deviance of decoded latents, per shower"
    )
    latent_noise: Weight = Field(
        0.3, description="standard deviation of the noise added to latents, which have unit variance"
    )
    latent_weight: Weight = Field(1.0, description="weight of the energy score of generated latents")
    channel_weight: Weight = Field(1.0, description="weight of the scores of channel sums")
    feature_weight: Weight = Field(0.3, description="weight of the scores of shower shapes")
    image_weight: Weight = Field(0.1, description="weight of the energy score of images in two resolutions")
    gate_weight: Weight = Field(1.0, description="weight of the negative log-likelihood of empty responses")
    mean_weight: Weight = Field(
        0.0, description="weight of the squared errors of mean light, near and far, in units of its variance"
    )
    sum_weight: Weight = Field(0.0, description="weight of the CRPS of photon sums in units of their typical spread")
    feature_scale: Literal["all", "energy"] = Field(
        "all",
        description="unit of shower shapes in their scores: their standard deviation over all training showers, or "
        "around the mean at the same energy",
    )
    draws: int = Field(3, ge=2, description="generated responses of each shower in a score")


class FastConfig(Experiment):
    """The fast generator: an autoencoder on a coarse grid around the entry point, with a generated latent."""

    implementation: ClassVar[str] = "zdc_training.fast.learner:METHOD"
    adaptable: ClassVar[frozenset[str]] = frozenset(
        {"species", "decay_lengths", "clumping", "groove", "fibre", "depth"}
    )

    method: Literal["fast"] = "fast"
    model: FastModelConfig = FastModelConfig()
    loss: FastLossConfig = FastLossConfig()

    @property
    def species(self) -> tuple[int, ...]:
        """See `Experiment`."""
        return self.model.species

    @property
    def condition_scaling(self) -> str:
        """See `Experiment`; the features of an entry split the impact point as ``cell`` does."""
        return "cell"
