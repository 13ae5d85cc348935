"""Small requests as one plan: nobody can tell from the rows, and errors stay whose they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.files.same_results import assert_same
from helpers.models.gated_engine import GatedEngine
from helpers.models.stored_models import stored_models
from helpers.models.tiny_model import NOISE, some_particles
from zdc_common.errors import InvalidInputError, OutOfRangeError, ZdcError
from zdc_detector.particles import Particles
from zdc_detector.random import MAX_ROW, MAX_SEED
from zdc_service.simulating.batcher import Batcher
from zdc_service.simulating.job import Job
from zdc_service.simulating.merging import Merged, merge, merging_key
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult
from zdc_service.telemetry.instruments import Instruments
from zdc_service.telemetry.statistics import NO_TIMING, Totals

SIZES = (1, 8, 3, 1, 5, 2)


@pytest.fixture(scope="module")
def loaded(models_folder: Path) -> dict[str, GatedEngine]:
    return {model.card.name: GatedEngine(model) for model in stored_models(models_folder)}  # the newest of each


@pytest.fixture
def engines(loaded: dict[str, GatedEngine]) -> dict[str, GatedEngine]:
    for engine in loaded.values():
        engine.fresh()
    return loaded


def requests(seeds: bool, **common: Any) -> list[SimulationRequest]:
    """Of several sizes, for both sides, with rows that begin anywhere."""
    return [
        replace(
            SimulationRequest(some_particles(size, seed=place)),
            seed=1000 + place // 2 if seeds else None,
            first_row=(0, 7, 2**40, MAX_ROW - size)[place % 4],
            **common,
        )
        for place, size in enumerate(SIZES)
    ]


def computed(merged: Merged) -> list[SimulationResult]:
    with Batcher(threads=2, max_queue_rows=100, instruments=Instruments()) as batcher:
        job = Job(merged.plan, 0, merged.plan.rows)
        batcher.submit(job)
        return merged.parts(job.future.result(30))


@pytest.mark.parametrize("model", ["tiny", "strips"])
@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("output", list(Output))
def test_parts_are_what_each_request_gets_alone(
    engines: dict[str, GatedEngine], simulator: Simulator, output: Output, rates: bool, model: str
) -> None:
    asked = requests(seeds=True, output=output, rates=rates, model=model)
    results = computed(merge(asked, engines[model]))
    assert {side for result in results for side in result.side} == {b"A", b"C"}
    assert any(result.channels.any() for result in results)
    for request, result in zip(asked, results, strict=True):
        assert_same(result, simulator.simulate(request))


def test_seeds_are_drawn_for_each_and_reproduce(engines: dict[str, GatedEngine], simulator: Simulator) -> None:
    asked = requests(seeds=False, model="tiny")
    results = computed(merge(asked, engines["tiny"]))
    assert len({result.seed for result in results}) == len(asked)
    for request, result in zip(asked, results, strict=True):
        assert 0 <= result.seed < MAX_SEED
        assert_same(result, simulator.simulate(replace(request, seed=result.seed)))


def test_given_and_drawn_seeds_side_by_side(engines: dict[str, GatedEngine]) -> None:
    asked = [replace(request, seed=seed) for request, seed in zip(requests(False)[:3], (0, None, 5), strict=True)]
    seeds = [result.seed for result in computed(merge(asked, engines["tiny"]))]
    assert seeds[::2] == [0, 5]


def test_what_can_be_merged(engines: dict[str, GatedEngine]) -> None:
    plain = SimulationRequest(some_particles(2))
    key = merging_key(plain, engines["tiny"])
    assert key is not None
    assert key == merging_key(replace(plain, seed=7, first_row=9, model="tiny", version=2), engines["tiny"])
    assert key != merging_key(plain, engines["strips"])
    assert key != merging_key(replace(plain, output=Output.HITS), engines["tiny"])
    assert key != merging_key(replace(plain, rates=True), engines["tiny"])
    apart: dict[str, Any] = {
        "repeats": 2,
        "out_of_range": OutOfRange.SKIP,
        "noise": np.zeros((2, NOISE), dtype=np.float32),
    }
    for name, value in apart.items():
        assert merging_key(replace(plain, **{name: value}), engines["tiny"]) is None


ABOVE = Particles.from_columns({"pdg": [22], "px": [0.0], "py": [0.0], "pz": [1501.0]})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"seed": -1}, InvalidInputError),
        ({"seed": MAX_SEED}, InvalidInputError),
        ({"first_row": -1}, InvalidInputError),
        ({"first_row": MAX_ROW}, InvalidInputError),
        ({"first_row": 10**30}, InvalidInputError),
        ({"particles": ABOVE}, OutOfRangeError),
    ],
)
def test_one_that_cannot_be_is_refused_and_nothing_counted(
    engines: dict[str, GatedEngine], changes: dict[str, Any], error: type[ZdcError]
) -> None:
    asked = [SimulationRequest(some_particles(1, seed)) for seed in range(3)]
    with pytest.raises(error):
        merge([*asked, replace(asked[0], **changes)], engines["tiny"])
    assert engines["tiny"].statistics.totals() == Totals()


def test_what_becomes_of_all_is_counted_for_each(engines: dict[str, GatedEngine]) -> None:
    statistics = engines["tiny"].statistics
    asked = requests(seeds=True)
    computed(merge(asked, engines["tiny"]))
    assert (statistics.totals().succeeded, statistics.totals().rows) == (len(SIZES), sum(SIZES))
    for kind in ("cancelled", "deadline", "not_ready", "overloaded"):
        merge(asked, engines["tiny"]).plan.tally.failed(kind)
        assert statistics.totals().failed.pop(kind) == len(SIZES)


def test_an_error_of_one_is_counted_where_each_is_computed_again(engines: dict[str, GatedEngine]) -> None:
    tally = merge(requests(seeds=True), engines["tiny"]).plan.tally
    tally.failed("internal")
    assert not engines["tiny"].statistics.totals().failed
    tally.failed("cancelled")
    tally.delivered(sum(SIZES), NO_TIMING)
    totals = engines["tiny"].statistics.totals()
    assert (totals.succeeded, dict(totals.failed)) == (0, {"cancelled": len(SIZES)})
