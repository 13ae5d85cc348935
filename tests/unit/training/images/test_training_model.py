"""The three networks: shapes, gradients, determinism, geometry of the frame, save and load."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.files.shower_samples import DATA
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CONDITIONS, PX, PZ, VX, VY, VZ
from zdc_detector.showers import read_showers
from zdc_training.config.images import LossConfig, SinkhornConfig, SinkhornModelConfig
from zdc_training.images.e2esae import SinkhornAutoencoder, SinkhornObjective
from zdc_training.nn.geometry import ConditionScaler, FaceGeometry
from zdc_training.nn.light import MAX_LOG_PHOTONS
from zdc_training.nn.method import build_model

#: Another face than ZN's, with odd sizes on the way down: 30 -> 15 -> 8 -> 4 -> 2 and 20 -> 10 -> 5 -> 3 -> 2.
OBLONG = Calorimeter(
    name="oblong",
    shape=(30, 20),
    half_width=(3.0, 2.0),
    face_z=1000.0,
    channel_names=("all",),
    channel_map=("1" * 20,) * 30,
)
SMALL = {"latent": 6, "channels": (4, 4, 4, 4), "hidden": (16, 16, 16)}
FORMS = [
    SinkhornModelConfig(**SMALL),
    SinkhornModelConfig(conditional=False, **SMALL),
    SinkhornModelConfig(frame="face", scaling="face", **SMALL),
    SinkhornModelConfig(frame="face", scaling="linear", **SMALL),
    SinkhornModelConfig(normalise_latents=False, **SMALL),
]
LOSSES = [
    LossConfig(reconstruction="mse", diversity_weight=0.1, encoder_l2=0.1, diversity_threshold=0.0),
    LossConfig(reconstruction="poisson", diversity_weight=0.1, encoder_l2=0.1, diversity_threshold=0.0),
]


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """log(1 + photons) and conditions of Geant4 showers."""
    showers = read_showers(DATA / "zn_geant4_test.h5")[:120]
    return torch.from_numpy(showers.responses.astype(np.float32)).log1p(), torch.from_numpy(
        showers.particles.conditions
    )


def build(config: SinkhornModelConfig, particles: torch.Tensor, positive: bool = False) -> SinkhornAutoencoder:
    torch.manual_seed(3)
    model = SinkhornAutoencoder(config, ZN, rates=positive)
    model.scaler.fit(particles)
    return model


def test_the_fourth_term_acts_on_latents_only_where_they_are_not_normalised(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    images, particles = batch
    for normalised in (True, False):
        model = build(SinkhornModelConfig(normalise_latents=normalised, **SMALL), particles).train()
        with torch.no_grad():
            model.encoder.last.bias.zero_()
            before = model.encoder(images)
            model.encoder.last.weight.mul_(3.0)
            after = model.encoder(images)
        assert torch.allclose(after, before if normalised else 3.0 * before, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("config", FORMS)
@pytest.mark.parametrize("loss", LOSSES, ids=["mse", "poisson"])
def test_shapes_and_a_gradient_in_every_parameter(
    config: SinkhornModelConfig, loss: LossConfig, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, particles = batch
    model = build(config, particles, loss.reconstruction == "poisson")
    noise = torch.randn(len(images), config.noise, generator=torch.Generator().manual_seed(1))
    assert model.encoder(images).shape == (len(images), config.latent)
    assert model.noise_generator(noise, model.scaler(particles)).shape == (len(images), config.latent)
    assert model.rates(particles, noise).shape == images.shape

    terms = SinkhornObjective(loss)(model, images, particles, torch.Generator().manual_seed(2))
    assert set(terms) == {"reconstruction", "sinkhorn", "diversity", "encoder_l2"}
    terms.total().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_sinkhorn_term_moves_both_networks(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, particles = batch
    model = build(FORMS[0], particles)
    SinkhornObjective(LossConfig())(model, images, particles, torch.Generator())["sinkhorn"].backward()
    for network in (model.encoder, model.noise_generator):
        moved = sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None)
        assert moved > 0
    assert all(p.grad is None for p in model.decoder.parameters())


def test_unconditional_form_does_not_see_the_conditions(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, particles = batch
    model = build(FORMS[1], particles).eval()
    noise = torch.randn(len(images), FORMS[1].noise)
    scaled = model.scaler(particles)
    assert torch.equal(model.noise_generator(noise, scaled), model.noise_generator(noise, scaled.flip(0)))
    conditional = build(FORMS[0], particles).eval()
    assert not torch.equal(
        conditional.noise_generator(noise, scaled), conditional.noise_generator(noise, scaled.flip(0))
    )


def test_same_seed_same_networks_and_same_rates(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    particles = batch[1]
    config = SinkhornConfig(model=FORMS[0])
    noise = torch.randn(len(particles), FORMS[0].noise)
    first, second = (build_model(config, ZN).eval() for _ in range(2))
    other = build_model(SinkhornConfig(model=FORMS[0], seed=2), ZN).eval()
    assert torch.equal(first.rates(particles, noise), second.rates(particles, noise))
    assert not torch.equal(first.rates(particles, noise), other.rates(particles, noise))


@pytest.mark.parametrize("config", FORMS)
def test_save_and_load(config: SinkhornModelConfig, batch: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    images, particles = batch
    model = build(config, particles)
    model.encoder(images)  # moves the running statistics of the normalisations
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.manual_seed(99)
    loaded = SinkhornAutoencoder(config, ZN)
    loaded.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    noise = torch.randn(len(images), config.noise)
    assert torch.equal(model.eval().rates(particles, noise), loaded.eval().rates(particles, noise))
    assert torch.equal(model.encoder(images), loaded.encoder(images))


def test_another_calorimeter() -> None:
    model = SinkhornAutoencoder(SinkhornModelConfig(**SMALL), OBLONG).eval()
    particles = torch.tensor([[100.0, 0, 0, 0, 0.2, -0.1, 100.0, 939.565, 0]])
    assert model.rates(particles, torch.zeros(1, 10)).shape == (1, 30, 20)


def test_a_line_that_misses_the_face_gives_zeros(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    particles = batch[1].clone()
    particles[::2, PX] = particles[::2, PZ] * 1e-3  # 11 cm off the axis
    model = build(FORMS[0], batch[1], positive=True).eval()
    rates = model.rates(particles, torch.randn(len(particles), 10))
    assert rates[::2].abs().sum() == 0
    assert (rates[1::2].sum(dim=(1, 2)) > 0).all()


def test_rates_stay_below_the_file_layouts_largest_count(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = build(FORMS[0], batch[1], positive=True).eval()
    with torch.no_grad():
        model.decoder.bias.fill_(1e6)
        rates = model.rates(batch[1], torch.randn(len(batch[1]), 10))
    assert float(rates.max()) == pytest.approx(np.expm1(MAX_LOG_PHOTONS), rel=1e-5)
    assert float(rates.max()) < 65535


def test_frame_of_the_cell_is_an_exact_shift(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, particles = batch
    geometry = FaceGeometry(ZN)
    cells, within = geometry.cell(particles)
    framed, visible = geometry.to_frame(images, particles)
    assert float(within.abs().max()) <= 1
    for n in range(len(images)):
        row, column = (int(i) for i in cells[n])
        assert framed[n, 22, 22] == images[n, row, column]
        for i, j in ((0, 0), (43, 43), (10, 30)):
            on_face = 0 <= row + i - 22 < 44 and 0 <= column + j - 22 < 44
            assert bool(visible[n, i, j]) == on_face
            assert framed[n, i, j] == (images[n, row + i - 22, column + j - 22] if on_face else 0)
    back = geometry.to_face(framed, particles)
    kept = geometry.to_face(torch.ones_like(images), particles) > 0
    assert torch.equal(back[kept], images[kept])
    assert back[~kept].abs().sum() == 0


def test_impact_point_and_face_agree_with_the_detector(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    particles = batch[1].clone()
    particles[::3, PX] *= 30
    particles[::5, VZ] = torch.linspace(0.9 * ZN.face_z, 1.5 * ZN.face_z, len(particles[::5]))
    geometry = FaceGeometry(ZN)
    # float32 against float64: 3.5 cm has a rounding unit of 2.4e-7 cm.
    expected = ZN.impact_points(particles.numpy())
    assert np.allclose(geometry.impact_point(particles).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(geometry.hits_face(particles).numpy() > 0, ZN.hits_face(particles.numpy()))


@pytest.mark.parametrize("face_z", [ZN.face_z, 11260.0, 11259.1])
def test_a_particle_at_the_face_is_not_behind_it(face_z: float, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """float32 rounds some of these distances up and others down."""
    geometry = FaceGeometry(ZN.model_copy(update={"face_z": face_z}))
    particles = batch[1].clone()
    particles[:, PX] *= 10
    particles[:, [VX, VY]] = torch.tensor([1.25, -0.5])
    particles[:, VZ] = face_z
    assert torch.equal(geometry.impact_point(particles), particles[:, [VX, VY]])
    assert geometry.hits_face(particles).all()
    particles[:, VZ] += 1e-3  # one step of float32
    assert not geometry.hits_face(particles).any()


@pytest.mark.parametrize("scaling", ["linear", "face", "cell"])
def test_scaled_conditions_are_of_order_one(scaling: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    scaler = ConditionScaler(scaling, FaceGeometry(ZN))
    scaler.fit(batch[1])
    scaled = scaler(batch[1])
    assert scaled.shape == (len(batch[1]), len(CONDITIONS))
    assert float(scaled.abs().max()) < 8
    assert float(scaled[:, -1].abs().max()) == 0  # charge is constant: scale 1


@pytest.mark.parametrize("scaling", ["face", "cell"])
def test_a_displaced_beam_stays_a_small_number(scaling: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    scaler = ConditionScaler(scaling, FaceGeometry(ZN))
    scaler.fit(batch[1])
    moved = batch[1].clone()
    moved[:, VX] += 0.1  # 1 mm, sixteen times the spread of the training set
    assert float((scaler(moved) - scaler(batch[1])).abs()[:, VX].max()) < 0.1


@pytest.mark.parametrize("scaling", ["face", "cell"])
def test_a_far_vertex_acts_through_the_impact_point_alone(scaling: str) -> None:
    scaler = ConditionScaler(scaling, FaceGeometry(ZN))
    vz = torch.tensor([-100.0, -22.5, -5.0, 0.0, 5.0, 22.5, 100.0])
    particles = torch.tensor([[100.0, 0, 0, 0, 0, 0, 100.0, 0, 0]]).repeat(len(vz), 1)
    particles[:, VZ] = vz
    scaled = scaler(particles)
    assert scaled[:, VZ].tolist() == scaled[[1, 1, 2, 3, 4, 5, 5], VZ].tolist()
    assert len(scaled[:, VZ].unique()) == 5
