"""The tensors that models take and give in the Open Inference Protocol."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_detector.card import ModelCard
from zdc_detector.errors import InvalidInputError
from zdc_detector.particles import CONDITIONS

PARTICLES, NOISE, PDG = "particles", "noise", "pdg"
RESPONSE, CHANNELS = "response", "channels"

#: Datatypes of the protocol that tensors here have; on the wire little-endian, in C order.
DATATYPES: Mapping[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor of a model is.

    Attributes
    ----------
    name, datatype : In the protocol's words.
    shape : -1 stands for the N particles.
    optional : Whether a request may leave it out.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Tensor:
    """An input as it arrived.

    Attributes
    ----------
    name, datatype, shape : As the caller says; nothing has been checked.
    data : Bytes, or elements in lists as deep as the shape or flat.
    """

    name: Any
    datatype: Any
    shape: Any
    data: bytes | memoryview | Sequence[Any]


def inputs_of(card: ModelCard) -> tuple[TensorSpec, ...]:
    """What a model takes."""
    return _inputs(card.noise.dimension, card.takes_pdg)


@lru_cache
def _inputs(noise: int, takes_pdg: bool) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec(PARTICLES, "FP32", (-1, len(CONDITIONS))),
        TensorSpec(NOISE, "FP32", (-1, noise), optional=True),
        TensorSpec(PDG, "INT64", (-1,), optional=not takes_pdg),
    )


def outputs_of(card: ModelCard) -> tuple[TensorSpec, ...]:
    """What a model gives."""
    return _outputs(card.calorimeter.shape, len(card.calorimeter.channel_names))


@lru_cache
def _outputs(shape: tuple[int, int], channels: int) -> tuple[TensorSpec, ...]:
    return TensorSpec(RESPONSE, "FP32", (-1, *shape)), TensorSpec(CHANNELS, "FP32", (-1, channels))


def read_tensor(tensor: Tensor, spec: TensorSpec) -> NDArray[Any]:
    """An input as an array, a view of its bytes where these are aligned.

    Raises
    ------
    InvalidInputError : datatype, shape, number of bytes or an element is not what the model takes.
    """
    if tensor.datatype != spec.datatype:
        raise InvalidInputError(f"input {spec.name} has datatype {tensor.datatype}; send {spec.datatype}")
    shape, wanted = _shape(tensor), spec.shape
    if len(shape) != len(wanted) or any(b not in (-1, a) for a, b in zip(shape, wanted, strict=True)):
        raise InvalidInputError(f"input {spec.name} has shape {list(shape)}; send {list(wanted)}")
    if isinstance(tensor.data, bytes | memoryview):
        return _from_bytes(spec, shape, tensor.data)
    return _from_elements(spec, shape, tensor.data)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    try:
        shape = tuple(tensor.shape)
    except TypeError:
        shape = (None,)
    if not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise InvalidInputError(f"input {tensor.name} has shape {tensor.shape}; a shape is a list of sizes")
    return shape


def _from_bytes(spec: TensorSpec, shape: tuple[int, ...], data: bytes | memoryview) -> NDArray[Any]:
    kind = DATATYPES[spec.datatype]
    wanted = math.prod(shape) * kind.itemsize
    if len(data) != wanted:
        raise InvalidInputError(
            f"input {spec.name} has {len(data)} bytes; {spec.datatype} of shape {list(shape)} has {wanted}"
        )
    array: NDArray[Any] = np.frombuffer(data, dtype=kind).reshape(shape)
    return array if array.flags.aligned else array.copy()  # behind JSON of any length: numpy is slow with such numbers


def _from_elements(spec: TensorSpec, shape: tuple[int, ...], data: Sequence[Any]) -> NDArray[Any]:
    kind = DATATYPES[spec.datatype]
    try:
        array = np.asarray(data) if len(data) else np.zeros(0, dtype=kind)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"input {spec.name}: data must be numbers, in lists of equal lengths") from error
    if array.dtype.kind not in ("iuf" if spec.datatype == "FP32" else "i"):
        raise InvalidInputError(f"input {spec.name}: data are {array.dtype}; {spec.datatype} is wanted")
    if array.shape not in (shape, (math.prod(shape),)):
        raise InvalidInputError(f"input {spec.name} has data of shape {list(array.shape)}; it says {list(shape)}")
    with np.errstate(over="ignore"):  # infinities are refused with the row's number later
        converted: NDArray[Any] = array.astype(kind).reshape(shape)
    return converted
