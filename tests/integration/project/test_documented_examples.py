"""service/README.md: its examples run as they stand, and its tables are those of the code."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.documented_examples import Session, blocks_of
from helpers.models.tiny_model import some_particles
from zdc_service.codecs import ARRAYS, JSON, NPY, NPZ, RAW
from zdc_service.serving.http.binary import MEDIA_TYPES
from zdc_service.settings import ServerSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest
from zdc_service.status import STATUSES

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "service" / "README.md").read_text()
TOOLS = ("bash", "curl", "openssl")
_OPTION = re.compile(r"--[a-z][a-z-]+")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    opened = Session(tmp_path)
    yield opened
    opened.stop()


@pytest.mark.slow
@pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}")
def test_every_example_runs(session: Session) -> None:
    blocks = blocks_of(DOCUMENT)
    assert {block.language for block in blocks} == {"sh", "python"}
    assert sum(block.serves for block in blocks) == 3
    for block in blocks:
        session.run(block)


def table_of(heading: str) -> dict[str, list[str]]:
    """The other cells of each row of the last table in a section, by the first, without the marks of code."""
    section = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{heading}\n")]
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in rows}


def test_errors_are_all_there() -> None:
    said = {kind: cells[:2] for kind, cells in table_of("Errors").items()}
    assert said == {kind: [str(int(http)), grpc.name] for kind, (http, grpc) in STATUSES.items()}


def test_media_types_are_all_there() -> None:
    table = table_of("Rows of numbers")
    assert set(table) == {JSON, RAW, NPY, NPZ, ARRAYS}
    assert {name for name, (body, _) in table.items() if body} == {JSON, *MEDIA_TYPES}


def test_metrics_are_all_there(simulator: Simulator) -> None:
    metrics = simulator.instruments
    metrics.out_of_range.labels("energy", "skip")
    metrics.model_refusals.labels("tiny")
    metrics.requests.labels("http", "ok")
    metrics.encode_seconds.labels("http")
    simulator.simulate(SimulationRequest(some_particles(1)))
    text = metrics.text().decode()
    found = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        labels = re.search(rf"^{name}(?:_sum)?(?:\{{(.*)\}})? ", text, re.MULTILINE)
        assert labels is not None, name
        if not name.endswith("_created"):
            found[name] = kind, set(re.findall(r'(\w+)="', labels[1] or ""))
    said = {name: (cells[0], set(cells[1].split(", ")) - {""}) for name, cells in table_of("Metrics").items()}
    assert said == found


def test_options_are_all_there_and_no_others() -> None:
    prose = re.sub(r"^```.*?^```", "", DOCUMENT, flags=re.DOTALL | re.MULTILINE)  # what stands in blocks is run
    known = {f"--{name.replace('_', '-')}" for name in ServerSettings.model_fields}
    assert set(_OPTION.findall(prose)) - known == {"--help", "--no-cuda-graphs", "--http"}  # the last is curl's --http2
    assert known - set(_OPTION.findall(DOCUMENT)) == {"--http-port", "--grpc-port", "--log-level", "--cuda-graphs"}


def test_limits_have_these_defaults() -> None:
    numbers = {option: cells[0] for option, cells in table_of("Limits").items() if cells[0].isdigit()}
    fields = ServerSettings.model_fields
    assert {option: float(number) for option, number in numbers.items()} == {
        option: fields[option.removeprefix("--").replace("-", "_")].default for option in numbers
    }
    assert len(numbers) == 7
