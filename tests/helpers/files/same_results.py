"""Whether two results are the same, byte for byte."""

from dataclasses import fields

import numpy as np
from zdc_detector.hits import Hits
from zdc_service.simulation import SimulationResult


def assert_same(result: SimulationResult, wanted: SimulationResult) -> None:
    """All fields except the timing."""
    for field in fields(SimulationResult):
        if field.name != "timing":
            _assert_same(getattr(result, field.name), getattr(wanted, field.name), field.name)


def _assert_same(value: object, wanted: object, name: str) -> None:
    if isinstance(wanted, np.ndarray):
        assert isinstance(value, np.ndarray), name
        assert (value.dtype, value.shape) == (wanted.dtype, wanted.shape), name
        assert value.tobytes() == wanted.tobytes(), name
    elif isinstance(wanted, Hits):
        for part in fields(Hits):
            _assert_same(getattr(value, part.name), getattr(wanted, part.name), f"{name}.{part.name}")
    else:
        assert value == wanted, name
