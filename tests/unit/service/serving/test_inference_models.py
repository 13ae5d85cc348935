"""Statistics of invalid requests of the Open Inference Protocol."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.models.tiny_model import write_model
from zdc_common.errors import InvalidInputError, ModelNotFoundError
from zdc_service.serving.inference.models import Models
from zdc_service.serving.inference.request import InferenceRequest
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    write_model(tmp_path)
    with Simulator(EngineSettings(models=tmp_path, threads=1)) as running:
        yield running


def failing(error: Exception) -> Callable[[], InferenceRequest]:
    def read() -> InferenceRequest:
        raise error

    return read


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [(InvalidInputError("no JSON"), "invalid_input", "OTHER"), (TypeError("unhashable"), "internal", "BACKEND")],
)
def test_unreadable_requests_count_as_failures_of_the_model(
    simulator: Simulator, error: Exception, kind: str, reason: str
) -> None:
    models = Models(simulator, None)
    with pytest.raises(type(error)):
        models.understand("tiny", "1", failing(error), None, check=False)
    (engine,) = simulator.repository
    assert engine.statistics.totals().failed == {kind: 1}
    text = simulator.instruments.text().decode()
    assert f'nv_inference_request_failure{{model="tiny",reason="{reason}",version="1"}} 1.0' in text


def test_an_unknown_model_is_reported_before_the_body_is_read(simulator: Simulator) -> None:
    with pytest.raises(ModelNotFoundError):
        Models(simulator, None).understand("nope", "", failing(AssertionError()), None, check=False)
