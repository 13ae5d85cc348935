"""Keys of the methods on whole images: the e2eSAE and the models the paper compares it with (sections 2-4)."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from zdc_detector.particles import CONDITIONS

from zdc_training.config.sections import ConfigSection, Experiment, OptimiserConfig, Positive, Weight


class NetworkConfig(ConfigSection):
    """Networks of equal capacity for every method (paper, section 4)."""

    conditional: bool = Field(True, description="use the conditions in the networks and in the cost of eq. 8")
    frame: Literal["face", "cell"] = Field(
        "cell",
        description="frame of the images: `face`, unchanged; `cell`, shifted so that the fibre cell that is hit is in "
        "the middle",
    )
    scaling: Literal["linear", "face", "cell"] = Field(
        "cell",
        description="variables before standardisation: `linear`, the nine conditions; `face`, log E and the impact "
        "point; "
        "`cell`, the impact point as fibre cell and position in the cell",
    )
    latent: Positive = Field(32, description="dimension of the latent")
    channels: tuple[Positive, Positive, Positive, Positive] = Field(
        (16, 32, 64, 64),
        description="feature maps of the four convolutions of the encoder; the decoder has them in reverse order",
    )
    hidden: tuple[Positive, Positive, Positive] = Field(
        (256, 256, 256), description="widths of the dense layers of the noise generator"
    )


class NoisyNetworkConfig(NetworkConfig):
    """Networks whose noise dimension is a key."""

    noise: Positive = Field(10, description="dimension of the noise")


class SinkhornModelConfig(NoisyNetworkConfig):
    """Networks without a prior for the latent."""

    normalise_latents: bool = Field(
        True,
        description="normalise encoded latents to unit variance over the batch; `loss.encoder_l2` acts on them only if "
        "this is false",
    )


class ReconstructionConfig(ConfigSection):
    """L_recon of eq. 2."""

    reconstruction: Literal["mse", "laplacian", "poisson"] = Field(
        "mse",
        description="`mse`: squared error of log(1 + photons); `laplacian`: eq. 2 for log(1 + photons); `poisson`: "
        "negative "
        "log-likelihood of the photon counts",
    )
    reconstruction_weight: Weight = Field(1.0, description="alpha of eq. 7 (not alpha of eq. 2)")
    pyramid_weight: Weight = Field(
        1.0, description="alpha of eq. 2, the weight of the Laplacian pyramid (not alpha of eq. 7)"
    )


class SinkhornCostConfig(ReconstructionConfig):
    """The divergence of eq. 3-4."""

    sinkhorn_weight: Weight = Field(1.0, description="beta of eq. 7")
    blur: float = Field(
        0.1,
        gt=0,
        description="sqrt(epsilon) of eq. 3-4 with p = 2, called blur by geomloss; see `zdc_training.images.losses`",
    )
    scaling: float = Field(
        0.5, gt=0, lt=1, description="ratio of successive blurs in the annealing of the Sinkhorn iterations"
    )


class LossConfig(SinkhornCostConfig):
    """The four terms of eq. 7 and the cost of eq. 8."""

    diversity_weight: Weight = Field(
        0.0, description="delta of eq. 7 times p of eq. 5; the sum of eq. 5 is divided by the number of pairs"
    )
    diversity_threshold: float = Field(0.5, ge=0, le=1, description="tau of eq. 6")
    encoder_l2: Weight = Field(
        0.0,
        description="gamma of eq. 7: L2 penalty on the weights of the last layer of the encoder; no effect on latents "
        "if "
        "`model.normalise_latents` is true, see `zdc_training.images.e2esae`",
    )
    latent_noise: Weight = Field(
        0.0,
        description="standard deviation of the Gaussian noise added to encoded latents before they are decoded; see "
        "`zdc_training.images.e2esae`",
    )
    condition_scale: float | tuple[float, ...] = Field(
        1.0,
        description="factor on the scaled conditions in the cost of eq. 8: one number, or one for each of the nine "
        "conditions",
    )

    @model_validator(mode="after")
    def _nine_scales(self) -> Self:
        if isinstance(self.condition_scale, tuple) and len(self.condition_scale) != len(CONDITIONS):
            raise ValueError(f"condition_scale needs 1 or {len(CONDITIONS)} numbers, got {len(self.condition_scale)}")
        return self


class ImageOptimiserConfig(OptimiserConfig):
    """The optimiser, and the number format of its steps."""

    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="format of matrix products and convolutions in training; `bfloat16` on GPUs only. Losses are "
        "always in float32",
    )


class ImageExperiment(Experiment):
    """Keys of all methods on whole images."""

    optimiser: ImageOptimiserConfig = ImageOptimiserConfig()
    model: NetworkConfig = NetworkConfig()

    @property
    def condition_scaling(self) -> str:
        """See `Experiment`."""
        return self.model.scaling

    @property
    def precision(self) -> str:
        """See `Experiment`."""
        return self.optimiser.precision


class AutoencoderExperiment(ImageExperiment):
    """Keys of all methods with encoder and decoder."""

    loss: ReconstructionConfig = ReconstructionConfig()


class SinkhornConfig(AutoencoderExperiment):
    """The end-to-end Sinkhorn autoencoder (paper, section 3), conditional or not."""

    implementation: ClassVar[str] = "zdc_training.images.e2esae:METHOD"

    method: Literal["sinkhorn"] = "sinkhorn"
    model: SinkhornModelConfig = SinkhornModelConfig()
    loss: LossConfig = LossConfig()

    @property
    def blur(self) -> float | None:
        """See `Experiment`."""
        return self.loss.blur


class VaeLossConfig(ReconstructionConfig):
    """The evidence lower bound, with a weight on the Kullback-Leibler term."""

    kl_weight: Weight = Field(
        1.0,
        description="weight of the Kullback-Leibler divergence of a shower's posterior from the prior [nats]; the "
        "reconstruction is a mean over fibres, so the evidence bound has the weight reconstruction_weight / fibres",
    )


class VaeConfig(AutoencoderExperiment):
    """The variational autoencoder, conditional in encoder and decoder (paper, sections 1-2)."""

    implementation: ClassVar[str] = "zdc_training.images.vae:METHOD"

    method: Literal["vae"] = "vae"
    model: NetworkConfig = NetworkConfig()
    loss: VaeLossConfig = VaeLossConfig()


class WaeLossConfig(ReconstructionConfig):
    """The Wasserstein autoencoder's penalty by maximum mean discrepancy."""

    mmd_weight: Weight = Field(
        1.0, description="weight of the squared maximum mean discrepancy between encoded latents and the prior"
    )


class WaeConfig(AutoencoderExperiment):
    """The Wasserstein autoencoder with MMD, conditional in encoder and decoder (paper, section 2)."""

    implementation: ClassVar[str] = "zdc_training.images.wae:METHOD"

    method: Literal["wae"] = "wae"
    model: NetworkConfig = NetworkConfig()
    loss: WaeLossConfig = WaeLossConfig()


class SwaeLossConfig(ReconstructionConfig):
    """The sliced Wasserstein distance to the prior."""

    sliced_weight: Weight = Field(
        1.0, description="weight of the squared sliced Wasserstein distance between encoded latents and the prior"
    )
    projections: Positive = Field(50, description="random directions, drawn in every step")


class SwaeConfig(AutoencoderExperiment):
    """The sliced Wasserstein autoencoder (paper, section 2)."""

    implementation: ClassVar[str] = "zdc_training.images.swae:METHOD"

    method: Literal["swae"] = "swae"
    model: NetworkConfig = NetworkConfig()
    loss: SwaeLossConfig = SwaeLossConfig()


class SaeModelConfig(NetworkConfig):
    """Networks with a prior for the latent."""

    prior: Literal["normal", "hypersphere"] = Field(
        "hypersphere", description="prior of the latent: standard `normal`, or uniform on the unit `hypersphere`"
    )


class SaeConfig(AutoencoderExperiment):
    """The Sinkhorn autoencoder with a prior for the latent (paper, section 2)."""

    implementation: ClassVar[str] = "zdc_training.images.sae:METHOD"

    method: Literal["sae"] = "sae"
    model: SaeModelConfig = SaeModelConfig()
    loss: SinkhornCostConfig = SinkhornCostConfig()

    @property
    def blur(self) -> float | None:
        """See `Experiment`."""
        return self.loss.blur


class DcganLossConfig(ConfigSection):
    """The training of generator and discriminator."""

    discriminator_rate: float = Field(
        1.0, gt=0, description="learning rate of the discriminator, as a multiple of the generator's"
    )
    momentum: float = Field(
        0.5, ge=0, lt=1, description="decay of the first moment in both optimisers (beta_1 of Adam)"
    )


class DcganConfig(ImageExperiment):
    """The deep convolutional GAN, conditional in both networks (paper, sections 2 and 4)."""

    implementation: ClassVar[str] = "zdc_training.images.dcgan:METHOD"

    method: Literal["dcgan"] = "dcgan"
    model: NoisyNetworkConfig = NoisyNetworkConfig()
    loss: DcganLossConfig = DcganLossConfig()
