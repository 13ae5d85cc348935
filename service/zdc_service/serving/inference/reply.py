"""Answers of the Open Inference Protocol, before they are encoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zdc_service.serving.inference.tensors import DATATYPES, RESPONSE
from zdc_service.simulation import SimulationResult

#: Datatype of every output.
OUTPUT_DATATYPE = "FP32"


@dataclass(frozen=True)
class InferenceReply:
    """An answer, before it is encoded.

    Attributes
    ----------
    model, version : The model that was used.
    id : Id of the request.
    parameters : Seed, first row, finish, and numbers of extrapolated particles.
    outputs : Arrays by name, float32, little-endian in C order, in the requested order.
    """

    model: str
    version: str
    id: str
    parameters: Mapping[str, int | str]
    outputs: Mapping[str, NDArray[np.float32]]


def reply_of(result: SimulationResult, request_id: str, outputs: Sequence[str]) -> InferenceReply:
    """The answer with the given outputs of a result."""
    return InferenceReply(
        result.model,
        str(result.version),
        request_id,
        _parameters_of(result),
        {name: _floats(result.response if name == RESPONSE else result.channels) for name in outputs},
    )


def _floats(array: NDArray[np.generic] | None) -> NDArray[np.float32]:
    floats: NDArray[np.float32] = np.ascontiguousarray(array, dtype=DATATYPES[OUTPUT_DATATYPE])
    return floats


def _parameters_of(result: SimulationResult) -> Mapping[str, int | str]:
    """Seed, first row and finish, and the number of particles outside the trained range, by reason."""
    extrapolated = {f"extrapolated_{reason}": count for reason, count in result.extrapolated.items()}
    return {"seed": result.seed, "first_row": result.first_row, "finish": result.finish.value, **extrapolated}
