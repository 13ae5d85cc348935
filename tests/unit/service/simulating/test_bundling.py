"""Small requests computed together: the rows are the same as alone, and an error reaches only its own caller."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.files.same_results import assert_same
from helpers.models.dispatcher_desk import in_a_loop
from helpers.models.gated_engine import GatedEngine
from helpers.models.stored_models import stored_models
from helpers.models.tiny_model import NOISE, some_particles
from zdc_common.errors import ModelError, OverloadedError
from zdc_detector.particles import Particles
from zdc_detector.random import MAX_ROW, MAX_SEED
from zdc_detector.ranges import RANGES
from zdc_service.simulating.bundling import SMALL_ROWS, SmallRequest, bundle, can_be_bundled
from zdc_service.simulating.compute_threads import ComputeThreads
from zdc_service.simulating.planner import Planner
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulating.work_queue import WorkQueue
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult
from zdc_service.telemetry.instruments import Instruments
from zdc_service.telemetry.statistics import Totals

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
    """Requests of several sizes, for both sides, with different first rows."""
    return [
        replace(
            SimulationRequest(some_particles(size, seed=place)),
            seed=1000 + place // 2 if seeds else None,
            first_row=(0, 7, 2**40, MAX_ROW - size)[place % 4],
            **common,
        )
        for place, size in enumerate(SIZES)
    ]


def small(engine: GatedEngine, asked: list[SimulationRequest]) -> list[SmallRequest]:
    """Small requests of callers on the running loop."""
    loop = asyncio.get_running_loop()
    return [SmallRequest(request, engine, loop.create_future(), None) for request in asked]


def computed(planner: Planner, engine: GatedEngine, asked: list[SimulationRequest]) -> list[SimulationResult]:
    """Results of requests that two threads compute together."""

    async def answers() -> list[SimulationResult]:
        queue, together = WorkQueue(threads=2, most_rows=100), small(engine, asked)
        with ComputeThreads(queue, planner, 2, Instruments()):
            for one in together:
                queue.add_small(one)
            queue.wake()
            return await asyncio.gather(*(one.waiting for one in together))

    return asyncio.run(answers())


@pytest.mark.parametrize("model", ["tiny", "strips"])
@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("output", list(Output))
def test_members_are_what_each_request_gets_alone(
    engines: dict[str, GatedEngine], planner: Planner, simulator: Simulator, output: Output, rates: bool, model: str
) -> None:
    asked = requests(seeds=True, output=output, rates=rates, model=model)
    results = computed(planner, engines[model], asked)
    assert {side for result in results for side in result.side} == {b"A", b"C"}
    assert any(result.channels.any() for result in results)
    for request, result in zip(asked, results, strict=True):
        assert_same(result, simulator.simulate(request))


def test_seeds_are_drawn_for_each_and_reproduce(
    engines: dict[str, GatedEngine], planner: Planner, simulator: Simulator
) -> None:
    asked = requests(seeds=False, model="tiny")
    results = computed(planner, engines["tiny"], asked)
    assert len({result.seed for result in results}) == len(asked)
    for request, result in zip(asked, results, strict=True):
        assert 0 <= result.seed < MAX_SEED
        assert_same(result, simulator.simulate(replace(request, seed=result.seed)))


def test_given_and_drawn_seeds_side_by_side(engines: dict[str, GatedEngine], planner: Planner) -> None:
    asked = [replace(request, seed=seed) for request, seed in zip(requests(False)[:3], (0, None, 5), strict=True)]
    seeds = [result.seed for result in computed(planner, engines["tiny"], asked)]
    assert seeds[::2] == [0, 5]


@pytest.mark.parametrize(
    "changes",
    [
        {"particles": some_particles(9)},
        {"repeats": 2},
        {"out_of_range": OutOfRange.SKIP},
        {"out_of_range": OutOfRange.EXTRAPOLATE},
        {"noise": np.zeros((2, NOISE), dtype=np.float32)},
        {"seed": -1},
        {"seed": MAX_SEED},
        {"seed": "7"},
        {"first_row": -1},
        {"first_row": MAX_ROW - 1},
        {"first_row": 10**30},
        {"first_row": None},
    ],
)
def test_what_cannot_be_bundled_is_known_before(changes: dict[str, Any]) -> None:
    plain = SimulationRequest(some_particles(2), seed=MAX_SEED - 1, first_row=MAX_ROW - 2)
    assert can_be_bundled(plain, SMALL_ROWS)
    assert not can_be_bundled(replace(plain, **changes), SMALL_ROWS)
    assert not can_be_bundled(plain, most_rows=1)


@in_a_loop
async def test_requests_of_one_model_and_finish_share_batches(engines: dict[str, GatedEngine]) -> None:
    plain = SimulationRequest(some_particles(2))
    same = [plain, replace(plain, seed=7, first_row=9, output=Output.HITS)]
    kinds = [one.kind for one in small(engines["tiny"], [*same, replace(plain, rates=True)])]
    assert kinds[0] == kinds[1] != kinds[2]
    assert small(engines["strips"], [plain])[0].kind not in kinds


ABOVE = Particles.from_columns({"pdg": [22, 22], "px": [0.0] * 2, "py": [0.0] * 2, "pz": [100.0, 1501.0]})


@in_a_loop
async def test_requests_with_particles_out_of_range_are_taken_out(engines: dict[str, GatedEngine]) -> None:
    good = small(engines["tiny"], [SimulationRequest(some_particles(3, seed)) for seed in range(3)])
    bad = small(engines["tiny"], [SimulationRequest(ABOVE), SimulationRequest(ABOVE, output=Output.HITS)])
    bundles, refused = bundle([good[0], bad[0], *good[1:], bad[1]])
    assert [one.rows for one in bundles] == [9]
    assert [(one.small, one.reasons.tolist()) for one in refused] == [(one, [0, RANGES.index("energy")]) for one in bad]
    assert engines["tiny"].statistics.totals() == Totals()


@in_a_loop
async def test_members_for_each_caller_have_the_same_rows(engines: dict[str, GatedEngine]) -> None:
    asked = small(engines["tiny"], requests(seeds=False))
    (together,), _ = bundle(asked)
    members = together.alone()
    assert [member.rows for member in members] == list(SIZES)
    for whole, apart in zip(
        together.inputs()[:4], zip(*(member.inputs()[:4] for member in members), strict=True), strict=True
    ):
        np.testing.assert_array_equal(whole, np.concatenate(apart))
    asked[0].waiting.cancel()
    assert [member.ended for member in members] == [True, *[False] * 5]
    assert not together.ended


@in_a_loop
async def test_each_request_is_counted_once(engines: dict[str, GatedEngine]) -> None:
    asked = small(engines["tiny"], requests(seeds=True))
    (together,), _ = bundle(asked)
    asked[0].waiting.cancel()  # its dispatcher counts it
    together.fail(OverloadedError("full"))
    together.fail(ModelError("too late"))
    assert engines["tiny"].statistics.totals().failed == {"overloaded": len(SIZES) - 1}
    for one in asked[1:]:
        assert isinstance(one.waiting.exception(), OverloadedError)
