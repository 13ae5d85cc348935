"""Converts requests of the Open Inference Protocol to simulation requests."""

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

#: Maximum number of inputs and of outputs in a request; more than any model has.
MOST_TENSORS = 16
#: A version number in the form of a folder's name, with at most as many digits as `LARGEST_VERSION`.
_VERSION = re.compile("[1-9][0-9]{0,9}", re.ASCII)

#: Parameter with which MLServer's clients describe their own data types; a server ignores it.
CONTENT_TYPE = "content_type"
#: Parameters that are accepted and ignored: they belong to extensions that this server does not have (priorities, and
#: sequences for stateful models), and do not change an answer.
_PASSED_OVER = frozenset(
    ("priority", "sequence_id", "sequence_start", "sequence_end", CONTENT_TYPE, "headers",
     "triton_enable_empty_final_response")
)  # fmt: skip


@dataclass(frozen=True)
class InferenceRequest:
    """A parsed request, before its content is checked.

    Attributes
    ----------
    model, version : The model; empty: the default model, its newest version.
    id : Id that the answer repeats.
    parameters : Parameters by name, without those for the form of the answer.
    inputs : Input tensors, in any order.
    outputs : Names of the requested outputs; empty: all.
    """

    model: str
    version: str
    id: str
    parameters: Mapping[str, Any]
    inputs: Sequence[Tensor]
    outputs: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """A checked request.

    Attributes
    ----------
    simulation : The simulation to run.
    outputs : Names of the outputs, in the order of the answer.
    deadline : Time until which the answer is needed, on the clock of `time.monotonic`, or None.
    """

    simulation: SimulationRequest
    outputs: tuple[str, ...]
    deadline: float | None


def check_tensors(inputs: int, outputs: int) -> None:
    """Refuse a request with more tensors than any model has, before its tensors are read."""
    if max(inputs, outputs) > MOST_TENSORS:
        raise InvalidInputError(
            f"{counted(inputs, 'input')} and {counted(outputs, 'output')} are given; the maximum is {MOST_TENSORS} of "
            "each"
        )


def version_of(text: str) -> int | None:
    """The number of a version; None for an empty string, which means the newest version.

    Raises
    ------
    ModelNotFoundError : the text is not a version number.
    """
    if not text:
        return None
    if _VERSION.fullmatch(text):
        return int(text)
    raise ModelNotFoundError(
        f"there is no version {excerpt(text)}: versions are 1, 2, ...; leave it out to use the newest"
    )


def prepare(card: ModelCard, request: InferenceRequest, most_rows: int) -> Prepared:
    """Check a request to a model, of at most `most_rows` rows, and convert it to a simulation request.

    Raises
    ------
    InvalidInputError : an input, output or parameter is unknown, missing or has a wrong form or value.
    OutOfRangeError : the PDG table does not have a species.
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
        raise InvalidInputError(f"input {missing[0]} is missing; {card.name} needs it")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInputError(f"inputs have {lengths} rows; every input must have one row per particle")
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
            raise InvalidInputError(f"{card.name} has no output {excerpt(name)}; it has {', '.join(known)}")
    if len(set(wanted)) < len(wanted):
        raise InvalidInputError(f"outputs {excerpt(list(wanted))}: request each output only once")
    return tuple(wanted) or known


def _options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    options = {}
    for name, value in parameters.items():
        if name in _PASSED_OVER:
            continue
        if name not in _PARAMETERS:
            raise InvalidInputError(f"parameter {excerpt(name)} is unknown; known are {', '.join(_PARAMETERS)}")
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
        f"parameter {name} = {excerpt(value)} must be {' or '.join(choices)}: outputs must have a row for each "
        "particle, so no particle can be skipped"
    )


def _deadline(name: str, value: object) -> float | None:
    """The deadline from a time in microseconds; 0 means no limit, as in Triton."""
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
