"""Phrases of messages."""

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest
import zdc_common
import zdc_readers
import zdc_service
from zdc_common.errors import InvalidInputError
from zdc_common.words import counted, counted_are
from zdc_detector.particles import Particles


@pytest.mark.parametrize(("number", "said"), [(0, "0 rows are"), (1, "1 row is"), (2, "2 rows are")])
def test_one_is_no_plural(number: int, said: str) -> None:
    assert counted_are(number, "row") == said
    assert said.startswith(counted(number, "row"))


@pytest.mark.parametrize(("wrong", "said"), [(2, r"\(and 1 more row\)"), (3, r"\(and 2 more rows\)")])
def test_further_rows_are_counted(wrong: int, said: str) -> None:
    columns = {"pdg": [22] * 3, "px": [0.0] * 3, "py": [0.0] * 3, "pz": [float("nan")] * wrong + [100.0] * (3 - wrong)}
    with pytest.raises(InvalidInputError, match=said):
        Particles.from_columns(columns)


def test_the_advice_names_extras_that_exist() -> None:
    """Every extra in a message is an extra of the package."""
    named = {
        extra
        for package in (zdc_common, zdc_readers, zdc_service)
        for path in Path(package.__path__[0]).rglob("*.py")
        for extra in re.findall(r"install_advice\('(\w+)'\)", path.read_text())
    }
    assert {"cpu", "hep", "dask", "validate", "tracing"} <= named
    assert named <= set(metadata("zdc-fastsim").get_all("Provides-Extra") or ())
