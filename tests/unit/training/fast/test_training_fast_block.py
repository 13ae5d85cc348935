"""The fast generator for particles anywhere at the face: sides, edges, angles, species, decays, symmetries."""

import numpy as np
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.files.shower_samples import DATA
from helpers.models.training_runs import SMALL_FAST
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles
from zdc_detector.showers import Showers, read_showers
from zdc_detector.symmetries import turn_conditions, turn_responses
from zdc_training.config.fast import FastModelConfig
from zdc_training.fast.block_features import BlockFeatures, traits
from zdc_training.fast.coarse_frame import CoarseFrame
from zdc_training.fast.learner import fit_mean_rate, fit_profile, turned
from zdc_training.fast.model import FastAutoencoder

SPECIES = (22, 11, -11, 2112, -2112, 2212, -2212, 130, 211, -211, 321, -321)
CONFIG = SMALL_FAST.model_copy(
    update={"entry": "block", "species": SPECIES, "decay_lengths": tuple(1534.0 * (s == 130) for s in SPECIES)}
)
OBLONG = Calorimeter(
    name="oblong",
    shape=(30, 20),
    half_width=(6.0, 3.0),
    face_z=1000.0,
    channel_names=("all",),
    channel_map=("1" * 20,) * 30,
)


def build(calorimeter: Calorimeter = ZN, config: FastModelConfig = CONFIG, clumping: float = 1e-9) -> FastAutoencoder:
    """Untrained networks; without clumping, because the numbers that spread the light stay with their fibres."""
    torch.manual_seed(3)
    model = FastAutoencoder(config.model_copy(update={"clumping": clumping}), calorimeter)
    return model.eval().requires_grad_(False)


def at_face(n: int, calorimeter: Calorimeter = ZN, seed: int = 1, beyond: float = 0.3) -> Particles:
    """Particles of all species on the plane of the face, up to `beyond` cm outside, with slopes up to 5 mrad."""
    rng = np.random.default_rng(seed)
    momentum = np.exp(rng.uniform(np.log(2.0), np.log(7000.0), n))
    slope = rng.uniform(-5e-3, 5e-3, (n, 2))
    point = rng.uniform(-1, 1, (n, 2)) * (np.array(calorimeter.half_width) + beyond)
    return Particles.from_columns(
        {
            "pdg": rng.choice(np.array(SPECIES), n),
            "px": slope[:, 0] * momentum,
            "py": slope[:, 1] * momentum,
            "pz": momentum,
            "vx": point[:, 0],
            "vy": point[:, 1],
            "vz": np.full(n, calorimeter.face_z),
        }
    )


def inputs(particles: Particles, seed: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Particles, noise with open gates, and PDG codes."""
    noise = torch.randn(len(particles), CONFIG.noise, generator=torch.Generator().manual_seed(seed))
    noise[:, -1] = 9.0
    return torch.from_numpy(particles.conditions), noise, torch.from_numpy(particles.pdg.astype(np.int64))


def photon(vx: float, vy: float, slope: float, vz: float = ZN.face_z) -> Particles:
    """One photon of 100 GeV with a slope along x."""
    columns = {"pdg": 22, "px": 100 * slope, "py": 0.0, "pz": 100.0, "vx": vx, "vy": vy, "vz": vz}
    return Particles.from_columns({name: np.array([value]) for name, value in columns.items()})


def light(model: FastAutoencoder, particles: Particles) -> NDArray[np.float32]:
    """Photon sum of each particle, shape (N,)."""
    found: NDArray[np.float32] = model.rates(*inputs(particles)).sum(dim=(1, 2)).numpy()
    return found


@pytest.fixture(scope="module")
def showers() -> Showers:
    """Geant4 showers."""
    return read_showers(DATA / "zn_geant4_test.h5")[:150]


def test_only_electron_and_positron_have_equal_traits() -> None:
    found = {code: traits(code) for code in SPECIES}
    assert found[11] == found[-11]
    assert len(set(found.values())) == len(SPECIES) - 1
    assert found[2212] == (0, 0, 1, 1, 1, 0, 0, 0)
    assert found[-2112] == (0, 0, 0, 0, 0, 1, 0, 0)
    assert found[-321] == (0, 0, 1, -1, 0, 0, 1, 1)


@pytest.mark.parametrize(
    ("code", "mass", "released"), [(2112, 939.565, 0.5604), (-2212, 938.272, 2.438), (11, 0.5, 1.5)]
)
def test_the_energy_is_what_an_absorbed_particle_releases(code: int, mass: float, released: float) -> None:
    particles = torch.tensor([[1.5, 0, 0, 0, 0, 0, 1.0, mass, 0]])
    found = BlockFeatures(CONFIG, ZN).log_energy(particles, torch.tensor([code]))
    assert float(found.exp()) * 300 == pytest.approx(released, rel=1e-3)


@pytest.mark.parametrize("calorimeter", [ZN, OBLONG])
def test_ways_in_block_groove_and_fibre_are_those_of_lines_that_are_walked(calorimeter: Calorimeter) -> None:
    config = CONFIG.model_copy(update={"groove": 0.05, "fibre": 0.03})
    frame, features = CoarseFrame(calorimeter, config.reach), BlockFeatures(config, calorimeter)
    particles, _, pdg = inputs(at_face(400, calorimeter))
    entry = frame.entry(particles)
    found = features(entry, features.log_energy(particles, pdg), particles, pdg).numpy()
    assert found.shape == (400, features.columns)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 10
    depth = (np.arange(10_000) + 0.5) / 10_000
    point = frame.geometry.impact_point(particles).numpy()[:, :, None]
    slope = (particles[:, 4:6] / particles[:, 6:7]).numpy()[:, :, None]
    place = point + slope * config.depth * depth
    inside = np.all(np.abs(place) < np.array(calorimeter.half_width)[:, None], axis=1)
    start, end = (number[:, 0].numpy() for number in features.in_block(entry))
    assert np.abs((end - start) - inside.mean(axis=1)).max() < 1e-3
    assert np.abs(np.where(inside.any(axis=1), np.argmax(inside, axis=1) / 10_000 - start, 0)).max() < 1e-3
    assert ((end > start) == features.reaches(entry, particles)[:, 0].numpy()).all()
    assert 10 < (start > 0)[end > start].sum() < 100
    assert 10 < (end < 1)[end > start].sum() < 300
    pitch = np.array([2 * half / n for half, n in zip(calorimeter.half_width, calorimeter.shape, strict=True)])
    centre = (entry.cell.numpy() + 0.5) * pitch - np.array(calorimeter.half_width)
    relative = place - centre[:, :, None]
    groove = inside & (np.abs(relative) < config.groove).all(axis=1)
    fibre = inside & (np.hypot(relative[:, 0], relative[:, 1]) < config.fibre)
    columns = found.shape[1]
    first = columns - 6 - 7 - 7  # the last of the linear features, before the logarithms and energies
    for column, walked in ((first + 3, groove.mean(axis=1)), (first + 4, fibre.mean(axis=1)), (first + 5, start)):
        assert np.abs(found[:, column] - walked).max() < 1e-3
    assert 10 < groove.any(axis=1).sum() < 300


@pytest.mark.parametrize(("vx", "slope", "lit"), [
    (3.51, 0.0, True), (3.6, 0.0, False), (3.6, -5e-3, True), (3.6, -5e-4, False), (3.6, 5e-3, False),
    (-3.6, 5e-3, True),
    (3.52 + 0.6, -5e-3, False),
])  # fmt: skip
def test_a_particle_beside_the_face_gives_light_if_its_line_meets_a_side(vx: float, slope: float, lit: bool) -> None:
    model = build()
    for turn in range(8):
        particles = photon(vx, 0.3, slope)
        conditions = turn_conditions(particles.conditions, turn)
        rates = model.rates(torch.from_numpy(conditions), *inputs(particles)[1:])
        assert (float(rates.sum()) > 0) == lit


def test_a_particle_behind_the_face_gives_no_light() -> None:
    model = build()
    assert light(model, photon(0.1, 0.3, 1e-4))[0] > 0
    assert light(model, photon(0.1, 0.3, 1e-4, vz=ZN.face_z + 1))[0] == 0


def test_a_row_from_the_interaction_point_is_the_row_at_the_face(showers: Showers) -> None:
    model, particles = build(), showers.particles
    stable = particles[np.flatnonzero(np.isin(particles.pdg, (22, 2112)))]
    conditions = stable.conditions.copy()
    conditions[:, 1:3], conditions[:, 3] = ZN.impact_points(conditions), ZN.face_z
    given, noise, pdg = inputs(stable)
    rates, moved = model.rates(given, noise, pdg), model.rates(torch.from_numpy(conditions), noise, pdg)
    # A line within 1 um of the boundary of a cell may be in the other cell after rounding.
    same = (rates - moved).abs().amax(dim=(1, 2)) < 1e-3 * rates.max()
    assert same.float().mean() > 0.97


def test_decays_before_the_face_put_out_their_share() -> None:
    model = build()
    values = {"pdg": 130, "px": 0.001, "py": 0.002, "pz": 9.0, "vx": 0.0, "vy": 0.0, "vz": 0.0}
    kaon = Particles.from_columns({name: np.full(3000, value) for name, value in values.items()})
    particles, noise, pdg = inputs(kaon)
    noise[:, -1] = torch.randn(3000, generator=torch.Generator().manual_seed(5))
    dark = float(torch.special.ndtr(model.gate(model.read(particles[:1], pdg[:1])[2])))
    survives = np.exp(-ZN.face_z * 0.497611 / 9.0 / 1534)
    lit = float((model.rates(particles, noise, pdg).sum(dim=(1, 2)) > 0).double().mean())
    assert 0.3 < survives < 0.9
    assert lit == pytest.approx(survives * (1 - dark), abs=0.04)  # four standard errors


@pytest.mark.parametrize("turn", range(8))
def test_a_turned_particle_gives_the_turned_response(turn: int) -> None:
    model, particles = build(), at_face(100)
    given, noise, pdg = inputs(particles)
    rates = model.rates(given, noise, pdg).numpy()
    other = model.rates(torch.from_numpy(turn_conditions(given.numpy(), turn)), noise, pdg).numpy()
    assert np.abs(other - turn_responses(rates, turn)).max() < 1e-4 * rates.max()


@pytest.mark.parametrize(("mirror", "axes"), [(1, (1,)), (2, (2,)), (3, (1, 2))])
def test_an_oblong_face_has_its_mirrors(mirror: int, axes: tuple[int, ...]) -> None:
    model, particles = build(OBLONG), at_face(100, OBLONG)
    given, noise, pdg = inputs(particles)
    rates = model.rates(given, noise, pdg)
    assert rates.shape == (100, 30, 20)
    turned_particles = torch.from_numpy(turn_conditions(given.numpy(), mirror))
    assert torch.allclose(model.rates(turned_particles, noise, pdg), rates.flip(axes), atol=1e-4 * float(rates.max()))


def test_features_depend_on_the_distance_to_the_edge_and_not_on_the_place_in_the_middle() -> None:
    model = build()

    def features(cells: int) -> torch.Tensor:
        given, _, pdg = inputs(photon(3.52 - 0.16 * cells - 0.01, 0.3, 1e-4))
        return model.read(given, pdg)[2]

    assert (features(20) - features(21)).abs().max() < 0.05
    assert (features(0) - features(1)).abs().max() > 0.3


def test_a_turned_shower_keeps_its_light_and_shares_are_those_of_the_profile(showers: Showers) -> None:
    model = build()
    fit_profile(model, showers)
    batch = turned(model, showers)
    assert np.array_equal(batch.channels.numpy(), ZN.channel_sums(showers.responses))
    assert np.array_equal(batch.photons.sum(dim=1).numpy(), showers.responses.sum(axis=(1, 2)))
    # With equal rates everywhere, the light on the face is the sum of the shares; half precision has three digits.
    for parameter in model.decoder[-1:].parameters():
        parameter.zero_()
    given, noise, pdg = inputs(showers.particles)
    expected = batch.fibres.float().sum(dim=(1, 2)) * batch.log_energy[:, 0].exp()
    assert torch.allclose(model.rates(given, noise, pdg).sum(dim=(1, 2)), expected, rtol=2e-3)


def test_mean_rates_are_those_of_the_kind(showers: Showers) -> None:
    model = build()
    fit_profile(model, showers)
    batch = turned(model, showers)
    fit_mean_rate(model, batch, batch.fibres.sum(dim=2, dtype=torch.float32))
    expected = model.expected(batch.features, batch.log_energy).exp() * batch.fibres.float().sum(dim=2)
    kind = model.electromagnetic(batch.features)[:, 0] == 1
    for rows in (kind, ~kind):
        assert float(expected[rows].sum()) == pytest.approx(float(batch.photons[rows].sum()), rel=0.05)
    far = model.mean_rate[:, 0] - model.mean_rate.amax(dim=1)  # the unit in a corner
    assert far[0] > far[1] + 0.5


def test_networks_for_another_face_begin_with_its_own_shares() -> None:
    ours, theirs = build(), build()
    theirs.mean_rate.fill_(-3.0)
    assert ours.adapted(theirs).keys() == ours.state_dict().keys()
    oblong = build(OBLONG)
    given = oblong.adapted(theirs)
    assert "profile.windows" not in given
    faces = {name for name in given if name.startswith("frame.")}
    own = oblong.state_dict()
    assert all(value.shape == own[name].shape for name, value in given.items() if name not in faces)
