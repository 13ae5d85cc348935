"""The fast generator: frame, features of grooves and fibres, symmetries, gate."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.files.shower_samples import DATA
from helpers.models.training_runs import SMALL_FAST
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import PX, PZ
from zdc_detector.showers import Showers, read_showers
from zdc_detector.symmetries import apply_symmetry, turn_conditions, turn_responses
from zdc_training.fast.coarse_frame import CoarseFrame, divisions
from zdc_training.fast.entry_features import EntryFeatures
from zdc_training.fast.learner import turned
from zdc_training.fast.model import FastAutoencoder
from zdc_training.nn.light import MAX_LOG_PHOTONS

OBLONG = Calorimeter(
    name="oblong",
    shape=(30, 20),
    half_width=(3.0, 2.0),
    face_z=1000.0,
    channel_names=("all",),
    channel_map=("1" * 20,) * 30,
)


@pytest.fixture(scope="module")
def showers() -> Showers:
    """Geant4 showers."""
    return read_showers(DATA / "zn_geant4_test.h5")[:150]


def build(calorimeter: Calorimeter = ZN, clumping: float = SMALL_FAST.clumping) -> FastAutoencoder:
    torch.manual_seed(3)
    return (
        FastAutoencoder(SMALL_FAST.model_copy(update={"clumping": clumping}), calorimeter).eval().requires_grad_(False)
    )


def inputs(showers: Showers) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Particles, noise and PDG codes."""
    noise = torch.randn(len(showers), SMALL_FAST.noise, generator=torch.Generator().manual_seed(1))
    pdg = torch.from_numpy(showers.particles.pdg.astype(np.int64))
    return torch.from_numpy(showers.particles.conditions), noise, pdg


def test_divisions_are_mirrored_and_the_last_takes_the_rest() -> None:
    assert divisions(6, (0, 1, 3, 4)).tolist() == [0, 0, 0, 1, 1, 2, 3, 4, 5, 5, 6, 6, 6]


def test_a_turned_shower_keeps_all_of_its_light(showers: Showers) -> None:
    batch = turned(build(), showers)
    channels = ZN.channel_sums(showers.responses)
    assert np.array_equal(batch.channels.numpy(), channels)
    assert np.array_equal(batch.photons.sum(dim=1).numpy(), showers.responses.sum(axis=(1, 2)))
    assert (batch.fibres.sum(dim=(1, 2)) == 44 * 44).all()
    assert (batch.photons[batch.fibres.sum(dim=2) == 0] == 0).all()


def test_units_go_back_to_the_fibres_that_they_came_from(showers: Showers) -> None:
    model = build()
    particles = torch.from_numpy(showers.particles.conditions)
    entry, batch = model.frame.entry(particles), turned(model, showers)
    assert (entry.within[:, 0] >= entry.within[:, 1]).all()
    assert (entry.within >= 0).all()
    units = model.frame.units_on_face(entry)
    back, whole = (
        torch.gather(values, 1, units).reshape(-1, 44, 44).numpy()
        for values in (batch.photons, batch.fibres.sum(dim=2))
    )
    alone = whole == 1
    assert alone.sum() > 100 * len(showers)
    assert np.array_equal(back[alone], showers.responses[alone])


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_particle_gives_the_turned_response(showers: Showers, symmetry: int) -> None:
    model = build(clumping=1e-9)  # the numbers that spread the light stay with their fibres
    particles, noise, pdg = inputs(showers)
    with torch.no_grad():
        rates = model.rates(particles, noise, pdg).numpy()
        other = model.rates(torch.from_numpy(turn_conditions(particles.numpy(), symmetry)), noise, pdg).numpy()
    assert np.abs(other - turn_responses(rates, symmetry)).max() < 1e-4 * rates.max()


def test_turned_showers_are_one_shower_to_the_network(showers: Showers) -> None:
    model, first = build(), turned(build(), showers)
    for symmetry in range(1, 8):
        conditions, responses = apply_symmetry(showers.particles.conditions, showers.responses, symmetry)
        particles = replace(showers.particles, conditions=conditions)
        other = turned(model, replace(showers, particles=particles, responses=responses.astype(np.uint16)))
        assert torch.equal(other.photons, first.photons)
        assert torch.allclose(other.features, first.features, atol=1e-4)


def test_crossings_are_those_of_a_line_that_is_walked(showers: Showers) -> None:
    config = SMALL_FAST
    frame, features = CoarseFrame(ZN, config.reach), EntryFeatures(config, ZN)
    particles, _, pdg = inputs(showers)
    entry = frame.entry(particles)
    found = features(entry, features.log_energy(particles, pdg), particles, pdg).numpy()
    assert found.shape == (len(showers), features.columns)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 10
    steps = (np.arange(20_000) + 0.5) / 20_000
    place = entry.within.numpy()[:, :, None] * 0.08 + entry.slope.numpy()[:, :, None] * 100.0 * steps
    groove, fibre = np.abs(place).max(axis=1) < config.groove, np.hypot(place[:, 0], place[:, 1]) < config.fibre
    walked = {
        "in groove": groove[:, 0],
        "in fibre": fibre[:, 0],
        "crosses": groove.any(axis=1),
        "to metal": np.where(groove[:, 0], np.argmin(groove, axis=1) / len(steps), 0.0),
        "to matter": np.argmax(fibre | ~groove, axis=1) / len(steps),
        "into the groove": np.where(groove.any(axis=1), np.argmax(groove, axis=1) / len(steps), 1.0),
        "groove": groove.mean(axis=1),
        "fibre": fibre.mean(axis=1),
    }
    walked["to metal"] = np.where(groove.all(axis=1), 1.0, walked["to metal"])
    walked["to matter"] = np.where((fibre | ~groove).any(axis=1), walked["to matter"], 1.0)
    for name, column in zip(walked, range(9, 17), strict=True):
        assert np.abs(found[:, column] - walked[name]).max() < 1e-3, name
    assert 10 < walked["crosses"].sum() < len(showers)


def test_decays_on_the_way_are_those_of_the_particle_data_group() -> None:
    frame, features = CoarseFrame(ZN, SMALL_FAST.reach), EntryFeatures(SMALL_FAST, ZN)
    mass = {22: 0.0, 130: 497.611, 3122: 1115.683, 310: 497.611, 2112: 939.565, 211: 139.57}
    particles = torch.tensor([[900.0, 0, 0, -8.0, 0.01, 0.02, 900.0, m, 0] for m in mass.values()])
    codes = torch.tensor(list(mass))
    found = features(frame.entry(particles), features.log_energy(particles, codes), particles, codes)
    survives = found[:, features.survival].tolist()
    lengths = {130: 1534.0, 3122: 7.89, 310: 2.6844}
    expected = [np.exp(-(ZN.face_z + 8) * m / 1000 / 900 / lengths[c]) if c in lengths else 1 for c, m in mass.items()]
    assert survives == pytest.approx(expected, rel=1e-3)


def test_a_line_that_misses_the_face_gives_zeros(showers: Showers) -> None:
    particles, noise, pdg = inputs(showers)
    particles, noise = particles.clone(), noise.clone()
    noise[:, -1] = 9.0
    particles[::2, PX] = particles[::2, PZ] * 1e-3  # 11 cm off the axis
    rates = build().rates(particles, noise, pdg)
    assert rates[::2].abs().sum() == 0
    assert (rates[1::2].sum(dim=(1, 2)) > 0).all()


def test_the_gate_puts_out_the_share_that_it_says(showers: Showers) -> None:
    model = build()
    particles, noise, pdg = (tensor[:1].repeat(20_000, *[1] * (tensor.dim() - 1)) for tensor in inputs(showers))
    noise = torch.randn(noise.shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        dark = torch.special.ndtr(model.gate(model.read(particles[:1], pdg[:1])[2])).item()
        out = (model.rates(particles[:, :], noise, pdg).sum(dim=(1, 2)) == 0).double().mean().item()
    assert 0.005 < dark < 0.2
    assert out == pytest.approx(dark, abs=4 * (dark / len(noise)) ** 0.5)


def test_species_of_equal_conditions_differ(showers: Showers) -> None:
    particles, noise, pdg = inputs(showers)
    long, short = (build().rates(particles, noise, torch.full_like(pdg, code)) for code in (130, 310))
    assert not torch.equal(long, short)


def test_rates_stay_below_the_file_layouts_largest_count(showers: Showers) -> None:
    model = build()
    model.mean_rate.fill_(1e6)
    rates = model.rates(*inputs(showers)).detach()
    assert float(rates.max()) == pytest.approx(np.expm1(MAX_LOG_PHOTONS), rel=1e-5)
    assert float(rates.max()) < 65535


def test_another_calorimeter() -> None:
    particles = torch.tensor([[100.0, 0, 0, 0, 0.2, -0.1, 100.0, 939.565, 0]])
    pdg, noise = torch.tensor([2112]), torch.full((1, SMALL_FAST.noise), 5.0)
    model = build(OBLONG, clumping=1e-9)
    rates = model.rates(particles, noise, pdg)
    assert rates.shape == (1, 30, 20)
    assert float(rates.sum()) > 0
    mirrored = model.rates(torch.from_numpy(turn_conditions(particles.numpy(), 1)), noise, pdg)
    assert torch.allclose(mirrored, rates.flip(1), rtol=1e-3)


def test_save_and_load(showers: Showers, tmp_path: Path) -> None:
    model = build()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.manual_seed(99)
    loaded = FastAutoencoder(SMALL_FAST, ZN).eval()
    loaded.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(model.rates(*inputs(showers)), loaded.rates(*inputs(showers)))
