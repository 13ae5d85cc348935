"""Tensors of the Open Inference Protocol: bytes, elements, and invalid ones."""

from typing import Any

import numpy as np
import pytest
from zdc_common.errors import InvalidInputError
from zdc_service.serving.inference.tensors import Tensor, TensorSpec, read_tensor

ROWS = TensorSpec("particles", "FP32", (-1, 3))
CODES = TensorSpec("pdg", "INT64", (-1,))
NUMBERS = np.arange(6, dtype="<f4").reshape(2, 3)


@pytest.mark.parametrize(
    "data", [NUMBERS.tobytes(), memoryview(NUMBERS.tobytes()), NUMBERS.tolist(), [0, 1, 2, 3, 4, 5]]
)
def test_bytes_and_elements_are_one_array(data: Any) -> None:
    array = read_tensor(Tensor("particles", "FP32", [2, 3], data), ROWS)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, NUMBERS)


def test_bytes_are_not_copied() -> None:
    data = NUMBERS.tobytes()
    array = read_tensor(Tensor("particles", "FP32", [2, 3], data), ROWS)
    assert array.__array_interface__["data"][0] == np.frombuffer(data).__array_interface__["data"][0]


@pytest.mark.parametrize("offset", range(1, 8))
def test_bytes_may_be_unaligned(offset: int) -> None:
    array = read_tensor(
        Tensor("particles", "FP32", [2, 3], memoryview(bytes(offset) + NUMBERS.tobytes())[offset:]), ROWS
    )
    assert array.flags.aligned
    np.testing.assert_array_equal(array, NUMBERS)


def test_large_integers_are_exact() -> None:
    codes = [2**53 + 1, -(2**62)]
    for data in (codes, np.array(codes, dtype="<i8").tobytes()):
        assert read_tensor(Tensor("pdg", "INT64", [2], data), CODES).tolist() == codes


@pytest.mark.parametrize("data", [b"", []])
def test_no_rows(data: Any) -> None:
    assert read_tensor(Tensor("particles", "FP32", [0, 3], data), ROWS).shape == (0, 3)


def test_numbers_beyond_float32_become_infinite() -> None:
    array = read_tensor(Tensor("particles", "FP32", [1, 3], [1e300, 0, 0]), ROWS)
    assert np.isinf(array[0, 0])


@pytest.mark.parametrize(
    ("tensor", "spec", "text"),
    [
        (Tensor("particles", "FP64", [2, 3], b""), ROWS, "input particles has datatype 'FP64'; send FP32"),
        (Tensor("particles", None, [2, 3], b""), ROWS, "has datatype None"),
        (Tensor("particles", "FP32", [2, 4], b""), ROWS, "input particles has shape [2, 4]; send [-1, 3]"),
        (Tensor("particles", "FP32", [6], b""), ROWS, "has shape [6]; send [-1, 3]"),
        (Tensor("particles", "FP32", None, b""), ROWS, "has shape None; a shape must be a list of sizes"),
        (Tensor("particles", "FP32", [-1, 3], b""), ROWS, "has shape [-1, 3]; a shape"),
        (Tensor("particles", "FP32", [2**31, 3], b""), ROWS, "a shape must be a list of sizes"),
        (Tensor("particles", "FP32", [2.0, 3], b""), ROWS, "a shape must be a list of sizes"),
        (Tensor("particles", "FP32", [True, 3], b""), ROWS, "a shape must be a list of sizes"),
        (Tensor("particles", "FP32", [2, 3], bytes(23)), ROWS, "has 23 bytes; FP32 of shape [2, 3] needs 24"),
        (Tensor("particles", "FP32", [2, 3], [1, 2, 3]), ROWS, "has 3 numbers; shape [2, 3] needs 6"),
        (
            Tensor("particles", "FP32", [2, 3], [[1, 2, 3], [4, 5]]),
            ROWS,
            "data must be nested lists of shape [2, 3]",
        ),
        (Tensor("particles", "FP32", [1, 3], ["1", "2", "3"]), ROWS, "data[0][0] = '1'; FP32 is needed"),
        (Tensor("particles", "FP32", [1, 3], [None, 2, 3]), ROWS, "data[0][0] = None; FP32 is needed"),
        (Tensor("particles", "FP32", [1, 3], [1, 2.0, True]), ROWS, "data[0][2] = True; FP32 is needed"),
        (Tensor("pdg", "INT64", [1], [22.0]), CODES, "data[0] = 22.0; INT64 is needed"),
        (Tensor("pdg", "INT64", [1], [2**63]), CODES, "data[0] = 9223372036854775808 is too large; INT64 has 64 bits"),
    ],
)
def test_tensors_that_do_not_match(tensor: Tensor, spec: TensorSpec, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_tensor(tensor, spec)
    assert text in str(caught.value)
