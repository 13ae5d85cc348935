"""Conversion of the callers' particles."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.ma.mrecords
import pandas as pd
import pytest
from zdc_common.errors import InvalidInputError, OutOfRangeError
from zdc_detector.particles import Particles
from zdc_service.client import ParticlesLike
from zdc_service.client.particles import as_particles, blocks_of
from zdc_service.client.plan import JobPlan

COLUMNS = {
    "pdg": np.array([2112, 22, 310]),
    "px": np.array([0.1, 0.0, -0.2]),
    "py": np.array([0.0, 0.05, 0.1]),
    "pz": np.array([1500.0, -300.0, 700.0]),
    "vz": np.array([2.0, 0.0, -1.0]),
}


def structured() -> np.ndarray:
    array = np.zeros(3, dtype=[(name, column.dtype) for name, column in COLUMNS.items()])
    for name, column in COLUMNS.items():
        array[name] = column
    return array


def arrow() -> ParticlesLike:
    pyarrow = pytest.importorskip("pyarrow")
    table: ParticlesLike = pyarrow.table(COLUMNS)
    return table


def awkward() -> ParticlesLike:
    ak = pytest.importorskip("awkward")
    records: ParticlesLike = ak.zip(COLUMNS)
    return records


@pytest.mark.parametrize(
    "make",
    [
        lambda: COLUMNS,
        lambda: {name: column.tolist() for name, column in COLUMNS.items()},
        structured,
        lambda: structured().view(np.recarray),
        lambda: pd.DataFrame(COLUMNS),
        lambda: {name: pd.Series(column, index=[7, 8, 9]) for name, column in COLUMNS.items()},
        lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
        lambda: pd.DataFrame(COLUMNS)[::-1][::-1],
        arrow,
        awkward,
        lambda: Particles.from_columns(COLUMNS),
    ],
)
def test_every_form_gives_the_same_particles(make: Callable[[], ParticlesLike]) -> None:
    expected = Particles.from_columns(COLUMNS)
    (block,) = blocks_of(make())
    found = as_particles(block)
    np.testing.assert_array_equal(found.pdg, expected.pdg)
    np.testing.assert_array_equal(found.conditions, expected.conditions)


def test_blocks_stay_blocks_and_are_not_read_ahead() -> None:
    def blocks() -> Iterable[ParticlesLike]:
        yield COLUMNS
        raise AssertionError("nobody asked")

    assert as_particles(next(iter(blocks_of(blocks())))).pdg.tolist() == [2112, 22, 310]


@pytest.mark.parametrize(
    "nothing",
    [
        {"pdg": [], "px": [], "py": [], "pz": []},
        pd.DataFrame(COLUMNS)[:0],
        structured()[:0],
        Particles.from_columns(COLUMNS)[:0],
    ],
)
def test_a_block_may_be_empty(nothing: ParticlesLike) -> None:
    plan = JobPlan(9, 7, 1, "channels", "error", 0, None, None, False)
    asked = [len(wanted.request.particles) for block in (COLUMNS, nothing, COLUMNS) for wanted in plan.requests(block)]
    assert asked == [3, 3]


def test_lists_in_a_column_are_refused() -> None:
    jagged = {"pdg": [[22], [22, 2112]], "px": [[0], [0, 0]], "py": [[0], [0, 0]], "pz": [[9], [9, 9]]}
    with pytest.raises(InvalidInputError, match="pdg must be a column of numbers"):
        as_particles(jagged)
    ak = pytest.importorskip("awkward")
    with pytest.raises(InvalidInputError, match="pdg must be a column of numbers"):
        as_particles(ak.Array(jagged))


def masked() -> np.ma.MaskedArray:
    array = np.ma.asarray(structured())
    array["px"][1] = np.ma.masked
    return array


def arrow_null(name: str) -> ParticlesLike:
    pyarrow = pytest.importorskip("pyarrow")
    columns = {key: pyarrow.array(column) for key, column in COLUMNS.items()}
    columns[name] = pyarrow.array([value if i != 1 else None for i, value in enumerate(COLUMNS[name])])
    table: ParticlesLike = pyarrow.table(columns)
    return table


def awkward_none(name: str) -> ParticlesLike:
    ak = pytest.importorskip("awkward")
    columns = {key: column.tolist() for key, column in COLUMNS.items()}
    columns[name][1] = None
    records: ParticlesLike = ak.zip({key: ak.Array(column) for key, column in columns.items()})
    return records


def pandas_na(name: str, dtype: str) -> pd.DataFrame:
    frame = pd.DataFrame(COLUMNS)
    frame[name] = frame[name].astype(dtype)
    frame.loc[1, name] = pd.NA
    return frame


GIVEN = COLUMNS | {"energy": np.array([1500.0, 300.0, 700.0]), "mass": np.array([939.565, 0.0, 497.611])}
ONE_MASKED = {
    name: {**GIVEN, name: np.ma.array(column, mask=[False, True, False])}
    for name, column in [*GIVEN.items(), ("vx", [0.0] * 3)]
}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *[(lambda block=block: block, name) for name, block in ONE_MASKED.items()],
        (masked, "px"),
        (lambda: masked().view(np.ma.mrecords.MaskedRecords), "px"),
        (lambda: {**COLUMNS, "pz": [1500.0, np.ma.masked, 700.0]}, "pz"),
        (lambda: {**COLUMNS, "pdg": [2112, None, 310]}, "pdg"),
        (lambda: {**COLUMNS, "py": [0.0, None, 0.1]}, "py"),
        (lambda: pandas_na("pdg", "Int64"), "pdg"),
        (lambda: pandas_na("pdg", "float64"), "pdg"),
        (lambda: pandas_na("vz", "Float32"), "vz"),
        (lambda: pandas_na("px", "object"), "px"),
        (lambda: pandas_na("pdg", "int64[pyarrow]"), "pdg"),
        (lambda: arrow_null("pdg"), "pdg"),
        (lambda: arrow_null("pz"), "pz"),
        (lambda: awkward_none("pdg"), "pdg"),
        (lambda: awkward_none("py"), "py"),
        (lambda: Particles(np.ma.array([22, 22], mask=[False, True]), np.zeros((2, 9), dtype=np.float32)), "pdg"),
        (lambda: Particles(np.array([22, 22]), np.ma.array(np.ones((2, 9)), mask=np.eye(2, 9, -1, bool))), "energy"),
    ],
)  # fmt: skip
def test_a_value_that_is_missing_is_never_simulated(make: Callable[[], ParticlesLike], name: str) -> None:
    plan = JobPlan(9, 7, 1, "channels", "error", 0, None, None, False)
    assert len(list(plan.requests(COLUMNS))) == 1
    (block,) = blocks_of(make())
    with pytest.raises(InvalidInputError, match=rf"^particle\[4\]: {name} is missing \(masked"):
        plan.requests(block)


def test_a_mask_without_masked_values_is_accepted() -> None:
    array = np.ma.asarray(structured())
    assert as_particles(array).pdg.tolist() == [2112, 22, 310]


class Quantity(np.ndarray):
    """An array with a unit, like a quantity of astropy."""

    unit = "MeV"


def test_a_column_in_another_unit_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="pz is in MeV; give it in GeV/c, as plain numbers"):
        as_particles({**COLUMNS, "pz": (1000 * COLUMNS["pz"]).view(Quantity)})
    as_particles({**COLUMNS, "mass": np.array([939.565, 0.0, 497.611]).view(Quantity)})


def test_text_and_dates_are_refused_as_numbers() -> None:
    for wrong in (np.array([1 + 1j] * 3), np.array(["2026-01-01"] * 3, dtype="M8[D]"), np.zeros(3, dtype="m8[s]")):
        with pytest.raises(InvalidInputError, match="px must be a column of numbers; received"):
            as_particles({**COLUMNS, "px": wrong})


@pytest.mark.parametrize("wrong", [np.zeros((3, 7)), 2112, "particles.csv", None])
def test_particles_without_columns_are_refused_with_the_remedy(wrong: ParticlesLike) -> None:
    with pytest.raises(InvalidInputError, match="without named columns; give Particles, or a mapping, a table"):
        as_particles(next(iter(blocks_of(wrong))))


def test_a_path_is_refused_as_a_block() -> None:
    with pytest.raises(InvalidInputError, match="without named columns"):
        blocks_of(Path("particles.csv"))  # type: ignore[arg-type]


def test_an_error_counts_the_particles_of_all_blocks() -> None:
    plan = JobPlan(9, 7, 1, "channels", "error", 0, None, None, False)
    assert len(list(plan.requests(COLUMNS))) == 1
    with pytest.raises(OutOfRangeError, match=r"particle\[4\]: pdg 99999999 is not in the PDG table"):
        plan.requests({**COLUMNS, "pdg": [22, 99999999, 22]})
