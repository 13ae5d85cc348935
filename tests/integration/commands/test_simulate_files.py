"""`zdc simulate` from and to every kind of file."""

import json
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from helpers.calorimeters import BOARD
from helpers.files.simulate_runs import EXCERPT, NEUTRON, assert_same_content, content, run
from helpers.models.tiny_model import STRIPS, TinyModel, write_model
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CONDITIONS, Particles
from zdc_detector.shower_rows import read_rows
from zdc_readers import open_particles
from zdc_service.writers.parquet_results import COUNTS, METADATA


def root_content(path: Path) -> dict[str, Any]:
    """Like `content`, with jagged branches as awkward arrays and others as NumPy arrays."""
    with uproot.open(path) as file:
        assert file.classnames(cycle=False) == {"about": "TObjString", "showers": "TTree"}
        arrays = file["showers"].arrays(library="ak")
        found = {name: arrays[name] for name in arrays.fields}
        about: dict[str, Any] = json.loads(file["about"])
        return about | {k: v if k.startswith("hits") else ak.to_numpy(v) for k, v in found.items()}


def parquet_content(path: Path) -> dict[str, Any]:
    table = pq.read_table(path)
    found: dict[str, Any] = {name: ak.from_arrow(table[name]) for name in table.column_names}
    about: dict[str, Any] = json.loads(table.schema.metadata[METADATA])
    about |= json.loads(pq.read_metadata(path).metadata[COUNTS])
    return about | {k: v if k.startswith("hits") or k == "side" else ak.to_numpy(v) for k, v in found.items()}


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("what", ["response", "channels", "hits"])
def test_root_and_parquet_have_the_same_content_as_hdf5(
    tmp_path: Path, one_model: Path, what: str, rates: bool
) -> None:
    common: list[object] = ["--input", EXCERPT, "--seed", 7, "--repeats", 3, "--models", one_model, "--batch", 5]
    common += ["--what", what, *(["--rates"] if rates else [])]
    for ending in ("h5", "root", "parquet"):
        assert run(*common, "--output", tmp_path / f"out.{ending}") == 0
    expected = content(tmp_path / "out.h5")
    root, parquet = root_content(tmp_path / "out.root"), parquet_content(tmp_path / "out.parquet")
    assert root["side"].view("S1").tolist() == expected["side"].tolist()
    assert [side.encode() for side in parquet["side"].tolist()] == expected["side"].tolist()
    for found in (root, parquet):
        for i, name in enumerate(CONDITIONS):
            np.testing.assert_array_equal(found[name], expected["particles"][:, i])
        for name in ("pdg", "particle_id", "row", "channels", "event", "barcode"):
            np.testing.assert_array_equal(found[name], expected[name])
        for name in ("software", "model", "version", "seed", "finish", "output", "repeats", "first_row"):
            assert found[name] == expected[f"@{name}"]
        for name in ("particles_read", "left_out", "skipped", "extrapolated"):
            assert found[name] == json.loads(str(expected[f"@{name}"]))
        assert found["left_out"] == {"charged": 1264, "misses the face": 1613}
        assert (found["shape"], found["units"]["mass"]) == ([44, 44], "MeV")
        if what == "response":
            np.testing.assert_array_equal(found["responses"].reshape(-1, 44, 44), expected["responses"])
            assert found["responses"].dtype == (np.float32 if rates else np.uint16)
        elif what == "hits":
            np.testing.assert_array_equal(ak.num(found["hits_fibre"]), np.diff(expected["hits/offsets"]).astype(int))
            for name in ("fibre", "photons"):
                np.testing.assert_array_equal(ak.flatten(found[f"hits_{name}"]), expected[f"hits/{name}"])
    wanted = {"response": {"responses"}, "channels": set(), "hits": {"hits_fibre", "hits_photons"}}[what]
    assert {name for name in parquet if name.startswith(("hits", "resp"))} == wanted


def test_the_size_of_blocks_does_not_change_files(
    tmp_path: Path, one_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("--input", EXCERPT, "--seed", 7, "--repeats", 30, "--models", one_model, "--batch", 7, "--what", "hits")
    paths = [tmp_path / f"{size}.{ending}" for size in ("large", "small") for ending in ("h5", "root", "parquet")]
    for path in paths[:3]:
        assert run(*common, "--output", path) == 0
    monkeypatch.setattr("zdc_service.writers.results.ResultWriter.block_bytes", 1)
    monkeypatch.setattr("zdc_service.writers.hdf5_results.Hdf5Writer.block_bytes", 1)
    for path in paths[3:]:
        assert run(*common, "--output", path) == 0
    assert_same_content(paths[0], paths[3])
    for read, large, small in ((root_content, paths[1], paths[4]), (parquet_content, paths[2], paths[5])):
        first, second = read(large), read(small)
        assert first.keys() == second.keys()
        assert all(ak.array_equal(first[k], second[k]) if k in ("hits_fibre", "channels") else True for k in first)


def test_all_inputs_with_the_same_particles_give_the_same_responses(tmp_path: Path, one_model: Path) -> None:
    (block,) = list(open_particles(EXCERPT))
    known = np.isin(block.particles.pdg, [2112, 22, 310])
    columns: dict[str, Any] = {"pdg": block.particles.pdg[known].astype(np.int32)}
    columns |= {name: block.particles.conditions[known, CONDITIONS.index(name)] for name in ("px", "py", "pz")}
    columns |= {name: block.particles.conditions[known, CONDITIONS.index(name)] for name in ("vx", "vy", "vz")}
    columns |= {name: values[known] for name, values in block.columns.items()}
    assert len(columns["pdg"]) > 5

    lines = [",".join(columns), *(",".join(map(repr, row)) for row in zip(*(c.tolist() for c in columns.values())))]  # noqa: B905
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("particles", {name: values.dtype for name, values in columns.items()})
        file["particles"].extend(columns)
    for ending in ("csv", "parquet", "root"):
        arguments = ("--input", tmp_path / f"a.{ending}", "--output", tmp_path / f"{ending}.h5", "--seed", 3)
        assert run(*arguments, "--models", one_model) == 0
    assert_same_content(tmp_path / "csv.h5", tmp_path / "parquet.h5")
    assert_same_content(tmp_path / "csv.h5", tmp_path / "root.h5")
    with h5py.File(tmp_path / "root.h5") as file:
        assert file["event"][()].tolist() == columns["event"].tolist()


def test_the_tree_must_be_chosen_if_there_are_several(
    tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        for name, pz in (("low", 500.0), ("high", 900.0)):
            tree: dict[str, Any] = {name: np.zeros(1) for name in ("px", "py", "mark")}
            tree |= {"pdg": np.array([2112]), "pz": np.full(1, pz)}
            file.mktree(name, {key: values.dtype for key, values in tree.items()})
            file[name].extend(tree)
    arguments = ("--input", tmp_path / "a.root", "--output", tmp_path / "out.h5", "--models", one_model)
    assert run(*arguments) == 2
    assert "several trees: the file has low, high; choose one with --tree" in capsys.readouterr().err
    assert run(*arguments, "--tree", "high") == 0
    assert "read 1 particle; ignored branch mark" in capsys.readouterr().out
    assert content(tmp_path / "out.h5")["particles"][0, 6] == 900


def test_whole_events_are_read_for_the_calorimeter_of_the_model(tmp_path: Path) -> None:
    write_model(tmp_path / "models", TinyModel(calorimeter=BOARD))
    output = tmp_path / "out.h5"
    assert run("--input", EXCERPT, "--output", output, "--models", tmp_path / "models", "--what", "channels") == 0
    reader = open_particles(EXCERPT)
    reader.calorimeter = BOARD
    particles = Particles.concatenate([block.particles for block in reader])
    known = np.isin(particles.pdg, [2112, 22, 310])
    assert BOARD.hits_face(particles.conditions).all()
    assert known.sum() > 0
    np.testing.assert_array_equal(content(output)["particles"], particles.conditions[known])


def test_every_format_contains_the_calorimeter(tmp_path: Path) -> None:
    root = tmp_path / "models"
    write_model(root, TinyModel(calorimeter=STRIPS))
    arguments = ("--particle", NEUTRON, "--models", root, "--seed", 1, "--output")
    for ending in ("npz", "root", "parquet", "h5"):
        assert run(*arguments, tmp_path / f"out.{ending}") == 0
    with np.load(tmp_path / "out.npz") as arrays:
        expected = arrays["responses"]
        assert Calorimeter.model_validate_json(str(arrays["calorimeter"])) == STRIPS
    stored = read_rows(tmp_path / "out.h5")
    assert stored.calorimeter == STRIPS
    np.testing.assert_array_equal(stored.responses, expected)
    for text in (root_content(tmp_path / "out.root"), parquet_content(tmp_path / "out.parquet")):
        assert Calorimeter.model_validate(text["calorimeter"]) == STRIPS
    assert expected.shape == (1, 8, 6)
    np.testing.assert_array_equal(root_content(tmp_path / "out.root")["responses"], expected)
    np.testing.assert_array_equal(parquet_content(tmp_path / "out.parquet")["responses"].reshape(1, 8, 6), expected)
    assert root_content(tmp_path / "out.root")["channel_names"] == list(STRIPS.channel_names)
