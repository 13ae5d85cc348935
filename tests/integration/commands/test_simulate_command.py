"""The command `zdc simulate`, from particles to files."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.files.simulate_runs import EXCERPT, NEUTRON, PHOTON, assert_same_content, content, run
from zdc_detector.particles import PZ, VZ
from zdc_detector.showers import read_showers
from zdc_readers import open_particles


@pytest.fixture(scope="module")
def server(one_model: Path) -> Iterator[dict[str, str]]:
    """Addresses of ``zdc serve`` in a separate process."""
    command = [sys.executable, "-m", "zdc_service.cli", "serve", "--http-port", "0", "--grpc-port", "0"]
    with subprocess.Popen([*command, "--models", str(one_model)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        http = next(word for word in words if word.startswith("http://"))
        try:
            yield {"http": http, "grpc": f"grpc://{words[-1]}"}
        finally:
            process.terminate()


def test_the_file_is_the_same_in_process_over_grpc_and_over_http(
    tmp_path: Path, one_model: Path, server: dict[str, str]
) -> None:
    common = ("--input", EXCERPT, "--seed", 7, "--repeats", 3)
    assert run(*common, "--output", tmp_path / "local.h5", "--models", one_model) == 0
    assert run(*common, "--output", tmp_path / "small.h5", "--models", one_model, "--batch", 2) == 0
    for way, url in server.items():
        assert run(*common, "--output", tmp_path / f"{way}.h5", "--server", url, "--batch", 7) == 0
        with h5py.File(tmp_path / f"{way}.h5") as file:
            assert file.attrs["server"] == url
    for name in ("small", "grpc", "http"):
        assert_same_content(tmp_path / "local.h5", tmp_path / f"{name}.h5")


def test_a_hepmc_file_becomes_showers_with_their_events(
    tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    assert run("--input", EXCERPT, "--output", output, "--models", one_model, "--seed", 7, "--repeats", 2) == 0
    showers = read_showers(output)
    reader = open_particles(EXCERPT)
    (block,) = list(reader)
    known = np.isin(block.particles.pdg, [2112, 22, 310])
    assert 0 < known.sum() < len(known)
    wanted = np.repeat(np.flatnonzero(known), 2)
    np.testing.assert_array_equal(showers.particle_id, wanted)
    np.testing.assert_array_equal(showers.particles.conditions, block.particles.conditions[wanted])
    np.testing.assert_array_equal(showers.particles.pdg, block.particles.pdg[wanted])
    for name in ("event", "barcode"):
        np.testing.assert_array_equal(showers.extra[name], block.columns[name][wanted])
    np.testing.assert_array_equal(showers.extra["side"], showers.particles.side)
    np.testing.assert_array_equal(showers.extra["row"], 2 * wanted + np.arange(len(wanted)) % 2)
    found = content(output)
    np.testing.assert_array_equal(found["channels"], showers.calorimeter.channel_sums(showers.responses))
    assert (found["@model"], found["@version"], found["@seed"], found["@output"]) == ("tiny", 1, 7, "response")
    assert found["@finish"] == "poisson"
    text = capsys.readouterr().out
    assert f"read {reader.read} particles; left out {reader.skipped.total()}: " in text
    assert f"{reader.skipped['charged']} charged" in text
    assert f"{reader.skipped['misses the face']} misses the face" in text
    assert f"simulated {known.sum()} particles x 2 = {len(wanted)} rows with tiny version 1, seed 7" in text
    assert f"skipped {(~known).sum()} outside the trained range: {(~known).sum()} species" in text
    empty = np.mean(~showers.responses.any(axis=(1, 2)))
    assert f"{empty:.1%} of the rows are empty" in text
    assert f"wrote {output}" in text


def test_particles_to_minus_z_are_mirror_images(tmp_path: Path, one_model: Path) -> None:
    for name, particle in (("a", "pdg=2112,px=0.1,pz=1500,vz=-2"), ("c", "pdg=2112,px=0.1,pz=-1500,vz=2")):
        assert run("--particle", particle, "--output", tmp_path / f"{name}.h5", "--models", one_model, "--seed", 3) == 0
    a, c = content(tmp_path / "a.h5"), content(tmp_path / "c.h5")
    assert a["responses"].any()
    np.testing.assert_array_equal(a["responses"], c["responses"])
    assert (a["side"].tolist(), c["side"].tolist()) == ([b"A"], [b"C"])
    assert (c["particles"][0, PZ], c["particles"][0, VZ]) == (-1500, 2)


def test_repeats_of_one_particle_may_exceed_a_request(
    tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--particle", NEUTRON, "--particle", PHOTON, "--repeats", 5, "--seed", 3, "--models", one_model)
    for batch in (2, 100):
        assert run(*common, "--batch", batch, "--output", tmp_path / f"{batch}.h5") == 0
        assert "simulated 2 particles x 5 = 10 rows" in capsys.readouterr().out
    assert_same_content(tmp_path / "2.h5", tmp_path / "100.h5")


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path, one_model: Path) -> None:
    table = tmp_path / "particles.csv"
    table.write_text("pdg,px,py,pz\n" + "2112,0,0,500\n" * 300)
    arguments = ["--input", table, "--models", one_model, "--batch", 50, "--output", tmp_path / "out.h5"]
    command = [sys.executable, "-m", "zdc_service.cli", "simulate", *map(str, arguments)]
    quiet = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert quiet.stderr == ""
    master, terminal = os.openpty()
    with os.fdopen(master, "rb", buffering=0) as screen:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, check=True, timeout=60)
        os.close(terminal)
        shown = screen.read(1 << 16)
    assert b"300 rows, " in shown
    assert b"100%" in shown


def test_hits_and_channels_agree_with_the_responses(tmp_path: Path, one_model: Path) -> None:
    common = ("--input", EXCERPT, "--seed", 7, "--models", one_model, "--batch", 3)
    for what in ("response", "hits", "channels"):
        assert run(*common, "--what", what, "--output", tmp_path / f"{what}.h5") == 0
        assert run(*common, "--what", what, "--output", tmp_path / f"{what}.npz") == 0
    whole, hits, sums = (content(tmp_path / f"{what}.h5") for what in ("response", "hits", "channels"))
    offsets = hits["hits/offsets"]
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets.astype(np.int64)))
    dense = np.zeros_like(whole["responses"]).reshape(len(whole["row"]), -1)
    dense[rows, hits["hits/fibre"]] = hits["hits/photons"]
    np.testing.assert_array_equal(dense.reshape(whole["responses"].shape), whole["responses"])
    assert "responses" not in sums
    assert "responses" not in hits
    for found in (hits, sums):
        np.testing.assert_array_equal(found["channels"], whole["channels"])
    for what, file in (("response", whole), ("hits", hits), ("channels", sums)):
        with np.load(tmp_path / f"{what}.npz", allow_pickle=False) as arrays:
            names = {name.removeprefix("hits/") for name in file if not name.startswith("@")}
            assert names < set(arrays)
            for name, value in file.items():
                np.testing.assert_array_equal(arrays[name.removeprefix("hits/").removeprefix("@")], value) if (
                    name not in ("@calorimeter", "@title")
                ) else None


def test_rates_are_floats(tmp_path: Path, one_model: Path) -> None:
    assert run("--particle", NEUTRON, "--rates", "--output", tmp_path / "out.h5", "--models", one_model) == 0
    found = content(tmp_path / "out.h5")
    assert found["responses"].dtype == np.float32
    assert found["channels"].dtype == np.float32
    assert found["@finish"] == "none"


def test_a_job_split_over_machines_is_the_same_job(tmp_path: Path, one_model: Path) -> None:
    common = ("--seed", 5, "--models", one_model, "--repeats", 2)
    both = tmp_path / "both.h5"
    assert run("--particle", NEUTRON, "--particle", PHOTON, *common, "--output", both) == 0
    assert run("--particle", PHOTON, *common, "--first-row", 2, "--output", tmp_path / "second.h5") == 0
    np.testing.assert_array_equal(content(both)["responses"][2:], content(tmp_path / "second.h5")["responses"])
    assert content(tmp_path / "second.h5")["row"].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give particles with either --input FILE or --particle"),
        (["--particle", NEUTRON, "--input", EXCERPT], "not both"),
        (["--input", "absent.csv"], "absent.csv: no such file"),
        (["--particle", "pdg=2112,pz"], "'pz' is not name=number"),
        (["--particle", "pdg=2112,pz=5"], "'pdg=2112,pz=5': energy: 5.0875"),
        (["--particle", NEUTRON, "--seed", "-1"], "seed = -1 must be in [0, 2^53)"),
        (["--particle", NEUTRON, "--model", "absent"], "model 'absent' is not among ['tiny']; choose one with"),
        (["--particle", NEUTRON, "--repeats", "0"], "--repeats"),
        (["--particle", NEUTRON, "--what", "pictures"], "--what"),
        (["--particle", NEUTRON, "--server", "127.0.0.1:8001"], "must be grpc://host:port or http://host:port"),
        (
            ["--particle", NEUTRON, "--server", "grpc://127.0.0.1:1", "--device", "cpu"],
            "--device applies to simulation",
        ),
        (["--input", EXCERPT, "--out-of-range", "error"], "event "),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    tmp_path: Path,
    one_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[object],
    message: str,
) -> None:
    monkeypatch.setenv("ZDC_MODELS", str(one_model))
    output = tmp_path / "out.h5"
    output.write_text("precious")
    assert run(*arguments, "--output", output) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert output.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.txt", "must end in .h5, .hdf5, .root, .parquet, .npz"),
        ("absent/out.h5", "does not exist"),
        (".", "must end in"),
        ("f.h5", "a folder"),
    ],
)
def test_wrong_output_names_are_refused_before_anything_is_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    (tmp_path / "f.h5").mkdir()
    assert run("--particle", NEUTRON, "--output", tmp_path / name, "--models", tmp_path / "none") == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_write_permission_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)  # also if the tests run as root
    assert run("--particle", NEUTRON, "--output", tmp_path / "out.h5", "--models", tmp_path / "none") == 2
    assert f"no permission to write to the folder {tmp_path}" in capsys.readouterr().err


def test_the_error_names_the_line_of_a_particle_outside_the_range(
    tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "particles.csv"
    table.write_text("pdg,px,py,pz\n" + "2112,0,0,500\n" * 20 + "2112,0,0,5\n")
    arguments = ("--input", table, "--output", tmp_path / "out.h5", "--models", one_model, "--batch", 6)
    assert run(*arguments) == 2
    assert "line 22: energy: 5.0875" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [table]
    assert run(*arguments, "--out-of-range", "skip") == 0
    assert "skipped 1 outside the trained range: 1 energy" in capsys.readouterr().out
    assert len(content(tmp_path / "out.h5")["row"]) == 20


def test_a_truncated_source_leaves_no_file(tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "particles.csv"
    table.write_text("pdg,px,py,pz\n" + "2112,0,0,500\n" * 9000 + "2112,0,0,fast\n")
    for ending in ("h5", "npz"):
        output = tmp_path / f"out.{ending}"
        assert run("--input", table, "--output", output, "--models", one_model, "--what", "channels") == 2
        assert "line 9002: pz = 'fast' is not a number" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [table]


def test_one_of_several_models_is_chosen_by_name_and_version(tmp_path: Path, models_folder: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--particle", NEUTRON, "--models", models_folder, "--output", output)
    assert run(*arguments) == 2  # none of the models is a default
    assert run(*arguments, "--model", "tiny", "--version", 1) == 0
    assert (content(output)["@model"], content(output)["@version"]) == ("tiny", 1)


class _ForeignServer(BaseHTTPRequestHandler):
    """Another web server."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_a_foreign_server_is_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), _ForeignServer) as foreign:
        threading.Thread(target=foreign.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{foreign.server_port}"
        assert run("--particle", NEUTRON, "--server", url, "--output", tmp_path / "out.h5") == 1
        foreign.shutdown()
    assert f"zdc simulate: {url}: HTTP 501" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
