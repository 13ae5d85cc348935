"""The figures of the simulator's validation, on responses whose answer is known."""

import numpy as np
import pytest
from zdc_training.simulator.set_up import read_set_up
from zdc_training.validation.plan import NEUTRON, PHOTON, enlarged, large_studies, setting_studies
from zdc_training.validation.probes import DISTANCE_EDGES, light_variants
from zdc_training.validation.response import (
    INSIDE,
    Cloud,
    Response,
    Value,
    by_place,
    e_over_h,
    em_fraction,
    quantile,
    ratio_of_means,
    resolution_fit,
    responses,
    spread,
)


def with_response(energy: float, per_gev: float = 0.6, resolution: float = 0.1) -> Response:
    small = Value(1.0, 0.01)
    return Response(0, energy, 100, Value(per_gev, 0.01 * per_gev), Value(resolution, 0.01 * resolution), small, small)


def test_the_fit_returns_the_terms_of_a_resolution() -> None:
    a, b = resolution_fit(
        [with_response(e, resolution=float(np.hypot(2.5 / np.sqrt(e), 0.08))) for e in (10, 100, 1000)]
    )
    assert a.value == pytest.approx(2.5)
    assert b.value == pytest.approx(0.08)


def test_e_over_h_is_that_of_which_the_hadrons_were_made() -> None:
    energies = np.array([30.0, 100.0, 300.0, 1000.0])
    f = em_fraction(energies)
    hadrons = [with_response(e, 0.6 * r) for e, r in zip(energies, f + (1 - f) / 5, strict=True)]
    found = e_over_h(hadrons, [with_response(e) for e in energies])
    assert found.value == pytest.approx(5)
    assert 0 < found.error < 1


def test_quantile_and_spread() -> None:
    assert quantile(np.array([1.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0, 4.0]), 0.75) == pytest.approx(3)
    gaussian = np.random.default_rng(0).normal(10, 1, 20000)
    assert spread(gaussian) == pytest.approx(0.1, abs=0.003)  # three standard errors
    assert spread(np.append(gaussian, [0.0] * 200)) == pytest.approx(0.1, abs=0.005)  # blind to rare empties


def test_paired_ratios_have_smaller_errors() -> None:
    light = np.random.default_rng(0).gamma(4, size=200)
    paired, independent = (ratio_of_means(1.1 * light, light, paired) for paired in (True, False))
    assert paired.value == pytest.approx(1.1)
    assert paired.error < 1e-6 < independent.error


def cloud() -> Cloud:
    """400 photons and 400 neutrons of 100 GeV; neutrons at the edge have half of the light."""
    rng = np.random.default_rng(0)
    edge = np.tile([0.5, 2.0], 400)
    pdg = np.repeat([PHOTON, NEUTRON], 400)
    light = np.where(pdg == PHOTON, 60.0, np.where(edge < INSIDE, 15.0, 30.0))
    radial = np.zeros((800, len(DISTANCE_EDGES) - 1))
    radial[:, 3] = light
    return Cloud(pdg, np.full(800, 100.0), rng.poisson(light).astype(float), edge, np.full(800, 1e-3), radial)


def test_the_response_is_that_of_the_species_inside_the_face() -> None:
    (photon,) = responses(cloud(), [PHOTON], np.array([50.0, 200.0]))
    assert photon.showers == 200
    assert photon.per_gev.value == pytest.approx(0.6, abs=4 * photon.per_gev.error)
    assert photon.resolution.value == pytest.approx(60**-0.5, rel=0.25)
    assert not responses(cloud(), [11], np.array([50.0, 200.0]))
    (outer, inner) = by_place(cloud(), [NEUTRON], 10.0, "edge", (0.0, 1.0, 3.0))
    assert outer[2].value == pytest.approx(inner[2].value / 2, rel=0.1)


def test_the_end_face_explains_the_rules_for_small_angles() -> None:
    """Light of a fast track within 3.4 degrees of the axis stays in the fibre; that of a slow one leaves."""
    tables = light_variants(read_set_up("zn").light)
    table = tables["reflection at the fibre's end instead of the rules"]

    def light(angle: float, beta: float) -> float:
        return float(table.photons(np.array([[0, 0, 0, np.cos(np.radians(angle)), beta, 1.0]]))[0])

    assert light(2, 1.0) == 0 < light(6, 1.0)
    assert light(0.5, 0.9) > 0 == light(0.5, 1.0)
    assert next(iter(tables)) == "as set up"


def test_the_plan_has_names_of_its_own_for_every_study_and_a_large_block_with_the_same_fibres() -> None:
    set_up = read_set_up("zn")
    large = enlarged(set_up)
    assert large.calorimeter.pitch == pytest.approx(set_up.calorimeter.pitch)
    studies = [*large_studies(set_up, NEUTRON, 0.1), *(study for _, study in setting_studies(set_up, True, 0.1))]
    assert len({study.name for study in studies}) == len(studies)
    impact = large.calorimeter.impact_points(studies[0].particles().conditions)
    assert np.abs(impact).max() < 1  # cm: far from every edge
