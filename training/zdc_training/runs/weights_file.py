"""All weights of an exported model, in a file beside its graph that the service does not read.

The file is a NumPy archive (``weights.npz``), as the golden file is: arrays by name, without pickled objects, so to
read it runs no code. The format is documented, and needs no package besides NumPy. The card has its hash.
"""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from zdc_common.errors import ConfigError
from zdc_common.file_content import content_of, hash_problem
from zdc_detector.card import ModelCard

from zdc_training.nn.learner import Generator

WEIGHTS_FILE = "weights.npz"


def save_weights(folder: Path, model: Generator) -> str:
    """Write all weights and buffers of a model beside its graph; returns the SHA-256 of the file, for the card."""
    content = io.BytesIO()
    write_arrays: Callable[..., None] = np.savez_compressed
    write_arrays(content, **{name: value.cpu().numpy() for name, value in model.state_dict().items()})
    (folder / WEIGHTS_FILE).write_bytes(content.getbuffer())
    return hashlib.sha256(content.getbuffer()).hexdigest()


def load_weights(folder: Path, card: ModelCard) -> dict[str, Tensor] | None:
    """The weights of an exported model by name; None if it was exported without this file.

    Raises
    ------
    ConfigError : the file is missing, or does not have the hash in the card.
    """
    if not card.weights_sha256:
        return None
    path = folder / WEIGHTS_FILE
    try:
        content = content_of(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; the card has its hash: copy the whole folder again") from error
    if problem := hash_problem(content, card.weights_sha256):
        raise ConfigError(f"{path}: {problem}; copy the folder again")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
