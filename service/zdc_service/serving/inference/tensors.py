"""Input and output tensors of models in the Open Inference Protocol."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError, excerpt
from zdc_common.words import counted
from zdc_detector.card import ModelCard
from zdc_detector.particles import CONDITIONS

PARTICLES, NOISE, PDG = "particles", "noise", "pdg"
RESPONSE, CHANNELS = "response", "channels"

#: The datatypes that are used here; binary data are little-endian, in C order.
DATATYPES: Mapping[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}


@dataclass(frozen=True)
class TensorSpec:
    """Declaration of a tensor of a model.

    Attributes
    ----------
    name, datatype : Name and datatype as in the protocol.
    shape : Shape; -1 is the number of particles.
    optional : Whether a request may leave it out.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Tensor:
    """An input tensor of a request, not checked yet.

    Attributes
    ----------
    name, datatype, shape : As given in the request.
    data : Bytes, a flat list of elements, or lists nested like the shape.
    """

    name: Any
    datatype: Any
    shape: Any
    data: bytes | memoryview | Sequence[Any]


def inputs_of(card: ModelCard) -> tuple[TensorSpec, ...]:
    """The inputs of a model."""
    return _inputs(card.noise.dimension, card.takes_pdg)


@lru_cache
def _inputs(noise: int, takes_pdg: bool) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec(PARTICLES, "FP32", (-1, len(CONDITIONS))),
        TensorSpec(NOISE, "FP32", (-1, noise), optional=True),
        TensorSpec(PDG, "INT64", (-1,), optional=not takes_pdg),
    )


def outputs_of(card: ModelCard) -> tuple[TensorSpec, ...]:
    """The outputs of a model."""
    return _outputs(card.calorimeter.shape, len(card.calorimeter.channel_names))


@lru_cache
def _outputs(shape: tuple[int, int], channels: int) -> tuple[TensorSpec, ...]:
    return TensorSpec(RESPONSE, "FP32", (-1, *shape)), TensorSpec(CHANNELS, "FP32", (-1, channels))


def read_tensor(tensor: Tensor, spec: TensorSpec) -> NDArray[Any]:
    """Convert an input to an array, which is a view of its bytes if they are aligned.

    Axes of length 1 at the end of the shape are dropped, because some clients send one number per row as (N, 1).

    Raises
    ------
    InvalidInputError : datatype, shape, number of bytes or an element does not match the declaration.
    """
    if tensor.datatype != spec.datatype:
        raise InvalidInputError(f"input {spec.name} has datatype {excerpt(tensor.datatype)}; send {spec.datatype}")
    sent, wanted = _shape(tensor), spec.shape
    shape = sent[: len(wanted)]
    if len(shape) != len(wanted) or any(b not in (-1, a) for a, b in zip(shape, wanted, strict=True)):
        raise InvalidInputError(f"input {spec.name} has shape {excerpt(list(sent))}; send {list(wanted)}")
    if any(size != 1 for size in sent[len(wanted) :]):
        raise InvalidInputError(f"input {spec.name} has shape {excerpt(list(sent))}; send {list(wanted)}")
    if isinstance(tensor.data, bytes | memoryview):
        return _from_bytes(spec, shape, tensor.data)
    return _from_elements(spec, sent, tensor.data).reshape(shape)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    try:
        shape = tuple(tensor.shape)
    except TypeError:
        shape = (None,)
    if not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise InvalidInputError(
            f"input {excerpt(tensor.name)} has shape {excerpt(tensor.shape)}; a shape must be a list of sizes"
        )
    return shape


def _from_bytes(spec: TensorSpec, shape: tuple[int, ...], data: bytes | memoryview) -> NDArray[Any]:
    kind = DATATYPES[spec.datatype]
    wanted = math.prod(shape) * kind.itemsize
    if len(data) != wanted:
        raise InvalidInputError(
            f"input {spec.name} has {counted(len(data), 'byte')}; {spec.datatype} of shape {list(shape)} needs {wanted}"
        )
    array: NDArray[Any] = np.frombuffer(data, dtype=kind).reshape(shape)
    return array if array.flags.aligned else array.copy()  # NumPy is slow with unaligned arrays, e.g. after odd JSON


def _from_elements(spec: TensorSpec, shape: tuple[int, ...], data: Sequence[Any]) -> NDArray[Any]:
    """Convert a list to an array. Types are checked first: if the list had a long string, NumPy would need its length
    for every element.
    """
    elements = _flat(spec, shape, data)
    if len(elements) != math.prod(shape):
        raise InvalidInputError(
            f"input {spec.name} has {counted(len(elements), 'number')}; shape {list(shape)} needs {math.prod(shape)}"
        )
    wanted = (int, float) if spec.datatype == "FP32" else (int,)
    if not set(map(type, elements)) <= set(wanted):
        place = next(i for i, element in enumerate(elements) if type(element) not in wanted)
        raise InvalidInputError(f"{_where(spec, shape, place)} = {excerpt(elements[place])}; {spec.datatype} is needed")
    try:
        with np.errstate(over="ignore"):  # infinite numbers are refused later, with the row's number
            return np.array(elements, dtype=DATATYPES[spec.datatype])
    except OverflowError as error:
        place = next(i for i, element in enumerate(elements) if not -(2**63) <= element < 2**63)
        raise InvalidInputError(
            f"{_where(spec, shape, place)} = {excerpt(elements[place])} is too large; {spec.datatype} has 64 bits"
        ) from error


def _flat(spec: TensorSpec, shape: tuple[int, ...], data: Sequence[Any]) -> Sequence[Any]:
    """The elements of a flat list, or of lists nested like the shape, in one list."""
    if not (len(data) and isinstance(data[0], list)):
        return data
    lists = [data]
    for size in shape:
        if set(map(type, lists)) != {list} or set(map(len, lists)) != {size}:
            raise InvalidInputError(
                f"input {spec.name}: data must be nested lists of shape {list(shape)}, or one flat list of numbers"
            )
        lists = list(chain.from_iterable(lists))
    return lists


def _where(spec: TensorSpec, shape: tuple[int, ...], place: int) -> str:
    """Name of an element for messages."""
    index = "".join(f"[{part}]" for part in np.unravel_index(place, shape))
    return f"input {spec.name}: data{index}"
