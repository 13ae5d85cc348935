"""Metadata and configuration of a server and its models, with the keys of the protocol."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from zdc_common.versions import installed_version
from zdc_detector.card import GRAPH_FILE, ModelCard

from zdc_service.serving.inference.tensors import TensorSpec, inputs_of, outputs_of

SERVER_NAME = "zdc-fastsim"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics")
#: Triton's names of the backend and platform for ONNX graphs.
_BACKEND, _PLATFORM = "onnxruntime", "onnxruntime_onnx"


@cache
def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": SERVER_NAME, "version": installed_version(), "extensions": list(EXTENSIONS)}


def model_metadata(card: ModelCard, versions: Iterable[int]) -> dict[str, Any]:
    """The metadata of a model: its loaded versions and its tensors."""
    return {
        "name": card.name,
        "versions": [str(number) for number in versions],
        "platform": _PLATFORM,
        "inputs": [_metadata(spec) for spec in inputs_of(card)],
        "outputs": [_metadata(spec) for spec in outputs_of(card)],
    }


def _metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def model_config(card: ModelCard, max_request_rows: int) -> dict[str, Any]:
    """The fields of `inference.ModelConfig`.

    ``max_batch_size`` is 0, because with any other value the protocol needs inputs of at least two dimensions, and
    ``pdg`` has one.
    """
    species = (f"{one.pdg} {one.name} {one.energy[0]:g}-{one.energy[1]:g} GeV" for one in card.ranges.species)
    facts = {
        "version": str(card.version),
        "description": card.description,
        "conditions": ", ".join(f"{one.name} [{one.unit}]" for one in card.conditions),
        "channel_names": ", ".join(card.calorimeter.channel_names),
        "finish": card.finish.value,
        "species": ", ".join(species),
        "frames": ", ".join(card.ranges.frames),
        "face_z": f"{card.calorimeter.face_z:.9g} cm",
        "calorimeter": card.calorimeter.name,
        "calorimeter_json": card.calorimeter.model_dump_json(),
        "graph_sha256": card.graph_sha256,
        "max_request_rows": str(max_request_rows),
    }
    return {
        "name": card.name,
        "platform": _PLATFORM,
        "backend": _BACKEND,
        "version_policy": {"all": {}},
        "max_batch_size": 0,
        "input": [_config(spec) | {"optional": spec.optional} for spec in inputs_of(card)],
        "output": [_config(spec) for spec in outputs_of(card)],
        "default_model_filename": GRAPH_FILE,
        "parameters": {name: {"string_value": text} for name, text in facts.items()},
        "model_transaction_policy": {"decoupled": False},
    }


def _config(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": list(spec.shape)}
