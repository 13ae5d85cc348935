"""`zdc simulate` with particles that are given at the face."""

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.calorimeters import ZN
from helpers.files.simulate_runs import EXCERPT, assert_same_content, content, run
from helpers.models.tiny_model import AT_FACE_SPECIES, TinyModel, face_particles, write_model
from helpers.servers.running_server import running
from zdc_detector.frames import Frame, placed_at_face
from zdc_detector.particles import CONDITIONS, Particles

NAMES = ("pdg", "px", "py", "pz", "vx", "vy")
PARTICLES = face_particles(40, seed=2)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny`` knows both frames, and protons."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, TinyModel(species=AT_FACE_SPECIES, frames=(Frame.VERTEX, Frame.FACE)))
    return folder


def columns_of(particles: Particles) -> dict[str, np.ndarray]:
    return {"pdg": particles.pdg} | {
        name: particles.conditions[:, CONDITIONS.index(name)].astype(np.float64) for name in NAMES[1:]
    }


def write_csv(path: Path, particles: Particles = PARTICLES) -> Path:
    rows = zip(*columns_of(particles).values(), strict=True)
    path.write_text("\n".join([",".join(NAMES), *(",".join(map(repr, map(float, row))) for row in rows)]) + "\n")
    return path


def write_columns(path: Path, frame: str | bytes | None, particles: Particles = PARTICLES) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in columns_of(particles).items():
            file[name] = values
        if frame is not None:
            file.attrs["frame"] = frame
    return path


def test_every_door_and_file_gives_the_same_rows(tmp_path: Path, models: Path) -> None:
    """The output has the vz of the face, and says the frame; simulated again, it gives the same photons."""
    common: list[object] = ["--models", models, "--seed", 4, "--quiet"]
    table = pa.table(columns_of(PARTICLES))
    pq.write_table(table, tmp_path / "particles.parquet")
    first = tmp_path / "csv.h5"
    assert run("--input", write_csv(tmp_path / "particles.csv"), "--frame", "face", "--output", first, *common) == 0
    found = content(first)
    assert found["@frame"] == "face"
    assert len(found["pdg"]) == len(PARTICLES)
    np.testing.assert_array_equal(found["particles"], placed_at_face(PARTICLES, ZN).conditions)
    assert found["channels"].any()
    inputs = {
        "parquet": tmp_path / "particles.parquet",
        "columns": write_columns(tmp_path / "columns.h5", None),
        "again": first,
    }
    for name, path in inputs.items():
        assert run("--input", path, "--frame", "face", "--output", tmp_path / f"of-{name}.h5", *common) == 0
        assert_same_content(first, tmp_path / f"of-{name}.h5")
    stated = {"stated": write_columns(tmp_path / "stated.h5", b"face"), "its-own": first}
    for name, path in stated.items():
        assert run("--input", path, "--output", tmp_path / f"of-{name}.h5", *common) == 0
        assert_same_content(first, tmp_path / f"of-{name}.h5")
    with running(models) as server:
        for scheme, address in (("http", server.http), ("grpc", f"grpc://{server.grpc}")):
            served = ["--server", address, "--seed", 4, "--quiet", "--frame", "face"]
            assert run("--input", tmp_path / "particles.csv", "--output", tmp_path / f"{scheme}.h5", *served) == 0
            assert_same_content(first, tmp_path / f"{scheme}.h5")


def test_a_particle_on_the_command_line(tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proton = ["--particle", "pdg=2212,pz=-1500,px=3,vx=1.5,vy=-2", "--models", models, "--output", tmp_path / "one.h5"]
    assert run(*proton, "--frame", "face") == 0
    conditions = content(tmp_path / "one.h5")["particles"][0]
    assert conditions[[1, 2, 3]].tolist() == [1.5, -2.0, -np.float32(ZN.face_z)]
    capsys.readouterr()
    assert run(*proton) == 2
    error = capsys.readouterr().err
    assert "magnets sweep a charged particle away" in error
    assert "give charged particles at the face, frame = face" in error


@pytest.mark.parametrize(
    ("row", "frame", "message"),
    [
        ("2112,0,0,100,0,0,11259.8\n2112,0,0,100,0,0,7", "face", "line 3: vz = 7 cm contradicts frame = face"),
        ("2112,0,0,-100,0,0,11259.8", "face", "line 2: vz = 11259.8"),
        ("2112,0,0,100,0.5,0,11259.8\n2112,9,0,100,0,0,11259.8", None, "line 3: slope: px/|pz| = 0.09 is outside"),
        ("2112,0,0,100,3.7,0,0", "face", "line 2: position: vx = 3.7 cm is outside the trained range [-3.6, 3.6] cm"),
    ],
)
def test_a_wrong_row_is_named(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str], row: str, frame: str | None, message: str
) -> None:
    """Without the option, a row whose vz is that of the face is at the face."""
    (tmp_path / "in.csv").write_text(f"pdg,px,py,pz,vx,vy,vz\n{row}\n")
    option = ["--frame", frame] if frame else []
    assert run("--input", tmp_path / "in.csv", "--output", tmp_path / "o.h5", "--models", models, *option) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_says_another_frame_is_refused(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common: list[object] = ["--output", tmp_path / "o.h5", "--models", models]
    assert run("--input", write_columns(tmp_path / "in.h5", "vertex"), "--frame", "face", *common) == 2
    assert "says that its particles are given at the vertex; leave --frame out" in capsys.readouterr().err
    assert run("--input", write_columns(tmp_path / "odd.h5", "cavern"), *common) == 2
    assert "the attribute frame is 'cavern'; it must be vertex or face" in capsys.readouterr().err


def test_another_frame_is_another_job(tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_csv(tmp_path / "in.csv", face_particles(6, seed=1, codes=(2112,)))
    common: list[object] = ["--input", file, "--output", tmp_path / "o.h5", "--models", models, "--part", "1/2"]
    assert run(*common, "--frame", "face", "--rows-per-part", 2) == 0
    assert run(*common, "--rows-per-part", 2, "--frame", "vertex") == 2
    assert "frame was face and is now vertex" in capsys.readouterr().err


def test_charged_particles_of_whole_events_are_taken_at_the_face(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list of particles per entry is an event: from a vertex its charged particles are left out."""
    particles = Particles.concatenate([PARTICLES, face_particles(5, seed=9, codes=(321,))])
    pq.write_table(
        pa.table({name: [values.tolist()] for name, values in columns_of(particles).items()}), tmp_path / "e.parquet"
    )
    common: list[object] = ["--input", tmp_path / "e.parquet", "--models", models, "--output", tmp_path / "o.h5"]
    assert run(*common, "--frame", "face") == 0
    found, text = content(tmp_path / "o.h5"), capsys.readouterr().out
    assert "skipped 5 outside the trained range: 5 species" in text
    assert "left out" not in text
    assert sorted(found["pdg"]) == sorted(PARTICLES.pdg)
    assert found["@skipped"] == '{"species": 5}'
    assert run(*common, "--frame", "vertex", "--overwrite") == 0
    charged = int(np.isin(particles.pdg, [2212, 321]).sum())
    assert f"{charged} charged" in capsys.readouterr().out


def test_no_particle_of_a_hepmc_event_is_left_out_at_the_face(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model's ranges say which of them are simulated; each one is counted."""
    common: list[object] = ["--input", EXCERPT, "--models", models, "--output", tmp_path / "o.h5"]
    assert run(*common, "--frame", "face") == 0
    text, found = capsys.readouterr().out, content(tmp_path / "o.h5")
    assert "left out" not in text
    assert found["@left_out"] == "{}"
    skipped = json.loads(found["@skipped"])
    assert skipped.keys() == {"species", "energy", "slope"}
    assert found["@particles_read"] == sum(skipped.values()) + len(found["pdg"])
    assert {2212, 2112, 22} == set(found["pdg"].tolist())
