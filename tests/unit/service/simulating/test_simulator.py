"""From a request to a plan and a result: checks, limits, ranges, sides."""

from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import some_particles
from zdc_common.errors import InvalidInputError, ModelNotFoundError, NotReadyError, OutOfRangeError, TooLargeError
from zdc_detector.particles import CHARGE, PZ, VZ, Particles
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, Output, SimulationRequest

#: Species that was not trained, energy above, vertex outside, energy above again; between them two that fit.
MIXED = Particles.from_columns(
    {
        "pdg": [2112, 2212, 2112, 22, 2112, 22],
        "px": [0.0] * 6,
        "py": [0.0] * 6,
        "pz": [1000.0, 1000.0, 2.56e6, 100.0, -1000.0, 1501.0],
        "vz": [0.0, 0.0, 0.0, 31.0, 30.0, 0.0],
    }
)

#: All but the proton.
KNOWN = MIXED[np.array([0, 2, 3, 4, 5])]


def outside(simulator: Simulator, reason: str, policy: str) -> float:
    labels = {"reason": reason, "policy": policy}
    return simulator.instruments.registry.get_sample_value("zdc_out_of_range_particles_total", labels) or 0.0


def test_the_same_seed_gives_the_same_result(simulator: Simulator) -> None:
    request = SimulationRequest(some_particles(50), seed=11)
    first, again = simulator.simulate(request), simulator.simulate(request)
    other = simulator.simulate(SimulationRequest(some_particles(50), seed=12))
    np.testing.assert_array_equal(first.response, again.response)
    assert not np.array_equal(np.asarray(first.response), np.asarray(other.response))


def test_a_seed_is_drawn_returned_and_reproduces(simulator: Simulator) -> None:
    first = simulator.simulate(SimulationRequest(some_particles(3)))
    second = simulator.simulate(SimulationRequest(some_particles(3)))
    assert first.seed != second.seed
    again = simulator.simulate(SimulationRequest(some_particles(3), seed=first.seed))
    np.testing.assert_array_equal(again.response, first.response)


def test_repeats_are_independent_responses_of_one_particle(simulator: Simulator) -> None:
    particles = some_particles(2, seed=5, sides=False)
    result = simulator.simulate(SimulationRequest(particles, seed=1, repeats=40))
    assert result.particle.tolist() == [0] * 40 + [1] * 40
    for particle in range(2):
        sums = result.channels[result.particle == particle].sum(axis=1)
        on_face = simulator.repository.get().card.calorimeter.hits_face(particles.conditions)[particle]
        assert len(np.unique(sums)) > 20 if on_face else not sums.any()


def test_sides_are_mirror_images(simulator: Simulator) -> None:
    toward_a = some_particles(40, sides=False)
    mirrored = toward_a.conditions.copy()
    mirrored[:, [VZ, PZ]] *= -1
    a = simulator.simulate(SimulationRequest(toward_a, seed=3))
    c = simulator.simulate(SimulationRequest(Particles(toward_a.pdg, mirrored), seed=3))
    assert set(a.side) == {b"A"}
    assert set(c.side) == {b"C"}
    np.testing.assert_array_equal(a.response, c.response)


def test_a_line_that_misses_the_face_gives_an_empty_response(simulator: Simulator) -> None:
    particles = some_particles(200)
    result = simulator.simulate(SimulationRequest(particles, seed=3))
    on_face = simulator.repository.get().card.calorimeter.hits_face(particles.conditions)
    assert not result.channels[~on_face].any()
    assert result.channels[on_face].any(axis=1).mean() > 0.9


def test_outside_the_range_is_an_error_that_names_the_particle(simulator: Simulator) -> None:
    before = outside(simulator, "energy", "error")
    with pytest.raises(OutOfRangeError) as caught:
        simulator.simulate(SimulationRequest(MIXED))
    text = str(caught.value)
    assert text.startswith("particle[1]: species: pdg 2212 was not in the training set")
    assert "particle[2]: energy: 2.56e+06 GeV is outside the trained range [50, 2600] GeV of n" in text
    assert "particle[3]: vertex: vz = 31 cm" in text
    assert "and 1 more" in text
    assert outside(simulator, "energy", "error") == before + 2


def test_skipped_particles_get_no_rows_and_leave_the_others_alone(simulator: Simulator) -> None:
    before = outside(simulator, "species", "skip")
    conditions = MIXED.conditions.copy()
    conditions[:, CHARGE] = 0
    known = Particles(np.where(MIXED.pdg == 2212, 22, MIXED.pdg), conditions)
    everything = simulator.simulate(SimulationRequest(known, seed=5, repeats=2, out_of_range=OutOfRange.EXTRAPOLATE))
    result = simulator.simulate(SimulationRequest(MIXED, seed=5, repeats=2, out_of_range=OutOfRange.SKIP))
    assert result.skipped == {"species": 1, "energy": 2, "vertex": 1}
    assert result.extrapolated == {}
    assert result.particle.tolist() == [0, 0, 4, 4]
    assert result.side.tolist() == [b"A", b"A", b"C", b"C"]
    rows = [0, 1, 8, 9]
    np.testing.assert_array_equal(result.response, np.asarray(everything.response)[rows])
    assert outside(simulator, "species", "skip") == before + 1


@pytest.mark.parametrize("output", Output)
def test_a_request_of_skipped_particles_only_has_no_rows(simulator: Simulator, output: Output) -> None:
    particles = MIXED[1:4]
    request = SimulationRequest(particles, out_of_range=OutOfRange.SKIP, output=output)
    result = simulator.simulate(request)
    assert len(result.particle) == len(result.side) == len(result.channels) == 0
    if output is Output.RESPONSE:
        assert np.asarray(result.response).shape == (0, 44, 44)
    if output is Output.HITS:
        assert result.hits is not None
        assert result.hits.offsets.tolist() == [0]


def test_extrapolated_particles_are_simulated_and_counted(simulator: Simulator) -> None:
    before = outside(simulator, "vertex", "extrapolate")
    result = simulator.simulate(SimulationRequest(KNOWN, out_of_range=OutOfRange.EXTRAPOLATE))
    assert result.extrapolated == {"energy": 2, "vertex": 1}
    assert result.skipped == {}
    assert result.particle.tolist() == list(range(5))
    assert outside(simulator, "vertex", "extrapolate") == before + 1


@pytest.mark.parametrize("pdg", [12, 13, 21, 211, 111, 2212, 130, 1000822080])
@pytest.mark.parametrize("policy", [OutOfRange.ERROR, OutOfRange.EXTRAPOLATE])
def test_a_species_that_the_model_does_not_know_is_never_simulated(
    simulator: Simulator, pdg: int, policy: OutOfRange
) -> None:
    """A neutrino of 1 TeV once gave 493 photons."""
    particles = Particles.from_columns({"pdg": [2112, pdg], "px": [0, 0], "py": [0, 0], "pz": [5000.0, 1000.0]})
    with pytest.raises(OutOfRangeError) as caught:
        simulator.simulate(SimulationRequest(particles, out_of_range=policy))
    text = str(caught.value)
    assert f"particle[1]: species: pdg {pdg} was not in the training set" in text
    assert text.endswith("out_of_range = skip leaves such particles out, and no setting simulates another species")
    skipped = simulator.simulate(SimulationRequest(particles, out_of_range=OutOfRange.SKIP))
    assert skipped.skipped == {"species": 1, "energy": 1}


@pytest.mark.parametrize("energy", [1000.0, 9000.0])
@pytest.mark.parametrize("side", [1, -1])
def test_a_particle_born_behind_the_face_misses_it(simulator: Simulator, side: int, energy: float) -> None:
    vz = np.array([0, 11000, 11259, 11260, 11300, 1e6, 1e9, -11300])
    columns = {"pdg": np.full(8, 2112), "px": np.zeros(8), "py": np.zeros(8), "pz": np.full(8, side * energy)}
    particles = Particles.from_columns({**columns, "vz": side * vz})
    request = SimulationRequest(particles, seed=1, repeats=3, out_of_range=OutOfRange.EXTRAPOLATE)
    result = simulator.simulate(request)
    assert result.channels.any(axis=1).tolist() == np.repeat([True] * 3 + [False] * 4 + [True], 3).tolist()
    assert result.side.tolist() == [b"A" if side > 0 else b"C"] * 24


def test_rates_are_what_counts_are_drawn_from(simulator: Simulator) -> None:
    particles = some_particles(4, seed=5, sides=False)
    rates = simulator.simulate(SimulationRequest(particles, seed=1, rates=True))
    counts = simulator.simulate(SimulationRequest(particles, seed=1))
    assert np.asarray(rates.response).dtype == np.float32
    assert np.asarray(counts.response).dtype == np.uint16
    assert rates.channels.dtype == np.float32
    assert counts.channels.dtype == np.uint32
    expected, drawn = np.asarray(rates.response, dtype=np.float64), np.asarray(counts.response, dtype=np.float64)
    assert abs((drawn - expected).sum()) < 5 * np.sqrt(expected.sum())
    assert not drawn[expected == 0].any()


def test_shape_and_channels_come_from_the_card(simulator: Simulator) -> None:
    result = simulator.simulate(SimulationRequest(some_particles(20), seed=1, model="strips"))
    response = np.asarray(result.response)
    assert response.shape == (20, 8, 6)
    assert result.shape == (8, 6)
    assert result.channel_names == ("left", "right")
    np.testing.assert_array_equal(result.channels[:, 0], response[:, :7, :3].sum(axis=(1, 2)))
    np.testing.assert_array_equal(result.channels[:, 1], response[:, :7, 3:].sum(axis=(1, 2)))


def test_species_reach_models_that_take_them(simulator: Simulator) -> None:
    kaon = Particles.from_columns({"pdg": [310], "px": [0.0], "py": [0.0], "pz": [500.0]})
    neutron = Particles(np.array([2112]), kaon.conditions)
    request = {"seed": 1, "model": "strips", "rates": True}
    results = [simulator.simulate(SimulationRequest(p, **request)).response for p in (kaon, neutron)]  # type: ignore[arg-type]
    assert (np.asarray(results[0]) != np.asarray(results[1])).any()


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"seed": -1}, InvalidInputError, r"seed = -1 must be in \[0, 2\^53\)"),
        ({"seed": 2**53}, InvalidInputError, "seed = "),
        ({"first_row": -1}, InvalidInputError, "first_row = -1"),
        ({"first_row": 2**63 - 1}, InvalidInputError, "no room for 3 rows"),
        ({"repeats": 0}, InvalidInputError, "repeats = 0 must be at least 1"),
        ({"repeats": 5462}, TooLargeError, "3 particles x 5462 repeats = 16386 rows are above the limit of 16384"),
        ({"repeats": 2**40}, TooLargeError, "above the limit"),
        ({"model": "nope"}, ModelNotFoundError, "'nope'"),
        ({"version": 9}, ModelNotFoundError, "no version 9"),
    ],
)
def test_requests_that_cannot_be(
    simulator: Simulator, changes: dict[str, object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        simulator.simulate(SimulationRequest(some_particles(3), **changes))  # type: ignore[arg-type]


def test_the_largest_rows_and_seed_work(simulator: Simulator) -> None:
    result = simulator.simulate(SimulationRequest(some_particles(3), seed=2**53 - 1, first_row=2**63 - 3))
    assert len(result.particle) == 3


def test_a_closed_simulator_refuses(models_folder: Path) -> None:
    with Simulator(EngineSettings(models=models_folder, default_model="tiny")) as closed:
        pass
    with pytest.raises(NotReadyError):
        closed.simulate(SimulationRequest(some_particles(1)))
