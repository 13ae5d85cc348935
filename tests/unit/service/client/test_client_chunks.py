"""Splitting jobs into requests, and numbering their results within the job."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zdc_common.errors import (
    ConfigError,
    InvalidInputError,
    ModelNotFoundError,
    OutOfRangeError,
    OverloadedError,
    ZdcError,
)
from zdc_detector.finish import Finish
from zdc_detector.hits import Hits
from zdc_detector.particles import Particles
from zdc_service.client import AsyncClient, Chunk, Client, concatenate, connect, connect_async
from zdc_service.client.errors import error_of
from zdc_service.client.plan import JobPlan
from zdc_service.client.transports.columns import columns_to_send
from zdc_service.settings import EngineSettings
from zdc_service.simulation import SimulationRequest, SimulationResult

USUAL = {
    "seed": 1, "repeats": 1, "output": "response", "out_of_range": "error", "first_row": 0, "model": None,
    "version": None, "rates": False,
}  # fmt: skip


def photons(n: int, first: int = 0) -> Particles:
    pz = 100.0 + first + np.arange(n)
    return Particles.from_columns({"pdg": np.full(n, 22), "px": np.zeros(n), "py": np.zeros(n), "pz": pz})


def answer(request: SimulationRequest, skip: int | None = None) -> SimulationResult:
    """The result of a server, with pz as the only channel; `skip` leaves one particle out."""
    kept = [i for i in range(len(request.particles)) if i != skip]
    particle = np.repeat(np.array(kept, dtype=np.uint32), request.repeats)
    return SimulationResult(
        model="m",
        version=1,
        seed=request.seed or 0,
        first_row=request.first_row,
        repeats=request.repeats,
        finish=Finish.POISSON,
        shape=(1, 1),
        channel_names=("pz",),
        particle=particle,
        side=np.full(len(particle), b"A"),
        channels=request.particles.conditions[particle.astype(np.int64), 6:7],
        skipped={"energy": 1} if skip is not None else {},
    )


def plan_of(rows: int, repeats: int = 1, first_row: int = 0) -> JobPlan:
    return JobPlan(rows, 7, repeats, "channels", "skip", first_row, None, None, False)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    repeats=st.integers(1, 13),
    rows=st.integers(1, 20),
    first_row=st.integers(0, 2**40),
)
def test_requests_ask_for_every_row_once_and_in_order(
    sizes: list[int], repeats: int, rows: int, first_row: int
) -> None:
    firsts = np.cumsum([0, *sizes[:-1]])
    blocks = [photons(n, int(first)) for n, first in zip(sizes, firsts, strict=True)]
    plan = plan_of(rows, repeats, first_row)
    requests = [wanted for block in blocks for wanted in plan.requests(block)]
    assert all(len(wanted.request.particles) * wanted.request.repeats <= rows for wanted in requests)
    whole = concatenate(plan.chunk(wanted, answer(wanted.request)) for wanted in requests)
    total = sum(sizes)
    np.testing.assert_array_equal(whole.row, first_row + np.arange(total * repeats))
    np.testing.assert_array_equal(whole.particle, np.repeat(np.arange(total), repeats))
    np.testing.assert_array_equal(whole.channels[:, 0], 100 + np.repeat(np.arange(total), repeats))
    assert whole.asked == range(total)
    assert (whole.first_row, whole.repeats, whole.seed) == (first_row, repeats, 7)


def test_a_skipped_particle_leaves_its_rows_out_and_is_counted_once() -> None:
    plan = plan_of(2, repeats=5, first_row=100)
    requests = list(plan.requests(photons(3)))
    assert [wanted.first_repeat for wanted in requests] == [0, 2, 4] * 3
    chunks = [plan.chunk(p, answer(p.request, skip=0 if p.first_particle == 1 else None)) for p in requests]
    whole = concatenate(chunks)
    assert whole.skipped == {"energy": 1}
    assert whole.row.tolist() == [100, 101, 102, 103, 104, 110, 111, 112, 113, 114]
    assert whole.particle.tolist() == [0] * 5 + [2] * 5


def test_hits_are_joined_with_their_offsets() -> None:
    plan = plan_of(1)
    chunks = []
    for wanted in plan.requests(photons(3)):
        n = wanted.first_particle
        hits = Hits(np.array([0, n], np.uint64), np.arange(n, dtype=np.uint16), np.full(n, 9, np.uint16))
        result = answer(wanted.request)
        shape = {"shape": (1, 3), "hits": hits}
        chunks.append(plan.chunk(wanted, SimulationResult(**{**vars(result), **shape})))
    whole = concatenate(chunks)
    assert whole.hits is not None
    assert whole.hits.offsets.tolist() == [0, 0, 1, 3]
    assert whole.hits.fibre.tolist() == [0, 0, 1]
    assert whole.hits.photons.dtype == np.uint16
    assert whole.images.tolist() == [[[0, 0, 0]], [[9, 0, 0]], [[9, 9, 0]]]
    assert whole.images.dtype == np.uint16


def test_the_repr_of_a_chunk_is_one_line() -> None:
    plan = plan_of(3)
    (wanted,) = plan.requests(photons(3))
    chunk = plan.chunk(wanted, answer(wanted.request, skip=1))
    shown = "<Chunk: 2 rows of 3 particles, 1 repeat, m 1, seed 7, channels (2, 1) float32, skipped {'energy': 1}>"
    assert repr(chunk) == shown
    hits = Hits(np.array([0, 1, 3], np.uint64), np.zeros(3, np.uint16), np.ones(3, np.uint16))
    assert "hits of 3 fibres uint16" in repr(replace(chunk, hits=hits))


def test_channels_have_no_images() -> None:
    plan = plan_of(3)
    (wanted,) = plan.requests(photons(3))
    with pytest.raises(InvalidInputError, match="ask for output = response or hits"):
        _ = plan.chunk(wanted, answer(wanted.request)).images


def test_nothing_to_concatenate_is_an_error() -> None:
    nothing: list[Chunk] = []
    with pytest.raises(InvalidInputError, match="at least one particle"):
        concatenate(nothing)


def test_mass_and_charge_are_sent_only_if_a_code_is_not_in_the_table() -> None:
    assert set(columns_to_send(photons(2))) == {"pdg", "px", "py", "pz", "vx", "vy", "vz"}
    columns = {"pdg": [22, 99999999], "px": [0, 0], "py": [0, 0], "pz": [9, 9], "mass": [0, 5000], "charge": [0, 0]}
    sent = columns_to_send(Particles.from_columns(columns))
    assert sent["mass"].tolist() == [0, 5000]
    assert sent["charge"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("out_of_range", OutOfRangeError),
        ("overloaded", OverloadedError),
        ("model_not_found", ModelNotFoundError),
        ("internal", ZdcError),
        ("of a later version", ZdcError),
    ],
)
def test_kinds_become_their_classes(kind: str, error: type[ZdcError]) -> None:
    found = error_of(kind, "the message")
    assert type(found) is error
    assert str(found) == "the message"


@pytest.mark.parametrize("open_client", [connect, connect_async])
@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8001", "grpc://", "grpc:host:1", "grpc://host:1/zdc", "ftp://host:1", "unix:///run/zdc.sock",
        "http://host:1/simulate", "https://host/zdc/simulate/", "http://me:secret@host:1", "http://my host:1",
        "http://host:1?seed=1", "http://host:1#page",
    ],
)  # fmt: skip
def test_wrong_addresses_are_refused(url: str, open_client: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match="must be grpc://host:port or http://host:port"):
        open_client(url)


def test_an_error_does_not_show_the_password_of_an_address() -> None:
    with pytest.raises(ConfigError) as caught:
        connect("https://me:secret@host/zdc")
    assert "secret" not in str(caught.value)
    assert "'https://...@host/zdc'" in str(caught.value)


@pytest.mark.parametrize("open_client", [connect, connect_async])
def test_settings_with_a_server_address_are_refused(open_client: Callable[..., object]) -> None:
    with pytest.raises(ConfigError, match="settings apply to simulation in this process"):
        open_client("http://host:1", settings=EngineSettings())


def test_a_job_keeps_the_version_of_its_first_reply() -> None:
    plan = plan_of(1)
    first, second = plan.requests(photons(2))
    assert plan.request(first).version is None
    assert not plan.must_ask_again(replace(answer(first.request), version=3))
    plan.chunk(first, replace(answer(first.request), version=3))
    assert plan.request(second).version == 3
    assert plan.must_ask_again(replace(answer(second.request), version=4))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_run_has_the_options_of_simulate(kind: type[Client] | type[AsyncClient]) -> None:
    assert inspect.signature(kind.run).parameters == inspect.signature(kind.simulate).parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "image"}, "output = 'image' must be one of response, channels, hits"),
        ({"out_of_range": "ignore"}, "out_of_range = 'ignore' must be one of error, skip, extrapolate"),
        ({"seed": 7.0}, "seed = 7.0 must be a whole number"),
        ({"seed": "7"}, "seed = '7' must be a whole number"),
        ({"repeats": 2.5}, "repeats = 2.5 must be a whole number"),
        ({"repeats": 0}, "repeats = 0 must be at least 1"),
        ({"first_row": None}, "first_row = None must be a whole number"),
        ({"version": "1"}, "version = '1' must be a whole number"),
        ({"model": 3}, "model = 3 must be a name, or None for the default model"),
        ({"version": 0}, "version = 0 must be from 1 to 2147483647, or None for the newest version"),
        ({"version": -1}, "version = -1 must be from 1 to 2147483647, or None for the newest version"),
        ({"version": 2**31}, "version = 2147483648 must be from 1 to 2147483647, or None for the newest version"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        JobPlan(9, **{**USUAL, **options})  # type: ignore[arg-type]


def test_integers_of_numpy_are_accepted() -> None:
    numbers = {"seed": np.int64(7), "repeats": np.uint8(2), "first_row": np.int32(4), "version": np.int16(1)}
    (wanted,) = JobPlan(9, **{**USUAL, **numbers}).requests(photons(1))  # type: ignore[arg-type]
    assert (wanted.request.seed, wanted.request.repeats, wanted.request.first_row) == (7, 2, 4)
    assert type(wanted.request.seed) is int


@pytest.mark.parametrize("pdg", [2**31, -(2**31), 2**40 + 22])
def test_codes_beyond_32_bits_are_refused(pdg: int) -> None:
    columns = {"pdg": [22, pdg], "px": [0, 0], "py": [0, 0], "pz": [9, 9], "mass": [0, 0], "charge": [0, 0]}
    with pytest.raises(InvalidInputError, match=r"particle\[1\]: pdg = .* must be an integer PDG code"):
        Particles.from_columns(columns)
