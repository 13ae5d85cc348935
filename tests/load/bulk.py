"""One million particles from Parquet to files, by `zdc simulate`: rate, time and peak memory of all its processes.

``python tests/load/bulk.py --help``. The particles are generated from a seed. Every row must arrive once, in order.
The time is that of the whole command, from its start to the finished file; it includes loading the model. Dense
responses of a million particles have 3.9 GB before compression, so users keep hits.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot
from commands import chosen_model, common_parser, facts, markdown, one_line_errors
from usage import descendants, resident_bytes
from workload import particles_for
from zdc_detector.particles import CONDITIONS, KINEMATICS
from zdc_service.engine.model_store import StoredModel
from zdc_service.engine.repository import SHIPPED_MODEL
from zdc_service.settings import EngineSettings

_BLOCK = 100_000
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Measured:
    """One run of `zdc simulate`.

    Attributes
    ----------
    seconds, cpu_seconds : Time from start to end, and processor time of all processes, also those of Dask [s].
    peak : Peak memory [bytes]. For one process, as counted by the kernel; for several, the largest sampled sum, in
        which shared pages count several times.
    size : Size of the file [bytes].
    """

    seconds: float
    cpu_seconds: float
    peak: int
    size: int


def main() -> None:
    """Print the facts and the table; one line "not run" if CUDA is requested but unavailable."""
    parser = common_parser(__doc__)
    parser.set_defaults(model=SHIPPED_MODEL)
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="particles, one response each; default: %(default)s"
    )
    parser.add_argument("--formats", nargs="+", default=["h5", "root"], help="endings of outputs; default: h5 root")
    parser.add_argument(
        "--what",
        nargs="+",
        default=["hits", "response"],
        help="hits, response or channels; default: hits response",
    )
    parser.add_argument("--seed", type=int, default=7, help="seed of particles and responses; default: %(default)s")
    parser.add_argument("--folder", type=Path, help="output folder; default: a temporary folder")
    parser.add_argument("options", nargs="*", help="options of zdc simulate, after --, e.g. -- --workers 2")
    options = parser.parse_args()
    with one_line_errors(parser, options.device), tempfile.TemporaryDirectory(dir=options.folder) as folder:
        settings = EngineSettings(models=options.models, default_model=options.model, device=options.device)
        model, placement = chosen_model(settings)
        print("\n".join(facts(model, placement)), flush=True)
        source = Path(folder) / "particles.parquet"
        write_particles(source, model, options.rows, options.seed)
        print(f"input: {options.rows} particles, {source.stat().st_size / 1e6:.0f} MB of Parquet\n", flush=True)
        arguments = ["--input", str(source), "--seed", str(options.seed), "--model", model.card.name]
        arguments += ["--device", options.device, *options.options]
        if options.models is not None:
            arguments += ["--models", str(options.models)]
        head = ["output", "format", "time [s]", "rows/s", "processor [s]", "peak [MiB]", "file [MB]"]
        cells = list(rows(Path(folder), arguments, options.what, options.formats, options.rows))
        print("\n".join(markdown(head, cells, 2)))


def write_particles(path: Path, model: StoredModel, rows: int, seed: int) -> None:
    """Particles within the model's range, in row groups."""
    with pq.ParquetWriter(
        path, pa.schema([("pdg", pa.int32()), *((name, pa.float32()) for name in KINEMATICS)])
    ) as file:
        for start in range(0, rows, _BLOCK):
            particles = particles_for(model.card, min(_BLOCK, rows - start), seed + start)
            columns = {name: particles.conditions[:, CONDITIONS.index(name)] for name in KINEMATICS}
            file.write_table(pa.table({"pdg": particles.pdg.astype(np.int32), **columns}))


def rows(folder: Path, arguments: list[str], whats: list[str], formats: list[str], count: int) -> Iterator[list[str]]:
    """Cells of the table, one run after the other; raises RuntimeError if a run fails."""
    for what in whats:
        for ending in formats:
            print(f"{what} to .{ending}", file=sys.stderr)
            output = folder / f"out.{ending}"
            run = measure([*arguments, "--what", what, "--output", str(output)], output)
            if not np.array_equal(row_numbers(output), np.arange(count)):
                raise RuntimeError(f"{output.name}: rows are lost, doubled or out of order")
            output.unlink()
            figures = [f"{run.seconds:.1f}", f"{count / run.seconds:.0f}", f"{run.cpu_seconds:.1f}"]
            yield [what, ending, *figures, f"{run.peak / 2**20:.0f}", f"{run.size / 1e6:.0f}"]


def measure(arguments: list[str], output: Path) -> Measured:
    """Run `zdc simulate` in a separate process."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "zdc_service.cli", "simulate", *arguments])
    seen = 0
    try:
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            seen = max(seen, resident_bytes(descendants(process.pid)))
            time.sleep(_LOOK_SECONDS)
    except BaseException:
        process.kill()
        raise
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"zdc simulate ended with code {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(time.monotonic() - began, cpu, max(seen, usage.ru_maxrss * 1024), output.stat().st_size)


def row_numbers(path: Path) -> np.ndarray:
    """The column ``row`` of a file."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return np.asarray(file["row"])
    if path.suffix == ".root":
        with uproot.open(path) as file:
            return np.asarray(file["showers"]["row"].array(library="np"))
    if path.suffix == ".parquet":
        return np.asarray(pq.read_table(path, columns=["row"])["row"])
    with np.load(path) as arrays:
        return np.asarray(arrays["row"])


if __name__ == "__main__":
    main()
