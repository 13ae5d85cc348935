import numpy as np
import pytest
from helpers.calorimeters import ZN
from helpers.files.shower_samples import DATA, draw_responses, face_particles, toy_showers
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_detector.showers import read_showers
from zdc_metrics import Report, by_particle, channel_wasserstein, evaluate
from zdc_metrics.statistics.splits import floor_ways

Counts = NDArray[np.generic]

PARTICLES = face_particles(60)
SIMULATED = draw_responses(PARTICLES, 4, seed=1)
GENERATED = draw_responses(PARTICLES, 4, seed=2)


def report_of(light: float = 1.0, spread: float = 0.3, repeats: int = 4, seed: int = 0) -> Report:
    generated = draw_responses(PARTICLES, repeats, seed=2, light=light, spread=spread)
    return evaluate(SIMULATED, generated, PARTICLES, ZN, finish="poisson", seed=seed, resamples=40, few=1)


@pytest.fixture(scope="module")
def right() -> Report:
    return report_of()


def figures_of(report: Report) -> dict[str, tuple[float, float]]:
    return {name: (f.value or 0.0, f.floor or 0.0) for name, f in report.overall.figures.items()}


def test_the_right_generator_reaches_the_floors(right: Report) -> None:
    found = figures_of(right)
    assert list(found) == [
        *("wasserstein", "mae", "crps", "dispersion", "empty_share", "auc", "neural_auc", "neural_jsd"),
        *("precision", "recall", "density", "coverage"),  # 60 particles are too few for a Frechet distance
        *("separation_photon_sum", "separation_centroid", "separation_width", "separation_lit_fibres"),
    ]
    for name in ("wasserstein", "mae", "crps"):
        span = right.overall.figures[name].ratio_interval
        assert span is not None
        assert span[0] < 1.15
        assert span[1] > 0.85
    assert found["dispersion"][0] == pytest.approx(1, abs=0.2)
    assert found["empty_share"] == pytest.approx((0.1, 0.1), abs=0.05)
    for name in ("auc", "neural_auc"):
        assert found[name] == pytest.approx((0.5, 0.5), abs=0.1)


def test_a_generator_without_spread_is_seen_by_crps_and_dispersion(right: Report) -> None:
    flat = figures_of(report_of(spread=0.03))
    assert flat["crps"][0] > 1.05 * figures_of(right)["crps"][0]
    assert flat["dispersion"][0] < 0.8
    assert flat["mae"][0] < figures_of(right)["mae"][0]


def test_a_brighter_generator_is_seen_by_all(right: Report) -> None:
    bright = figures_of(report_of(light=1.4))
    for name in ("wasserstein", "mae", "crps", "auc", "separation_photon_sum"):
        assert bright[name][0] > 1.1 * figures_of(right)[name][0]
        assert bright[name][1] == figures_of(right)[name][1]


@pytest.mark.slow
def test_sample_sizes_do_not_move_the_expected_figures() -> None:
    reports = [report_of(repeats=repeats) for repeats in (2, 12)]
    few, many = map(figures_of, reports)
    assert few["wasserstein"][0] == pytest.approx(many["wasserstein"][0], rel=0.35)
    assert few["mae"][0] == pytest.approx(many["mae"][0], rel=0.1)
    bands = [report.overall.figures["dispersion"].if_right for report in reports]
    assert bands[0] is None  # too few repeats for the simulation and the generator
    assert bands[1] is not None
    assert bands[1][0] < 1 < bands[1][1]
    assert "in 90% of such samples" in reports[1].to_markdown()


def test_bins_stand_in_the_report(right: Report) -> None:
    assert right.bins is not None
    assert right.bins.compared > 0
    assert right.bins.summary() in right.to_markdown()


@pytest.mark.parametrize("dark", ["simulated", "generated", "both"])
def test_responses_without_any_light(dark: str) -> None:
    simulated, generated = SIMULATED[:30], SIMULATED[:30, ::-1]
    simulated, generated = simulated * (dark == "generated"), generated * (dark == "simulated")
    report = evaluate(simulated, generated, PARTICLES[:30], ZN, finish="none", resamples=10, few=1)
    assert Report.model_validate_json(report.model_dump_json()) == report
    for name in ("auc", "neural_auc"):
        value = report.overall.figures[name].value or 0
        assert value == 0.5 if dark == "both" else value > 0.7
    assert report.overall.figures["separation_width"].value is None


@pytest.mark.slow
def test_a_report_is_a_function_of_its_seed(right: Report) -> None:
    assert report_of() == right
    assert report_of(seed=1) != right


def test_groups_are_species_and_energies(right: Report) -> None:
    names = [group.name for group in right.groups]
    assert names[0] == "all"
    assert {"n (2112)", "gamma (22)", "K(S)0 (310)"} <= set(names)
    assert names[-3:] == ["below 100 GeV", "100-500 GeV", "above 500 GeV"]
    by_name = {group.name: group.particles for group in right.groups}
    assert by_name["n (2112)"] == np.count_nonzero(PARTICLES.pdg == 2112)
    assert sum(by_name[name] for name in names[-3:]) == by_name["all"] == 60


def test_a_report_survives_json_and_fills_a_card(right: Report) -> None:
    assert Report.model_validate_json(right.model_dump_json()) == right
    card = right.card_metrics()
    assert list(card) == list(right.overall.figures)
    assert card["crps"].ratio == pytest.approx(card["crps"].value / card["crps"].floor)
    assert card["auc"].ratio is None


def test_the_table_names_all_figures_and_groups(right: Report) -> None:
    table = right.to_markdown()
    assert "60 particles, 4 simulated and 4 generated responses of each; finish: poisson" in table
    wasserstein = right.overall.figures["wasserstein"]
    assert f"| Wasserstein [photons] | {wasserstein.value:.3g} | [" in table
    assert f"| n (2112) | {np.count_nonzero(PARTICLES.pdg == 2112)} | " in table
    widths = [line.count("|") for line in table.splitlines() if line.startswith("|")]
    assert set(widths) == {6, 7, 9}  # at most six figures across


def test_single_simulations_have_no_floor(right: Report) -> None:
    single = evaluate(SIMULATED[:, :1], GENERATED, PARTICLES, ZN, finish="poisson", resamples=20, few=1)
    figures = single.overall.figures
    assert list(figures) == ["wasserstein", "mae", "crps", "empty_share", "auc", "neural_auc", "neural_jsd"]
    assert {name for name, figure in figures.items() if figure.floor is not None} == {"empty_share"}
    crps, reference = figures["crps"], right.overall.figures["crps"]
    assert crps.value == pytest.approx(reference.value, rel=0.2)  # its expectation is that of more simulations
    assert crps.interval is not None
    assert single.bins is not None
    assert single.bins.floor_beyond is None
    assert all(found.spread.value is None and found.mean.error for found in single.bins.bins)
    table = single.to_markdown()
    assert "There is no floor: it needs at least two simulations of each particle." in table
    assert "no floor; compare models on this file" in table
    assert "simulation against simulation" not in single.bins.summary()
    assert list(single.card_metrics()) == ["empty_share"]
    assert Report.model_validate_json(single.model_dump_json()) == single


def test_three_simulations_are_compared_one_against_one() -> None:
    report = evaluate(SIMULATED[:, :3], GENERATED, PARTICLES, ZN, finish="poisson", resamples=20, few=1)
    channels = ZN.channel_sums(SIMULATED[:, :3].reshape(-1, 44, 44)).reshape(60, 3, 5)
    floor = np.mean([channel_wasserstein(channels[:, a], channels[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))])
    assert report.overall.figures["wasserstein"].floor == pytest.approx(floor)
    assert report.overall.figures["dispersion"].value is not None
    assert report.overall.figures["dispersion"].floor is None
    assert "With 3 simulations of each particle, one is compared with one" in report.to_markdown()


def test_tables_call_the_simulation_what_it_is() -> None:
    report = evaluate(SIMULATED, GENERATED, PARTICLES, ZN, finish="none", resamples=5, few=1, simulation="FLUKA")
    assert "for FLUKA against FLUKA" in report.to_markdown()
    assert "Geant4" not in report.to_markdown()


def test_groups_that_cannot_say_are_left_open() -> None:
    """One particle without light: no ratios, no dispersion, no NaN in JSON."""
    responses = SIMULATED.copy()
    responses[0] = 0
    particles = PARTICLES[np.arange(60)]
    particles.pdg[0] = 3122
    report = evaluate(responses, responses[:, :2], particles, ZN, finish="none", resamples=10, few=1)
    group = next(group for group in report.groups if group.name == "Lambda (3122)")
    assert group.particles == 1
    assert group.figures["dispersion"].value is None
    assert group.figures["wasserstein"].ratio is None
    assert group.figures["empty_share"].ratio == 1
    assert "– / –" in report.to_markdown()
    assert Report.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("simulated", "generated", "message"),
    [
        (SIMULATED, SIMULATED[:, :1], "1 generated responses of each particle; at least 2"),
        (SIMULATED[:50], SIMULATED, r"simulated responses have shape \(50, 4, 44, 44\); they need \(60, repeats"),
        (SIMULATED, SIMULATED[:, :, :40], r"generated responses have shape \(60, 4, 40, 44\)"),
        (SIMULATED, SIMULATED.astype(np.float32), "generated responses are float32; finish the rates"),
    ],
)
def test_shapes_and_types_are_checked(simulated: Counts, generated: Counts, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        evaluate(simulated, generated, PARTICLES, ZN, finish="none")


def test_rows_are_grouped_by_particle() -> None:
    showers = toy_showers(10, 3)
    grouped = by_particle(showers)
    assert grouped.responses.shape == (10, 3, 44, 44)
    assert grouped.particle_id.tolist() == list(range(1000, 1010))
    for p, number in enumerate(grouped.particle_id):
        rows = showers.particle_id == number
        assert grouped.responses[p].tobytes() == showers.responses[rows].tobytes()
        assert grouped.particles.conditions[p].tobytes() == showers.particles.conditions[rows][0].tobytes()
        assert grouped.particles.pdg[p] == showers.particles.pdg[rows][0]
    with pytest.raises(InvalidInputError, match=r"particle_id 100\d has 2 simulations, particle_id 100\d has 3"):
        by_particle(showers[:-1])


@pytest.mark.slow
def test_floors_of_the_shipped_test_file() -> None:
    """Geant4 against Geant4 with an independent implementation: pooled samples, scipy, no resampling."""
    test = by_particle(read_showers(DATA / "zn_geant4_test.h5"))
    sums = ZN.channel_sums(test.responses.reshape(-1, 44, 44)).reshape(300, 5, 5).astype(np.int64)
    splits = floor_ways(5, np.random.default_rng(0))
    wasserstein = np.mean(
        [channel_wasserstein(sums[:, list(a)].reshape(-1, 5), sums[:, list(b)].reshape(-1, 5)) for a, b in splits]
    )
    mae = np.mean([np.abs(sums[:, a] - sums[:, b]).mean() for a in range(5) for b in range(5) if a != b])
    report = evaluate(
        test.responses, test.responses, test.particles, test.calorimeter, finish="none", resamples=2, few=1
    )
    floors = {name: figure.floor for name, figure in report.overall.figures.items()}
    assert floors["wasserstein"] == pytest.approx(wasserstein)
    assert floors["mae"] == pytest.approx(mae)
    assert floors["crps"] == pytest.approx(mae / 2)
