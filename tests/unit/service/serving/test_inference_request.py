"""Requests of the Open Inference Protocol: inputs, outputs, parameters."""

import time
from typing import Any

import numpy as np
import pytest
from helpers.models.tiny_model import NOISE, TinyModel, some_particles, write_model
from zdc_common.errors import InvalidInputError, ModelNotFoundError, TooLargeError
from zdc_detector.card import ModelCard
from zdc_service.serving.inference.request import InferenceRequest, prepare, version_of
from zdc_service.serving.inference.tensors import Tensor
from zdc_service.simulation import OutOfRange, Output

PARTICLES = some_particles(3)
ROWS = Tensor("particles", "FP32", (3, 9), PARTICLES.conditions.tobytes())
CODES = Tensor("pdg", "INT64", (3,), PARTICLES.pdg.tobytes())
NUMBERS = Tensor("noise", "FP32", (3, NOISE), np.ones((3, NOISE), dtype=np.float32).tobytes())


def request_of(*inputs: Tensor, outputs: tuple[str, ...] = (), **parameters: Any) -> InferenceRequest:
    return InferenceRequest("tiny", "", "", parameters, inputs, outputs)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return ModelCard.read(write_model(tmp_path_factory.mktemp("models"), TinyModel(version=3)))


@pytest.fixture(scope="module")
def with_pdg(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return ModelCard.read(write_model(tmp_path_factory.mktemp("models"), TinyModel(name="species", takes_pdg=True)))


def test_the_least_that_a_request_may_say(card: ModelCard) -> None:
    prepared = prepare(card, request_of(ROWS), 1000)
    asked = prepared.simulation
    assert (asked.model, asked.version) == ("tiny", 3)
    assert (asked.seed, asked.first_row, asked.repeats, asked.rates) == (None, 0, 1, False)
    assert (asked.out_of_range, asked.output, asked.noise) == (OutOfRange.ERROR, Output.RESPONSE, None)
    assert prepared.outputs == ("response", "channels")
    assert prepared.deadline is None
    np.testing.assert_array_equal(asked.particles.conditions, PARTICLES.conditions)
    np.testing.assert_array_equal(asked.particles.pdg, PARTICLES.pdg)


def test_everything_that_a_request_may_say(card: ModelCard) -> None:
    before = time.monotonic()
    parameters = {"seed": 7, "first_row": 2**50, "rates": True, "out_of_range": "extrapolate", "timeout": 10_000_000}
    prepared = prepare(card, request_of(NUMBERS, CODES, ROWS, outputs=("channels",), **parameters), 1000)
    asked = prepared.simulation
    assert (asked.seed, asked.first_row, asked.rates) == (7, 2**50, True)
    assert (asked.out_of_range, asked.output) == (OutOfRange.EXTRAPOLATE, Output.CHANNELS)
    assert asked.noise is not None
    assert asked.noise.shape == (3, NOISE)
    assert prepared.outputs == ("channels",)
    assert prepared.deadline is not None
    assert 10 <= prepared.deadline - before < 20


def test_no_timeout_is_no_limit(card: ModelCard) -> None:
    assert prepare(card, request_of(ROWS, timeout=0), 1000).deadline is None


def test_a_model_that_tells_species_apart_asks_for_them(with_pdg: ModelCard) -> None:
    assert prepare(with_pdg, request_of(ROWS, CODES), 1000).simulation.particles.pdg.tolist() == PARTICLES.pdg.tolist()
    with pytest.raises(InvalidInputError, match="input pdg is missing; species needs it"):
        prepare(with_pdg, request_of(ROWS), 1000)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (request_of(), "input particles is missing; tiny needs it"),
        (request_of(CODES), "input particles is missing"),
        (request_of(ROWS, ROWS), "input particles is given twice"),
        (request_of(ROWS, Tensor("x", "FP32", (3,), b"")), "tiny has no input 'x'; it takes particles, noise, pdg"),
        (request_of(Tensor(None, "FP32", (3,), b"")), "tiny has no input None"),
        (request_of(ROWS, Tensor("pdg", "INT64", (1,), bytes(8))), "inputs have {'particles': 3, 'pdg': 1} rows"),
        (request_of(ROWS, Tensor("noise", "FP32", (3, 5), bytes(60))), f"has shape [3, 5]; send [-1, {NOISE}]"),
        (request_of(ROWS, outputs=("hits",)), "tiny has no output 'hits'; it has response, channels"),
        (request_of(ROWS, outputs=("channels", "channels")), "request each output only once"),
        (request_of(ROWS, sed=7), "parameter 'sed' is unknown; known are seed, first_row, rates"),
        (request_of(ROWS, seed=7.0), "parameter seed = 7.0 must be an integer"),
        (request_of(ROWS, seed=True), "parameter seed = True must be an integer"),
        (request_of(ROWS, seed=None), "parameter seed = None must be an integer"),
        (request_of(ROWS, first_row="0"), "parameter first_row = '0' must be an integer"),
        (request_of(ROWS, rates=1), "parameter rates = 1 must be true or false"),
        (request_of(ROWS, out_of_range="skip"), "= 'skip' must be error or extrapolate: outputs must have a row"),
        (request_of(ROWS, out_of_range=1), "parameter out_of_range = 1 must be error or extrapolate"),
        (request_of(ROWS, timeout=-1), "parameter timeout = -1 must be microseconds from now"),
        (request_of(ROWS, timeout=0.5), "parameter timeout = 0.5 must be an integer"),
    ],
)
def test_invalid_requests(card: ModelCard, request_: InferenceRequest, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        prepare(card, request_, 1000)
    assert text in str(caught.value)


def test_versions() -> None:
    assert version_of("") is None
    assert version_of("12") == 12
    for text in ("0", "-1", "1.0", "x", "٣", "1" * 30):
        with pytest.raises(ModelNotFoundError, match="versions are 1, 2"):
            version_of(text)


def test_rows_are_counted_before_anything_is_done_for_each(card: ModelCard) -> None:
    with pytest.raises(TooLargeError, match="3 particles x 1 repeat = 3 rows are above the limit of 1 row per request"):
        prepare(card, request_of(ROWS), 1)
