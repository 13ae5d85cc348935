"""Keys of the methods that encode and decode whole images: the e2eSAE and its rivals (paper, sections 2-4)."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from zdc_detector.particles import CONDITIONS

from zdc_training.config.sections import ConfigSection, Experiment, OptimiserConfig, Positive, Weight


class NetworkConfig(ConfigSection):
    """Networks of equal capacity in every method (paper, section 4)."""

    conditional: bool = Field(True, description="give the conditions to the networks and to the cost of eq. 8")
    frame: Literal["face", "cell"] = Field(
        "cell", description="`face`: images as they are; `cell`: shifted so that the fibre cell that is hit is central"
    )
    scaling: Literal["linear", "face", "cell"] = Field(
        "cell",
        description="`linear`: the nine as they are; `face`: log E and the impact point; `cell`: that point as fibre "
        "cell and place within it",
    )
    latent: Positive = Field(32, description="numbers in the latent")
    channels: tuple[Positive, Positive, Positive, Positive] = Field(
        (16, 32, 64, 64), description="feature maps of the four convolutions; the decoder mirrors them"
    )
    hidden: tuple[Positive, Positive, Positive] = Field(
        (256, 256, 256), description="widths of the dense layers between noise, conditions and the decoder"
    )


class NoisyNetworkConfig(NetworkConfig):
    """Networks whose noise is no latent."""

    noise: Positive = Field(10, description="numbers of noise")


class SinkhornModelConfig(NoisyNetworkConfig):
    """Networks whose latent has no prior."""

    normalise_latents: bool = Field(
        True,
        description="give encoded latents unit variance over the batch; `loss.encoder_l2` acts on them only without it",
    )


class ReconstructionConfig(ConfigSection):
    """L_recon of eq. 2."""

    reconstruction: Literal["mse", "laplacian", "poisson"] = Field(
        "mse",
        description="`mse` of log(1 + photons); `laplacian`: eq. 2 of the same; or the `poisson` likelihood of photons",
    )
    reconstruction_weight: Weight = Field(1.0, description="alpha of eq. 7; not that of eq. 2")
    pyramid_weight: Weight = Field(
        1.0, description="alpha of eq. 2, of the Laplacian pyramid beside the squared error; not that of eq. 7"
    )


class SinkhornCostConfig(ReconstructionConfig):
    """The divergence of eq. 3-4."""

    sinkhorn_weight: Weight = Field(1.0, description="beta of eq. 7")
    blur: float = Field(0.1, gt=0, description="geomloss's name for sqrt(epsilon) of eq. 3-4 with p = 2; see `losses`")
    scaling: float = Field(0.5, gt=0, lt=1, description="ratio of successive blurs while Sinkhorn anneals")


class LossConfig(SinkhornCostConfig):
    """The four terms of eq. 7 and the cost of eq. 8."""

    diversity_weight: Weight = Field(0.0, description="delta of eq. 7 with p of eq. 5; the sum is taken per pair")
    diversity_threshold: float = Field(0.5, ge=0, le=1, description="tau of eq. 6")
    encoder_l2: Weight = Field(
        0.0,
        description="gamma of eq. 7: L2 on the weights of the encoder's last layer; with `model.normalise_latents` "
        "latents do not depend on their size, see `e2esae`",
    )
    latent_noise: Weight = Field(
        0.0, description="deviation of the Gaussian noise on encoded latents before they are decoded; see `e2esae`"
    )
    condition_scale: float | tuple[float, ...] = Field(
        1.0, description="factor on the scaled conditions in the cost of eq. 8: one number, or one for each of the nine"
    )

    @model_validator(mode="after")
    def _nine_scales(self) -> Self:
        if isinstance(self.condition_scale, tuple) and len(self.condition_scale) != len(CONDITIONS):
            raise ValueError(f"condition_scale needs 1 or {len(CONDITIONS)} numbers, got {len(self.condition_scale)}")
        return self


class ImageOptimiserConfig(OptimiserConfig):
    """The optimiser, and what its steps are computed in."""

    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the networks' products in training; `bfloat16` on GPUs only. Losses stay in float32"
    )


class ImageExperiment(Experiment):
    """What experiments on whole images have in common."""

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
    """What experiments with encoder and decoder have in common."""

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
    """The evidence bound, with a weight on its second term."""

    kl_weight: Weight = Field(
        1.0,
        description="weight of the Kullback-Leibler divergence of a shower's posterior from the prior, in nats; the "
        "reconstruction is a mean over fibres, so the bound itself has reconstruction_weight / fibres",
    )


class VaeConfig(AutoencoderExperiment):
    """The variational autoencoder, conditional in encoder and decoder (paper, sections 1-2)."""

    implementation: ClassVar[str] = "zdc_training.images.vae:METHOD"

    method: Literal["vae"] = "vae"
    model: NetworkConfig = NetworkConfig()
    loss: VaeLossConfig = VaeLossConfig()


class WaeLossConfig(ReconstructionConfig):
    """The Wasserstein autoencoder's penalty by maximum mean discrepancy."""

    mmd_weight: Weight = Field(1.0, description="weight of the discrepancy between encoded latents and the prior")


class WaeConfig(AutoencoderExperiment):
    """The Wasserstein autoencoder with MMD, conditional in encoder and decoder (paper, section 2)."""

    implementation: ClassVar[str] = "zdc_training.images.wae:METHOD"

    method: Literal["wae"] = "wae"
    model: NetworkConfig = NetworkConfig()
    loss: WaeLossConfig = WaeLossConfig()


class SwaeLossConfig(ReconstructionConfig):
    """The sliced Wasserstein distance to the prior."""

    sliced_weight: Weight = Field(1.0, description="weight of the squared sliced distance of latents and prior")
    projections: Positive = Field(50, description="directions, drawn anew in every step")


class SwaeConfig(AutoencoderExperiment):
    """The sliced Wasserstein autoencoder (paper, section 2)."""

    implementation: ClassVar[str] = "zdc_training.images.swae:METHOD"

    method: Literal["swae"] = "swae"
    model: NetworkConfig = NetworkConfig()
    loss: SwaeLossConfig = SwaeLossConfig()


class SaeModelConfig(NetworkConfig):
    """Networks with a prior."""

    prior: Literal["normal", "hypersphere"] = Field(
        "hypersphere", description="what latents are compared with; on the `hypersphere` they have the length 1"
    )


class SaeConfig(AutoencoderExperiment):
    """The Sinkhorn autoencoder, whose latent follows a prior (paper, section 2)."""

    implementation: ClassVar[str] = "zdc_training.images.sae:METHOD"

    method: Literal["sae"] = "sae"
    model: SaeModelConfig = SaeModelConfig()
    loss: SinkhornCostConfig = SinkhornCostConfig()

    @property
    def blur(self) -> float | None:
        """See `Experiment`."""
        return self.loss.blur


class DcganLossConfig(ConfigSection):
    """The game of generator and discriminator."""

    discriminator_rate: float = Field(
        1.0, gt=0, description="learning rate of the discriminator, as a multiple of the generator's"
    )
    momentum: float = Field(0.5, ge=0, lt=1, description="first moment's decay in both optimisers (Adam's beta_1)")


class DcganConfig(ImageExperiment):
    """The deep convolutional GAN, conditional in both networks (paper, sections 2 and 4)."""

    implementation: ClassVar[str] = "zdc_training.images.dcgan:METHOD"

    method: Literal["dcgan"] = "dcgan"
    model: NoisyNetworkConfig = NoisyNetworkConfig()
    loss: DcganLossConfig = DcganLossConfig()
