"""What a request of the Open Inference Protocol means."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zdc_common.errors import InvalidInputError, ModelNotFoundError, excerpt
from zdc_common.words import counted
from zdc_detector.card import ModelCard

from zdc_service.serving.inference.particles import read_particles
from zdc_service.serving.inference.tensors import (
    NOISE,
    PARTICLES,
    PDG,
    RESPONSE,
    Tensor,
    inputs_of,
    outputs_of,
    read_tensor,
)
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, check_rows

#: Of a request, generously.
MOST_TENSORS = 16
#: As folders of versions are called, with at most as many digits as `LARGEST_VERSION` has.
_VERSION = re.compile("[1-9][0-9]{0,9}", re.ASCII)

#: How a caller holds data, which MLServer's clients say of requests, inputs and outputs; it is nothing to a server.
CONTENT_TYPE = "content_type"
#: Parameters of extensions that are not offered here, and that change no number of an answer: the order of requests,
#: sequences of models with a memory.
_PASSED_OVER = frozenset(
    ("priority", "sequence_id", "sequence_start", "sequence_end", CONTENT_TYPE, "headers",
     "triton_enable_empty_final_response")
)  # fmt: skip


@dataclass(frozen=True)
class InferenceRequest:
    """A request as it arrived.

    Attributes
    ----------
    model, version : Empty: the default model, its newest version.
    id : Comes back with the answer.
    parameters : By name; those that concern only the form of the answer are left out.
    inputs : Tensors, in any order.
    outputs : Names of the outputs wanted; none wants all.
    """

    model: str
    version: str
    id: str
    parameters: Mapping[str, Any]
    inputs: Sequence[Tensor]
    outputs: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """A request as understood.

    Attributes
    ----------
    simulation : What is simulated.
    outputs : Names of the outputs, in the order of the answer.
    deadline : `time.monotonic` after which the answer is not wanted, or None.
    """

    simulation: SimulationRequest
    outputs: tuple[str, ...]
    deadline: float | None


def check_tensors(inputs: int, outputs: int) -> None:
    """Refuse a request with more tensors than any model has, before each of them is looked at."""
    if max(inputs, outputs) > MOST_TENSORS:
        raise InvalidInputError(
            f"{counted(inputs, 'input')} and {counted(outputs, 'output')} are given; no model has more than "
            f"{MOST_TENSORS} of either"
        )


def version_of(text: str) -> int | None:
    """The number of a version; None for an empty text, which means the newest.

    Raises
    ------
    ModelNotFoundError : not the decimal number of a version.
    """
    if not text:
        return None
    if _VERSION.fullmatch(text):
        return int(text)
    raise ModelNotFoundError(
        f"there is no version {excerpt(text)}: versions are 1, 2, ...; leave it out to take the newest"
    )


def prepare(card: ModelCard, request: InferenceRequest, most_rows: int) -> Prepared:
    """Understand a request to a model, of at most `most_rows` rows.

    Raises
    ------
    InvalidInputError : an input, output or parameter is unknown, missing or not what the model takes.
    OutOfRangeError : a species that the PDG table does not know.
    TooLargeError : too many rows.
    """
    options = _options(request.parameters)
    specs = {spec.name: spec for spec in inputs_of(card)}
    arrays = {}
    for tensor in request.inputs:
        if not isinstance(tensor.name, str) or tensor.name not in specs:
            raise InvalidInputError(f"{card.name} has no input {excerpt(tensor.name)}; it takes {', '.join(specs)}")
        if tensor.name in arrays:
            raise InvalidInputError(f"input {tensor.name} is given twice")
        arrays[tensor.name] = read_tensor(tensor, specs[tensor.name])
    missing = [name for name, spec in specs.items() if not spec.optional and name not in arrays]
    if missing:
        raise InvalidInputError(f"input {missing[0]} is missing; {card.name} cannot do without it")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInputError(f"inputs have {lengths} rows; each particle has one row in all of them")
    check_rows(lengths[PARTICLES], 1, most_rows)
    outputs = _outputs(card, request.outputs)
    return Prepared(
        SimulationRequest(
            particles=read_particles(card, arrays[PARTICLES], arrays.get(PDG)),
            seed=options.get("seed"),
            first_row=options.get("first_row", 0),
            output=Output.RESPONSE if RESPONSE in outputs else Output.CHANNELS,
            out_of_range=options.get("out_of_range", OutOfRange.ERROR),
            rates=options.get("rates", False),
            model=card.name,
            version=card.version,
            noise=arrays.get(NOISE),
        ),
        outputs,
        options.get("timeout"),
    )


def _outputs(card: ModelCard, wanted: Sequence[str]) -> tuple[str, ...]:
    known = tuple(spec.name for spec in outputs_of(card))
    for name in wanted:
        if name not in known:
            raise InvalidInputError(f"{card.name} has no output {excerpt(name)}; it gives {', '.join(known)}")
    if len(set(wanted)) < len(wanted):
        raise InvalidInputError(f"outputs {excerpt(list(wanted))}: one of them is wanted twice")
    return tuple(wanted) or known


def _options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    options = {}
    for name, value in parameters.items():
        if name in _PASSED_OVER:
            continue
        if name not in _PARAMETERS:
            raise InvalidInputError(f"parameter {excerpt(name)} is unknown; there are {', '.join(_PARAMETERS)}")
        options[name] = _PARAMETERS[name](name, value)
    return options


def _integer(name: str, value: object) -> int:
    if type(value) is not int:
        raise InvalidInputError(f"parameter {name} = {excerpt(value)} must be an integer")
    return value


def _truth(name: str, value: object) -> bool:
    if type(value) is not bool:
        raise InvalidInputError(f"parameter {name} = {excerpt(value)} must be true or false")
    return value


def _out_of_range(name: str, value: object) -> OutOfRange:
    choices = (OutOfRange.ERROR, OutOfRange.EXTRAPOLATE)
    for choice in choices:
        if value == choice.value:
            return choice
    raise InvalidInputError(
        f"parameter {name} = {excerpt(value)} must be {' or '.join(choices)}: outputs have a row for each particle, "
        "so none can be skipped"
    )


def _deadline(name: str, value: object) -> float | None:
    """From microseconds; 0 is no limit, as in Triton."""
    timeout = _integer(name, value)
    if timeout < 0:
        raise InvalidInputError(f"parameter {name} = {timeout} must be microseconds from now, or 0 for no limit")
    return time.monotonic() + timeout * 1e-6 if timeout else None


_PARAMETERS: Mapping[str, Callable[[str, object], Any]] = {
    "seed": _integer,
    "first_row": _integer,
    "rates": _truth,
    "out_of_range": _out_of_range,
    "timeout": _deadline,
}
