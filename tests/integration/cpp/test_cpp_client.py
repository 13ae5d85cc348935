"""The C++ client with real servers: its results equal those of the Python client, byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from helpers.callers.cpp_build import BuiltClient, assert_same, built_client, needs_tools, rows_of
from helpers.models.tiny_model import (
    AT_FACE_SPECIES,
    STRIPS,
    TinyModel,
    face_particles,
    some_particles,
    write_model,
)
from helpers.servers.running_server import RunningServer, running
from numpy.testing import assert_array_equal
from zdc_detector.frames import Frame
from zdc_detector.particles import CHARGE, ENERGY, MASS, Particles
from zdc_service.client import Chunk, concatenate, connect
from zdc_service.simulation import OutOfRange, Output

pytestmark = [pytest.mark.slow, needs_tools]


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


@pytest.fixture(scope="module")
def address(server: RunningServer) -> str:
    return f"grpc://{server.grpc}"


def python(address: str, particles: Particles, **job: object) -> Chunk:
    """The same job with the Python client."""
    with connect(address) as client:
        return concatenate(client.simulate(particles, **job))  # type: ignore[arg-type]


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("output", list(Output))
def test_results_equal_those_of_python(cpp: BuiltClient, address: str, output: Output, rates: bool) -> None:
    particles = some_particles(90, seed=4)
    job = {"seed": 11, "repeats": 3, "first_row": 1000}
    expected = python(address, particles, output=output, rates=rates, **job)
    assert expected.channels.any()
    for split in ({}, {"rows_per_request": 37}, {"rows_per_request": 2, "in_flight": 1}):
        found = cpp.call(address, particles, output=output, rates=int(rates), floats=int(rates), **job, **split)
        assert_same(found, expected, floats=rates)
        assert found.said["retries"] == "0"


def test_a_large_job_is_split(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(4000, seed=5)  # the server takes no more than 3000 rows at once
    expected = python(address, particles, seed=2)
    assert expected.response is not None
    assert expected.response.nbytes > 3 * (4 << 20)
    assert_same(cpp.call(address, particles, seed=2), expected)


def test_many_large_requests_are_read_while_they_are_answered(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(20_000, seed=6)
    found = cpp.call(address, particles, output="hits", seed=2, rows_per_request=2900, in_flight=16)
    assert_same(found, python(address, particles, seed=2, output=Output.HITS))


def test_counts_may_be_floats(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(20)
    for output in Output:
        found = cpp.call(address, particles, seed=5, output=output, floats=1)
        assert_same(found, python(address, particles, seed=5, output=output), floats=True)


def test_other_models_have_other_shapes(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(50)
    for job in ({"model": "strips"}, {"model": "tiny", "version": 1}):
        for output in Output:
            found = cpp.call(address, particles, seed=5, output=output, **job)
            assert_same(found, python(address, particles, seed=5, output=output, **job))


def test_particles_at_the_face_equal_those_of_python(cpp: BuiltClient, tmp_path: Path) -> None:
    write_model(tmp_path, TinyModel(species=AT_FACE_SPECIES, frames=(Frame.VERTEX, Frame.FACE)))
    particles = face_particles(80, seed=4)
    with running(tmp_path) as server:
        at = f"grpc://{server.grpc}"
        expected = python(at, particles, seed=3, repeats=2, frame="face")
        assert expected.channels.any()
        assert_same(cpp.call(at, particles, seed=3, repeats=2, frame="face", rows_per_request=37), expected)
        refused = cpp.call(at, particles, seed=3, frame="vertex")
    assert refused.said["error"] == "OutOfRangeError"


@pytest.mark.parametrize("output", list(Output))
def test_an_event_without_particles_has_no_rows_and_sends_no_request(cpp: BuiltClient, output: Output) -> None:
    found = cpp.call("grpc://127.0.0.1:1", [], shape="1936,5", output=output, seed=5)
    assert (found.said["rows"], found.said["hits"], found.said["seed"]) == ("0", "0", "5")
    if output is Output.HITS:
        assert found.array("hit_offsets", np.dtype(np.uint64)).tolist() == [0]


def test_a_seed_is_drawn_once(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(30)
    first = cpp.call(address, particles, rows_per_request=7)
    seed = int(first.said["seed"])
    assert_same(first, python(address, particles, seed=seed))
    assert cpp.call(address, particles).said["seed"] != first.said["seed"]


def test_threads_share_a_client(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(300)
    found = cpp.call(address, particles, seed=9, output="channels", rows_per_request=50, threads=4)
    expected = python(address, particles, seed=9, output=Output.CHANNELS)
    for folder in (found.folder, *(found.folder / str(thread) for thread in (1, 2, 3))):
        assert_array_equal(np.fromfile(folder / "channels", np.uint32), expected.channels.ravel())


def test_energy_mass_and_charge_may_be_given(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(20)
    given = [
        {**one, "energy": c[ENERGY], "mass": c[MASS], "charge": c[CHARGE]}
        for one, c in zip(rows_of(particles), particles.conditions.tolist(), strict=True)
    ]
    assert_same(cpp.call(address, given, seed=1, rows_per_request=7), python(address, particles, seed=1))
    given[9]["energy"] *= 1.05
    wrong = cpp.call(address, given, rows_per_request=7).said
    assert wrong["error"] == "InvalidInputError"
    assert wrong["particle"] == "9"
    assert wrong["message"].startswith("particle[9]: energy")
    wrong = cpp.call(address, [*given[:2], *rows_of(particles)[2:]]).said
    assert wrong["message"].startswith("particle[2]: energy is absent, unlike for particle[0]")


def outside(n: int, wrong: list[int]) -> Particles:
    """N particles, some of them with an energy outside the model's training range."""
    pz = np.full(n, 500.0)
    pz[wrong] = 5.0
    return Particles.from_columns({"pdg": np.full(n, 2112), "px": np.zeros(n), "py": np.zeros(n), "pz": pz})


@pytest.mark.parametrize("repeats", [1, 7, 25])
@pytest.mark.parametrize("way", [OutOfRange.SKIP, OutOfRange.EXTRAPOLATE])
def test_particles_outside_are_counted_once(cpp: BuiltClient, address: str, way: OutOfRange, repeats: int) -> None:
    particles = outside(30, [*range(10), 17, 29])
    job = {"seed": 3, "repeats": repeats, "out_of_range": way}
    found = cpp.call(address, particles, rows_per_request=10, **job)
    assert_same(found, python(address, particles, **job))


def test_errors_name_the_particle_of_the_call(cpp: BuiltClient, address: str) -> None:
    said = cpp.call(address, outside(100, [77]), rows_per_request=10).said
    assert (said["error"], said["code"], said["kind"], said["particle"]) == (
        "OutOfRangeError",
        "11",
        "out_of_range",
        "77",
    )
    assert said["message"].startswith("particle[77]: energy: 5.0")
    said = cpp.call(address, [*rows_of(some_particles(30)), {"pdg": 2112, "px": 0, "py": 0, "pz": 0}]).said
    assert (said["error"], said["code"], said["particle"]) == ("InvalidInputError", "3", "30")
    assert cpp.call(address, outside(2, []), model="nobody", shape="1936,5").said["error"] == "ModelNotFoundError"
    said = cpp.call(address, some_particles(3500), rows_per_request=3500, output="channels").said
    assert (said["error"], said["code"]) == ("TooLargeError", "8")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 2**53}, "seed = 9007199254740992 must be in [0, 2^53)"),
        ({"first_row": -1}, "first_row = 18446744073709551615: all rows must be in [0, 2^63)"),
        ({"repeats": 0}, "repeats = 0 must be at least 1"),
        ({"rates": 1}, "rates are float32; use FloatBuffers"),
        ({"deadline_ms": -1}, "deadline_ms = -1 must be at least 1"),
    ],
)
def test_invalid_requests_are_refused_before_they_are_sent(
    cpp: BuiltClient, settings: dict[str, object], message: str
) -> None:
    said = cpp.call("grpc://127.0.0.1:1", some_particles(2), shape="1936,5", **settings).said
    assert (said["error"], said["message"]) == ("InvalidInputError", message)


@pytest.mark.parametrize(
    ("output", "name", "needed"),
    [
        ("response", "response", 6 * 1936),
        ("response", "channels", 6 * 5),
        ("channels", "channels", 6 * 5),
        ("hits", "hit_offsets", 7),
        ("hits", "hit_fibre", 6 * 1936),
        ("hits", "hit_photons", 6 * 1936),
        ("channels", "particle", 6),
        ("channels", "side", 6),
    ],
)
@pytest.mark.parametrize("floats", [0, 1])
def test_a_short_buffer_is_refused(
    cpp: BuiltClient, address: str, output: str, name: str, needed: int, floats: int
) -> None:
    size = 3 if "hit" in name else needed - 1
    said = cpp.call(address, some_particles(3), repeats=2, output=output, floats=floats, **{f"size_{name}": size}).said
    assert (said["error"], said["size"], said["needed"]) == ("BufferError", str(size), str(needed))
    assert said["message"].startswith(f"the buffer {name} has {size} elements and needs {needed}: ")


def test_a_buffer_of_hits_need_not_be_longer_than_the_hits(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(40, seed=8)
    expected = python(address, particles, seed=8, output=Output.HITS)
    assert expected.hits is not None
    n = len(expected.hits.fibre)
    sizes = {"size_hit_fibre": n, "size_hit_photons": n + 1}
    assert_same(cpp.call(address, particles, seed=8, output="hits", rows_per_request=3, **sizes), expected)
    said = cpp.call(address, particles, seed=8, output="hits", size_hit_fibre=n - 1).said
    assert f"the first 40 have {n} hits" in said["message"]


def test_an_empty_buffer_is_not_filled(cpp: BuiltClient, address: str) -> None:
    particles = some_particles(10)
    none = {f"size_{name}": 0 for name in ("channels", "particle", "side")}
    found = cpp.call(address, particles, seed=1, **none)
    expected = python(address, particles, seed=1).response
    assert expected is not None
    assert_array_equal(found.array("response", expected.dtype), expected.ravel())
    assert cpp.call(address, particles, output="channels", **none).said["error"] == "BufferError"


def test_properties_of_models_are_returned(cpp: BuiltClient, address: str) -> None:
    said = cpp.call(address, only_model=1, model="strips").said
    assert said == {
        "name": "strips",
        "version": "1",
        "description": "a small model for tests",
        "finish": "round",
        "shape": "{},{}".format(*STRIPS.shape),
        "max_request_rows": "3000",
        "channel_names": "left;right;",
        "species": "2112 n 50 2600;22 gamma 10 1500;310 K(S)0 50 2000;",
    }
    assert cpp.call(address, only_model=1).said["version"] == "2"
    assert cpp.call(address, only_model=1, version=1).said["version"] == "1"
    said = cpp.call(address, only_model=1, version=7).said
    assert (said["error"], said["code"]) == ("ModelNotFoundError", "5")
