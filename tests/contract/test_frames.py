"""Particles at the face: every protocol and every client gives the same photons, counts and errors."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import numpy as np
import orjson
import pytest
from helpers.callers.inference_requests import CODING, INFER, grpc_message, grpc_outputs, http_body, http_outputs
from helpers.calorimeters import ZN
from helpers.models.tiny_model import AT_FACE_SPECIES, TinyModel, face_particles, some_particles, write_model
from helpers.servers.running_server import RunningServer
from zdc_common.errors import InvalidInputError, OutOfRangeError, ZdcError
from zdc_detector.frames import Frame, placed_at_face
from zdc_detector.particles import CONDITIONS, VX, VZ, Particles
from zdc_service.client import Chunk, connect, connect_async
from zdc_service.codecs import ARRAYS, ARRAYS_HEADER, RAW, split_arrays
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.settings import EngineSettings, ServerSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, SimulationRequest

ROWS = 60
SEED = 5
Sums = np.ndarray
"""Channel sums, shape (M, C)."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny`` knows the vertex, ``wide`` both frames, and ``inner`` the face alone."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, TinyModel())
    write_model(folder, TinyModel(name="wide", species=AT_FACE_SPECIES, frames=(Frame.VERTEX, Frame.FACE)))
    write_model(folder, TinyModel(name="inner", species=AT_FACE_SPECIES, frames=(Frame.FACE,)))
    return folder


@pytest.fixture(scope="module")
def simulator(models: Path) -> Iterator[Simulator]:
    with Simulator(EngineSettings(models=models, default_model="tiny", threads=1)) as running:
        yield running


class Place(NamedTuple):
    """Where to simulate: a server, and the folder of its models."""

    server: RunningServer
    models: Path


@pytest.fixture(scope="module")
def place(models: Path) -> Iterator[Place]:
    running = RunningServer(ServerSettings(models=models, default_model="tiny", http_port=0, grpc_port=0, threads=1))
    yield Place(running, models)
    running.stop()


def in_process(place: Place, particles: Particles, model: str, **options: Any) -> Sums:
    with connect(settings=EngineSettings(models=place.models, default_model="tiny")) as client:
        return client.run(particles, seed=SEED, model=model, frame="face", output="channels", **options).channels


def http_json(place: Place, particles: Particles, model: str, **options: Any) -> Sums:
    columns = {"pdg": particles.pdg.tolist()}
    columns |= {
        name: particles.conditions[:, CONDITIONS.index(name)].tolist() for name in ("px", "py", "pz", "vx", "vy")
    }
    body = {"particles": columns, "frame": "face", "seed": SEED, "model": model, "output": "channels", **options}
    reply = httpx.post(f"{place.server.http}/simulate", content=orjson.dumps(body))
    answer = refused(reply)
    assert answer["frame"] == reply.headers["X-Zdc-Frame"] == "face"
    return np.array(answer["channels"])


def http_raw(place: Place, particles: Particles, model: str, **options: Any) -> Sums:
    query: dict[str, Any] = {
        "frame": "face",
        "seed": SEED,
        "model": model,
        "output": "channels",
        "columns": "pdg,px,py,pz,vx,vy",
    }
    rows = np.column_stack([particles.pdg, particles.conditions[:, [4, 5, 6, 1, 2]]]).astype("<f4").tobytes()
    headers = {"Content-Type": RAW, "Accept": ARRAYS}
    reply = httpx.post(f"{place.server.http}/simulate", params=query | options, content=rows, headers=headers)
    if reply.status_code != 200:
        refused(reply)
    return split_arrays(reply.content, reply.headers[ARRAYS_HEADER])["channels"]


def grpc_unary(place: Place, particles: Particles, model: str, out_of_range: str = "error") -> Sums:
    message = pb.SimulateRequest(
        particles=pb.Particles(
            pdg=particles.pdg.astype("<i4").tobytes(),
            momentum=particles.conditions[:, 4:7].astype("<f4").tobytes(),
            vertex=particles.conditions[:, 1:4].astype("<f4").tobytes(),
        ),
        seed=SEED,
        model=model,
        output=pb.OUTPUT_CHANNELS,
        out_of_range=f"OUT_OF_RANGE_{out_of_range.upper()}",
        frame=pb.FRAME_FACE,
    )
    with grpc.insecure_channel(place.server.grpc) as channel:
        coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
        try:
            reply = channel.unary_unary("/zdc.v1.Simulation/Simulate", *coding)(message, timeout=60)
        except grpc.RpcError as error:
            raise ZdcError(error.details()) from error
    assert reply.frame == pb.FRAME_FACE
    return np.frombuffer(reply.channels, "<u4").reshape(-1, len(reply.channel_names))


def client_over(scheme: str) -> Callable[..., Sums]:
    def run(place: Place, particles: Particles, model: str, **options: Any) -> Sums:
        with connect(_address(place, scheme)) as client:
            chunk = client.run(particles, seed=SEED, model=model, frame="face", output="channels", **options)
        assert chunk.frame is Frame.FACE
        return chunk.channels

    return run


def async_client_over(scheme: str) -> Callable[..., Sums]:
    def run(place: Place, particles: Particles, model: str, **options: Any) -> Sums:
        async def job() -> Chunk:
            async with connect_async(_address(place, scheme)) as client:
                return await client.run(
                    particles, seed=SEED, model=model, frame=Frame.FACE, output="channels", **options
                )

        return asyncio.run(job()).channels

    return run


def _address(place: Place, scheme: str) -> str:
    return place.server.http if scheme == "http" else f"grpc://{place.server.grpc}"


def inference_http(place: Place, particles: Particles, model: str, **options: Any) -> Sums:
    body, headers = http_body(_at_face(particles), parameters={"seed": SEED, "binary_data_output": True, **options})
    reply = httpx.post(f"{place.server.http}/v2/models/{model}/infer", content=body, headers=headers)
    if reply.status_code != 200:
        refused(reply)
    return http_outputs(reply)["channels"]


def inference_grpc(place: Place, particles: Particles, model: str, **options: Any) -> Sums:
    message = grpc_message(model, _at_face(particles), seed=SEED, **options)
    with grpc.insecure_channel(place.server.grpc, options=[("grpc.max_receive_message_length", -1)]) as channel:
        try:
            return grpc_outputs(channel.unary_unary(INFER, *CODING)(message, timeout=60))["channels"]
        except grpc.RpcError as error:
            raise ZdcError(error.details()) from error


def _at_face(particles: Particles) -> dict[str, np.ndarray]:
    """The inputs of the Open Inference Protocol: there, vz says that particles are at the face."""
    conditions = particles.conditions.copy()
    conditions[:, VZ] = np.copysign(ZN.face_z, conditions[:, 6])
    return {"particles": conditions, "pdg": particles.pdg}


def refused(reply: httpx.Response) -> Any:
    """The answer; raises ZdcError with the message of a refusal."""
    answer = reply.json()
    if reply.status_code != 200:
        error = answer["error"]
        raise ZdcError(error if isinstance(error, str) else error["message"])
    return answer


DOORS: dict[str, Callable[..., Sums]] = {
    "in process": in_process,
    "HTTP JSON": http_json,
    "HTTP raw": http_raw,
    "gRPC": grpc_unary,
    "client over HTTP": client_over("http"),
    "client over gRPC": client_over("grpc"),
    "async client over HTTP": async_client_over("http"),
    "async client over gRPC": async_client_over("grpc"),
    "inference over HTTP": inference_http,
    "inference over gRPC": inference_grpc,
}
doors = pytest.mark.parametrize("door", DOORS)


@doors
@pytest.mark.parametrize("rows", [1, ROWS])  # small requests are planned in bundles
def test_every_door_gives_the_same_photons(place: Place, simulator: Simulator, door: str, rows: int) -> None:
    particles = face_particles(ROWS)[:rows]
    placed = placed_at_face(particles, ZN)
    expected = simulator.simulate(SimulationRequest(placed, seed=SEED, model="wide"))
    assert expected.channels.any()
    np.testing.assert_array_equal(DOORS[door](place, particles, "wide"), expected.channels)


@doors
@pytest.mark.parametrize("policy", ["error", "extrapolate"])
def test_a_model_of_the_vertex_is_never_asked(place: Place, door: str, policy: str) -> None:
    particles = face_particles(3, codes=(2112,))
    with pytest.raises(ZdcError) as caught:
        DOORS[door](place, particles, "tiny", out_of_range=policy)
    text = str(caught.value)
    assert "particle[0]: frame: vz = " in text
    assert "at the face: the model was trained on vertices only" in text
    assert (
        "give neutral particles at their vertex, frame = vertex; models that know pdg 2112 at the face: inner 1, wide 1"
        in text
    )


def test_skipped_particles_are_counted_by_their_reason(simulator: Simulator) -> None:
    columns = {
        "pdg": [2112, 2212, 22, 2112, 2112, 2112, 321],
        "px": [0, 0, 0, 0, 6, 0, 0],
        "py": [0] * 7,
        "pz": [1000, -1000, 1000, 1000, -1000, 10, 1000],
        "vx": [1, 1, 0, 3.7, 0, 0, 0],
    }
    particles = Particles.from_columns(columns)
    request = SimulationRequest(
        particles, seed=1, model="wide", frame=Frame.FACE, out_of_range=OutOfRange.SKIP, repeats=2
    )
    result = simulator.simulate(request)
    assert result.skipped == {"position": 1, "slope": 1, "energy": 1, "species": 1}
    assert result.particle.tolist() == [0, 0, 1, 1, 2, 2]
    request = SimulationRequest(
        particles[:6], seed=1, model="wide", frame=Frame.FACE, out_of_range=OutOfRange.EXTRAPOLATE
    )
    assert simulator.simulate(request).extrapolated == {"position": 1, "slope": 1, "energy": 1}


@pytest.mark.parametrize("policy", OutOfRange)
@pytest.mark.parametrize("model", ["tiny", "wide"])
def test_charged_particles_from_a_vertex_are_refused(simulator: Simulator, model: str, policy: OutOfRange) -> None:
    """Even if the policy is to extrapolate; they are left out if it is to skip."""
    particles = Particles.from_columns({"pdg": [2112, 2212], "px": [0, 0], "py": [0, 0], "pz": [1000.0, 1000.0]})
    request = SimulationRequest(particles, model=model, out_of_range=policy)
    if policy is OutOfRange.SKIP:
        result = simulator.simulate(request)
        assert result.skipped == {"frame" if model == "wide" else "species": 1}
        assert result.particle.tolist() == [0]
        return
    with pytest.raises(OutOfRangeError) as caught:
        simulator.simulate(request)
    text = str(caught.value)
    assert text.startswith(f"particle[1]: {'frame' if model == 'wide' else 'species'}: ")
    assert "magnets sweep a charged particle away between its vertex and the face" in text
    assert (
        "give charged particles at the face, frame = face; models that know pdg 2212 at the face: inner 1, wide 1"
        in text
    )


def test_no_remedy_is_promised_that_no_model_keeps(simulator: Simulator) -> None:
    kaon = Particles.from_columns({"pdg": [321], "px": [0.0], "py": [0.0], "pz": [1000.0]})
    with pytest.raises(OutOfRangeError, match="no loaded model knows pdg 321 at the face"):
        simulator.simulate(SimulationRequest(kaon, model="wide"))


@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("way", ["ask", "simulate"])
def test_a_vz_that_contradicts_the_frame_is_refused_and_counted(simulator: Simulator, way: str, rows: int) -> None:
    particles = face_particles(rows)
    particles.conditions[rows - 1, VZ] = 12.5
    request = SimulationRequest(particles, model="wide", frame=Frame.FACE)
    engine = simulator.repository.get("wide", None)
    before = engine.statistics.totals(0).failed["invalid_input"]

    async def ask() -> None:
        await simulator.ask(request)

    with pytest.raises(InvalidInputError, match=rf"particle\[{rows - 1}\]: vz = 12.5 cm contradicts frame = face"):
        asyncio.run(ask()) if way == "ask" else simulator.simulate(request)
    assert engine.statistics.totals(0).failed["invalid_input"] == before + 1


def test_a_model_of_the_face_simulates_neutral_particles_where_they_meet_it(simulator: Simulator) -> None:
    """Its graph gets rows at the face only; a line that misses the face gives no light."""
    from_vertex = some_particles(ROWS)
    from_vertex = from_vertex[np.isin(from_vertex.pdg, [2112, 22])]
    hits = ZN.hits_face(from_vertex.conditions)
    assert 0.2 < hits.mean() < 0.9
    found = simulator.simulate(SimulationRequest(from_vertex, seed=SEED, model="inner"))
    assert not found.channels[~hits].any()
    carried = from_vertex.conditions.copy()
    carried[:, VX:VZ] = ZN.impact_points(carried)
    carried[:, VZ] = np.copysign(ZN.face_z, carried[:, 6])
    at_face = Particles(from_vertex.pdg, np.where(hits[:, None], carried, from_vertex.conditions).astype(np.float32))
    expected = simulator.simulate(SimulationRequest(at_face, seed=SEED, model="inner"))
    assert expected.channels[hits].any()
    np.testing.assert_array_equal(found.channels, expected.channels)


def test_an_unknown_frame_is_refused(place: Place) -> None:
    with pytest.raises(ZdcError, match="frame"):
        http_raw(place, face_particles(1), "wide", frame="cavern")
    wrong: Any = "cavern"
    with (
        connect(place.server.http) as client,
        pytest.raises(InvalidInputError, match="frame = 'cavern' must be one of vertex, face"),
    ):
        client.run(face_particles(1), frame=wrong)
