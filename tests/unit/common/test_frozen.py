"""Records: equality and hash."""

from functools import cached_property

import numpy as np
import pytest
from numpy.typing import NDArray
from zdc_common.frozen import Frozen


class Point(Frozen):
    """A record that stores an array when it is asked for it."""

    x: float
    y: float = 0.0

    @cached_property
    def array(self) -> NDArray[np.float64]:
        return np.array([self.x, self.y])


class Other(Frozen):
    """Another type with the same fields."""

    x: float
    y: float = 0.0


def test_records_are_equal_whatever_they_have_stored() -> None:
    one, same = Point(x=1), Point(x=1.0, y=0)
    assert one.array.shape == same.array.shape
    assert one == same
    assert hash(one) == hash(same)


def test_records_that_differ() -> None:
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Other(x=1)
    assert Point(x=1) != "Point"
    with pytest.raises(Exception, match="frozen"):
        Point(x=1).x = 2.0  # type: ignore[misc]
