"""The pages on the service: their examples run as they are, and their tables are those of the code."""

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
#: Pages with examples, in an order in which most of them can share a server.
PAGES = (
    "how-to/http.md",
    "how-to/python.md",
    "how-to/cpp.md",
    "how-to/open-inference-protocol.md",
    "how-to/monitoring.md",
    "reference/errors.md",
    "how-to/models.md",
    "how-to/access.md",
)
#: Pages that name options of the server besides.
OTHERS = ("how-to/limits.md", "how-to/kubernetes.md", "how-to/performance.md")
TEXTS = {page: (ROOT / "docs" / page).read_text() for page in (*PAGES, *OTHERS)}
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
    pages = {page: blocks_of(TEXTS[page]) for page in PAGES}
    blocks = [block for page in pages.values() for block in page]
    assert {block.language for block in blocks} == {"sh", "python"}
    assert len({block.text for block in blocks if block.serves}) == 3
    for page, its_blocks in pages.items():
        assert its_blocks, page
        session.open_page(Path(page).stem)
        for block in its_blocks:
            session.run(block)


def table_of(page: str, heading: str) -> dict[str, list[str]]:
    """The other cells of each row of the tables in a section, by the first, without the marks of code."""
    section = re.split(r"^##? ", TEXTS[page], flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{heading}\n")]
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in rows}


def test_errors_are_all_there() -> None:
    said = {kind: cells[:2] for kind, cells in table_of("reference/errors.md", "Errors").items()}
    assert said == {kind: [str(int(http)), grpc.name] for kind, (http, grpc) in STATUSES.items()}


def test_media_types_are_all_there() -> None:
    table = table_of("how-to/http.md", "Rows of numbers")
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
    table = table_of("how-to/monitoring.md", "Metrics")
    said = {name: (cells[0], set(cells[1].split(", ")) - {""}) for name, cells in table.items()}
    assert said == found


def test_options_are_all_there_and_no_others() -> None:
    document = "\n".join(TEXTS.values())
    prose = re.sub(r"^```.*?^```", "", document, flags=re.DOTALL | re.MULTILINE)  # blocks are run
    known = {f"--{name.replace('_', '-')}" for name in ServerSettings.model_fields}
    others = {"--no-cuda-graphs", "--http", "--format"}  # the last two: curl's --http2, and an option of train-zdc
    assert set(_OPTION.findall(prose)) - known == others
    assert known - set(_OPTION.findall(document)) == {"--http-port", "--grpc-port", "--log-level", "--cuda-graphs"}


def test_limits_have_these_defaults() -> None:
    table = table_of("how-to/limits.md", "Limits")
    numbers = {option: cells[0] for option, cells in table.items() if cells[0].isdigit()}
    fields = ServerSettings.model_fields
    assert {option: float(number) for option, number in numbers.items()} == {
        option: fields[option.removeprefix("--").replace("-", "_")].default for option in numbers
    }
    assert len(numbers) == 7
