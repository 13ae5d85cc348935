"""Files as the ALICE collaboration writes them."""

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.calorimeters import ZN
from helpers.files.shower_samples import toy_showers
from numpy.typing import NDArray
from zdc_common.errors import ConfigError, FileFormatError
from zdc_detector.particles import MASS, Particles
from zdc_detector.shower_rows import read_rows
from zdc_detector.showers import read_showers
from zdc_training.data.convert import convert as convert_files
from zdc_training.data.species import infer_pdg

convert = partial(convert_files, calorimeter=ZN)

SHOWERS = toy_showers(12, 4)
SUMS = SHOWERS.responses.sum(axis=(1, 2))
THEIR_COLUMNS = ["Energy", "Vx", "Vy", "Vz", "Px", "Py", "Pz", "mass", "charge"]
TABLE: NDArray[np.float64] = SHOWERS.particles.conditions.astype(np.float64)
WITH_PDG = np.column_stack([TABLE, SHOWERS.particles.pdg])


@pytest.fixture
def responses(tmp_path: Path) -> Path:
    return save(tmp_path / "data_nonrandom_responses.npz", SHOWERS.responses.astype(np.float32))


def save(path: Path, array: NDArray[Any]) -> Path:
    np.savez(path, array)
    return path


def test_the_filter_drops_dark_responses_only(tmp_path: Path, responses: Path) -> None:
    assert 0 < np.count_nonzero(SUMS < 10) < len(SUMS)
    particles = save(tmp_path / "data_nonrandom_particles.npz", WITH_PDG)
    done = convert(particles, responses, tmp_path / "out.h5", minimum_photons=10)
    read = read_showers(tmp_path / "out.h5")
    kept = SUMS >= 10
    assert read.responses.tobytes() == SHOWERS.responses[kept].tobytes()
    assert read.particles.conditions.tobytes() == SHOWERS.particles.conditions[kept].tobytes()
    assert read.particles.pdg.tolist() == SHOWERS.particles.pdg[kept].tolist()
    assert (done.rows, done.dropped) == (48, int(np.count_nonzero(~kept)))
    assert f"wrote {kept.sum()} of 48 showers of {done.particles} particles to" in str(done)
    assert f"dropped {done.dropped} with a photon sum below 10" in str(done)


def test_all_rows_may_be_kept_and_ids_are_those_of_the_particles(tmp_path: Path, responses: Path) -> None:
    particles = save(tmp_path / "particles.npz", WITH_PDG)
    done = convert(particles, responses, tmp_path / "out.h5")
    read = read_showers(tmp_path / "out.h5")
    assert len(read) == 48
    assert f"kept {np.count_nonzero(SUMS < 10)} with a photon sum below 10, which the collaboration usually" in str(
        done
    )
    assert done.particles == len(np.unique(read.particle_id)) == 12
    same = SHOWERS.particle_id[:, None] == SHOWERS.particle_id[None]
    assert (read.particle_id[:, None] == read.particle_id[None]).tolist() == same.tolist()


def test_columns_by_name_may_stand_in_any_order(tmp_path: Path, responses: Path) -> None:
    order = ["PDG", *THEIR_COLUMNS[::-1]]
    records = np.zeros(48, dtype=[(name, "f8") for name in order])
    for i, name in enumerate(THEIR_COLUMNS):
        records[name] = TABLE[:, i]
    records["PDG"] = SHOWERS.particles.pdg
    convert(save(tmp_path / "particles.npz", records), responses, tmp_path / "out.h5")
    read = read_showers(tmp_path / "out.h5")
    assert read.particles.conditions.tobytes() == SHOWERS.particles.conditions.tobytes()
    assert read.particles.pdg.tolist() == SHOWERS.particles.pdg.tolist()


def test_a_pickled_table_needs_permission(tmp_path: Path, responses: Path) -> None:
    path = tmp_path / "data_nonrandom_particles.pkl"
    pd.DataFrame(TABLE, columns=THEIR_COLUMNS).assign(pdg=SHOWERS.particles.pdg).to_pickle(path)
    with pytest.raises(FileFormatError, match=r"particles\.pkl: is a pickle, and reading a pickle runs whatever code"):
        convert(path, responses, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    convert(path, responses, tmp_path / "out.h5", allow_pickle=True)
    assert read_showers(tmp_path / "out.h5").particles.pdg.tolist() == SHOWERS.particles.pdg.tolist()


def test_a_pickle_inside_an_npz_needs_permission_too(tmp_path: Path, responses: Path) -> None:
    path = save(tmp_path / "particles.npz", WITH_PDG.astype(object))
    with pytest.raises(FileFormatError, match="pass --allow-pickle if you know where"):
        convert(path, responses, tmp_path / "out.h5")
    convert(path, responses, tmp_path / "out.h5", allow_pickle=True)
    assert len(read_showers(tmp_path / "out.h5")) == 48


def test_codes_are_inferred_with_a_note(tmp_path: Path, responses: Path) -> None:
    done = convert(save(tmp_path / "p.npz", TABLE), responses, tmp_path / "out.h5")
    expected = np.where(SHOWERS.particles.pdg == 310, 130, SHOWERS.particles.pdg)
    assert read_showers(tmp_path / "out.h5").particles.pdg.tolist() == expected.tolist()
    rows = np.count_nonzero(SHOWERS.particles.pdg == 310)
    found = f"note: there is no column pdg: {rows} rows with mass 497.611 MeV and charge 0 e were taken as K(L)0 (130)"
    assert f"{found}; equal mass and charge: K(S)0 (310)" in str(done)
    assert "were taken as n (2112); equal mass and charge: n~ (-2112)" in str(done)


@pytest.mark.parametrize("name", ["pdgid", "pdg_id", "PDG", "PdgCode", "pid", "PDG id"])
def test_codes_are_found_under_their_usual_names(tmp_path: Path, responses: Path, name: str) -> None:
    records = np.zeros(48, dtype=[(name, "f8") for name in (*THEIR_COLUMNS, name)])
    for i, column in enumerate(records.dtype.names or ()):
        records[column] = WITH_PDG[:, i]
    done = convert(save(tmp_path / "p.npz", records), responses, tmp_path / "out.h5")
    assert read_showers(tmp_path / "out.h5").particles.pdg.tolist() == SHOWERS.particles.pdg.tolist()
    assert not [note for note in done.notes if "taken as" in note]


def test_a_column_of_codes_under_another_name_is_refused(tmp_path: Path, responses: Path) -> None:
    table = pd.DataFrame(TABLE, columns=THEIR_COLUMNS).assign(kind=SHOWERS.particles.pdg)
    table.to_pickle(tmp_path / "p.pkl")
    with pytest.raises(FileFormatError, match=r"no column pdg, but column 'kind' holds PDG codes; call it pdg"):
        convert(tmp_path / "p.pkl", responses, tmp_path / "out.h5", allow_pickle=True)


def test_columns_that_are_not_read_are_named(tmp_path: Path, responses: Path) -> None:
    table = pd.DataFrame(TABLE, columns=THEIR_COLUMNS).assign(pdg=SHOWERS.particles.pdg, std=1.5, max_x=3)
    table.to_pickle(tmp_path / "p.pkl")
    done = convert(tmp_path / "p.pkl", responses, tmp_path / "out.h5", allow_pickle=True)
    assert "note: columns that are not read: std, max_x" in str(done)


def test_two_columns_of_one_meaning_are_refused(tmp_path: Path, responses: Path) -> None:
    pd.DataFrame(WITH_PDG, columns=[*THEIR_COLUMNS, "pdg"]).assign(pid=22).to_pickle(tmp_path / "p.pkl")
    with pytest.raises(FileFormatError, match="columns 'pdg' and 'pid' both hold pdg; remove one"):
        convert(tmp_path / "p.pkl", responses, tmp_path / "out.h5", allow_pickle=True)


def test_one_npz_may_hold_both(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", responses=SHOWERS.responses, particles=WITH_PDG)
    both = tmp_path / "both.npz"
    convert(both, both, tmp_path / "new" / "folder" / "out.h5", title="Toy showers")
    read = tmp_path / "new" / "folder" / "out.h5"
    assert read_showers(read).responses.tobytes() == SHOWERS.responses.tobytes()
    assert read_rows(read).attributes["title"] == "Toy showers"


def test_a_table_of_text_is_not_called_a_pickle(tmp_path: Path) -> None:
    table = tmp_path / "particles.csv"
    table.write_text("energy,vx\n1,2\n")
    with pytest.raises(FileFormatError, match=r"particles\.csv: is not an npz, npy or pickle file; save its numbers"):
        convert(table, table, tmp_path / "out.h5")


def test_pickled_responses_need_permission(tmp_path: Path) -> None:
    particles, responses = save(tmp_path / "p.npz", WITH_PDG), tmp_path / "r.pkl"
    responses.write_bytes(pickle.dumps(SHOWERS.responses))
    with pytest.raises(FileFormatError, match="pass --allow-pickle"):
        convert(particles, responses, tmp_path / "out.h5")
    convert(particles, responses, tmp_path / "out.h5", allow_pickle=True)
    assert read_showers(tmp_path / "out.h5").responses.tobytes() == SHOWERS.responses.tobytes()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, responses: Path, share: float, compressed: bool) -> None:
    particles = save(tmp_path / "p.npz", WITH_PDG)
    if compressed:
        np.savez_compressed(responses, SHOWERS.responses)
    responses.write_bytes(responses.read_bytes()[: int(share * responses.stat().st_size)])
    with pytest.raises(FileFormatError, match=r"responses\.npz: .*copy"):
        convert(particles, responses, tmp_path / "out.h5")


def test_the_file_to_write_is_none_of_the_others(tmp_path: Path, responses: Path) -> None:
    particles = save(tmp_path / "p.npz", WITH_PDG)
    for output, message in ((particles, "the file to write is HDF5; call it p.h5"), (tmp_path / "a.h5", "is a folder")):
        (tmp_path / "a.h5").mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match=message):
            convert(particles, responses, output)
    assert np.load(particles)["arr_0"].shape == WITH_PDG.shape


def test_inference_knows_what_reaches_a_calorimeter() -> None:
    codes = [22, 2112, 130, 3122, 3322, 11, -11, 13, -13, 211, -211, 321, -321, 2212, -2212, 3222, 3112, 3312, 3334]
    columns = {"pdg": codes, "px": [0] * len(codes), "py": [0] * len(codes), "pz": [100] * len(codes)}
    assert infer_pdg(Particles.from_columns(columns).conditions)[0].tolist() == codes


def test_a_mass_that_fits_nothing_is_named() -> None:
    conditions = SHOWERS.particles.conditions.copy()
    conditions[5, MASS] = 123.4
    with pytest.raises(FileFormatError, match=r"row 5: no particle has mass 123\.4 MeV and charge 0 e; .* column pdg"):
        infer_pdg(conditions)


def change(column: str, row: int, value: float) -> NDArray[np.float64]:
    table = WITH_PDG.copy()
    table[row, [*THEIR_COLUMNS, "pdg"].index(column)] = value
    return table


NEUTRON = int(np.flatnonzero(SHOWERS.particles.pdg == 2112)[0])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (WITH_PDG[:, :8], r"particles have shape \(48, 8\); they need the columns energy, vx"),
        (WITH_PDG[1:], "numbers of rows differ: particles has 47, pdg has 47, responses has 48"),
        (change("Px", 3, np.nan), "row 3: px is nan; remove or repair the row"),
        (change("pdg", 3, 2112.5), r"row 3: pdg = 2112\.5 is not an integer PDG code"),
        (change("Energy", 3, 1e6), r"row 3: energy = 1e\+06 GeV disagrees with"),
        (change("mass", NEUTRON, 0.9396), rf"row {NEUTRON}: mass = 0\.9396 MeV, the PDG table has .* are these GeV\?"),
        (np.array(["a", "b"]), r"particles have shape \(2,\)"),
    ],
)
def test_bad_particles_are_refused(tmp_path: Path, responses: Path, table: NDArray[Any], message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        convert(save(tmp_path / "p.npz", table), responses, tmp_path / "out.h5")
    assert not list(tmp_path.glob("out.h5*"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.log1p(SHOWERS.responses), r"is not a whole number of photons; .* turn log\(1 \+ count\) images back"),
        (-SHOWERS.responses.astype(np.int64), "is negative; photon counts start at 0"),
        (SHOWERS.responses[:, :40], r"responses are \(40, 44\), ZN is \(44, 44\)"),
        (SHOWERS.responses.reshape(48, -1), r"data set 'responses' has shape \(48, 1936\); it needs 3 dimensions"),
    ],
)
def test_bad_responses_are_refused(tmp_path: Path, array: NDArray[Any], message: str) -> None:
    paths = save(tmp_path / "p.npz", WITH_PDG), save(tmp_path / "r.npz", array)
    with pytest.raises(FileFormatError, match=message):
        convert(*paths, tmp_path / "out.h5")
    assert not list(tmp_path.glob("out.h5*"))


def test_a_filter_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    paths = save(tmp_path / "p.npz", WITH_PDG), save(tmp_path / "r.npz", np.minimum(SHOWERS.responses, 0))
    with pytest.raises(FileFormatError, match="no photon sum reaches 10; keep all rows with 0"):
        convert(*paths, tmp_path / "out.h5", minimum_photons=10)
    assert "note: no response has a photon" in str(convert(*paths, tmp_path / "out.h5"))


def test_other_files_are_refused(tmp_path: Path, responses: Path) -> None:
    text = tmp_path / "p.npz"
    text.write_text("particles")
    with pytest.raises(FileFormatError, match=r"p\.npz: "):
        convert(text, responses, tmp_path / "out.h5")
    np.savez(text, a=WITH_PDG, b=WITH_PDG)
    with pytest.raises(FileFormatError, match=r"p\.npz: has the arrays \['a', 'b'\]; it needs particles or arr_0"):
        convert(text, responses, tmp_path / "out.h5")
    with pytest.raises(FileFormatError, match=r"none\.npz: no such file"):
        convert(tmp_path / "none.npz", responses, tmp_path / "out.h5")
    pickled = tmp_path / "p.pkl"
    pd.Series([1, 2]).to_pickle(pickled)
    with pytest.raises(FileFormatError, match="holds a Series; it needs a pandas table"):
        convert(pickled, responses, tmp_path / "out.h5", allow_pickle=True)
    pickled.write_bytes(b"\x80\x04nonsense")
    with pytest.raises(FileFormatError, match=r"p\.pkl: cannot be read as a pickle"):
        convert(pickled, responses, tmp_path / "out.h5", allow_pickle=True)
    missing = pd.DataFrame(TABLE, columns=THEIR_COLUMNS).drop(columns="Vz")
    missing.to_pickle(pickled)
    with pytest.raises(FileFormatError, match=r"has the columns Energy, Vx, .*; vz are missing"):
        convert(pickled, responses, tmp_path / "out.h5", allow_pickle=True)
