"""`zdc simulate`: particles from arguments or a file, responses to HDF5 or npz."""

import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from zdc_detector.commands import INTERRUPTED, ListedText, end, exit_code
from zdc_detector.errors import ConfigError, InvalidInputError, ZdcError, rename_row
from zdc_detector.interrupts import Interrupts
from zdc_detector.particles import Particles

from zdc_service.client import Chunk, ClientOptions, connect
from zdc_service.files import ParticleBlock, ParticleReader, create_results, open_particles
from zdc_service.files.arguments import ArgumentReader
from zdc_service.settings import EngineSettings
from zdc_service.simulation import OutOfRange, Output

#: Options of no use without a server.
_FOR_SERVERS = ("ca_file", "client_certificate", "client_key", "token_file")


class Simulate(BaseSettings):
    """Simulate particles and write the calorimeter's responses to a file.

    For example: zdc simulate --input events.hepmc3.gz --output responses.h5 --server grpc://127.0.0.1:8001

    Each option can also be given as an environment variable: --token-file as ZDC_CLIENT_TOKEN_FILE.
    """

    model_config = SettingsConfigDict(env_prefix="ZDC_CLIENT_", extra="forbid")

    output: Path = Field(description="file to write or replace: .h5 (any number of rows) or .npz (held in memory)")
    input: Path | None = Field(None, description="file of particles: .csv, .parquet, .hepmc3 or .hepmc3.gz")
    particle: list[ListedText] = Field(
        [],
        description='one particle, repeatable: "pdg=2112,pz=1500,px=0.1"; GeV/c, cm; px, py, vx, vy, vz default to 0',
    )
    server: str | None = Field(
        None,
        description="grpc://host:port or http://host:port, grpcs or https for TLS; default: simulate in this process",
    )
    ca_file: Path | None = Field(
        None, description="PEM file of who may sign the server's certificate; default: whom the system trusts"
    )
    client_certificate: Path | None = Field(
        None, description="PEM file of the certificate for a server that asks for one (mutual TLS)"
    )
    client_key: Path | None = Field(None, description="PEM file of that certificate's key")
    token_file: Path | None = Field(None, description="file with the bearer token for the server")
    what: Literal["response", "channels", "hits"] = Field(
        "response", description="what to write of each row; channel sums are always written"
    )
    seed: int | None = Field(None, description="key of the random numbers, in [0, 2^53); default: drawn and printed")
    repeats: int = Field(1, ge=1, description="responses per particle")
    first_row: int = Field(0, ge=0, description="number of the first row, for jobs that are split over machines")
    out_of_range: Literal["error", "skip", "extrapolate"] | None = Field(
        None,
        description="particles that the model was not trained on; default: skip for whole events (HepMC3), else error",
    )
    rates: bool = Field(False, description="write the model's rates instead of photon counts; default: counts")
    model: str | None = Field(None, description="name of the model; default: the server's default")
    version: int | None = Field(None, ge=1, description="version of the model; default: the newest")
    batch: int = Field(1024, ge=1, description="rows of one request; does not change the result")
    models: Path | None = Field(None, description="without a server: folder of models; default: the shipped ones")
    device: Literal["cpu", "cuda", "tensorrt", "auto"] | None = Field(
        None, description="without a server: where to compute; default: cpu"
    )

    def cli_cmd(self) -> None:
        """Run; ends the process with code 1, 2 (wrong input) or 130 (Ctrl-C) and one line on failure."""
        with Interrupts() as interrupts:
            try:
                code, text = 0, "\n".join(run(self, interrupts))
            except KeyboardInterrupt:
                code, text = INTERRUPTED, ""
            except (ZdcError, OSError) as error:
                code, text = exit_code(error), str(error)
        if code == 0:
            print(text)
            return
        if interrupts.pending or code == INTERRUPTED:
            code, text = INTERRUPTED, "interrupted; no file was written"
        end("zdc simulate", text, code)


def run(command: Simulate, interrupts: Interrupts) -> list[str]:
    """Read, simulate, write.

    Returns
    -------
    Lines that sum up what was done.

    Raises
    ------
    ZdcError : of any kind; the output file is then not there.
    """
    source = _Source(_reader(command), command.repeats)
    about: dict[str, str | int] = {
        "server": command.server or "in process",
        "output": command.what,
        "repeats": command.repeats,
        "first_row": command.first_row,
    }
    out_of_range = command.out_of_range or ("skip" if source.reader.has_whole_events else "error")
    totals = _Totals()
    with (
        create_results(command.output, about) as results,
        connect(command.server, _client_options(command), _engine_settings(command)) as client,
        _Display() as display,
    ):
        chunks = client.simulate(
            source.particles(),
            seed=command.seed,
            repeats=command.repeats,
            output=Output(command.what),
            out_of_range=OutOfRange(out_of_range),
            first_row=command.first_row,
            model=command.model,
            version=command.version,
            rates=command.rates,
        )
        try:
            for chunk in interrupts.between(chunks):
                particles, columns = source.rows(chunk)
                results.append(chunk, particles, columns)
                totals.add(chunk)
                display.show(totals.rows, source.share_done(totals.rows + totals.skipped.total() * command.repeats))
        except InvalidInputError as error:
            raise rename_row(error, source.place) from error
        if totals.last is None:
            raise InvalidInputError(f"{source.reader.source}: no particle to simulate; {_left_out(source.reader)}")
    return [_left_out(source.reader), *totals.lines(), f"wrote {command.output} ({command.what})"]


def _reader(command: Simulate) -> ParticleReader:
    if (command.input is None) == (not command.particle):
        raise ConfigError("name particles either with --input FILE or with --particle, not both")
    return ArgumentReader(command.particle) if command.input is None else open_particles(command.input)


def _client_options(command: Simulate) -> ClientOptions:
    given = {name: getattr(command, name) for name in _FOR_SERVERS if getattr(command, name) is not None}
    if given and command.server is None:
        raise ConfigError(f"--{next(iter(given)).replace('_', '-')} is for a server; name one with --server")
    return ClientOptions(rows_per_request=command.batch, **given)


def _engine_settings(command: Simulate) -> EngineSettings | None:
    given = {name: getattr(command, name) for name in ("models", "device") if getattr(command, name) is not None}
    if command.server is not None:
        if given:
            raise ConfigError(f"--{next(iter(given))} is for simulating without a server; leave it out or --server")
        return None
    if command.model is not None:
        given["default_model"] = command.model  # where no other model of the folder is a default
    return EngineSettings(**given)


class _Source:
    """Feeds the reader's blocks to the client, and keeps those whose rows have not come back."""

    def __init__(self, reader: ParticleReader, repeats: int):
        self.reader = reader
        self._repeats = repeats
        self._sent = 0
        self._blocks: deque[tuple[int, ParticleBlock]] = deque()

    def particles(self) -> Iterator[Particles]:
        for block in self.reader:
            self._blocks.append((self._sent, block))
            self._sent += len(block.particles)
            yield block.particles

    def share_done(self, rows: int) -> float:
        """Share of the job that these rows are, if the rest of the source is like what was read of it."""
        consumed, whole = self.reader.progress
        return rows / (self._sent * self._repeats) * consumed / whole

    def rows(self, chunk: Chunk) -> tuple[Particles, dict[str, NDArray[np.int64]]]:
        """The particle of each row, and what the source called it; a chunk never spans blocks."""
        first, block = self._blocks[0]
        while chunk.asked.start >= first + len(block.particles):
            self._blocks.popleft()
            first, block = self._blocks[0]
        rows = chunk.particle.astype(np.int64) - first
        return block.particles[rows], {name: values[rows] for name, values in block.columns.items()}

    def place(self, index: int) -> str:
        """What the source calls a particle of the job that has not come back."""
        first, block = next((f, b) for f, b in self._blocks if index < f + len(b.particles))
        return block.place(index - first)


class _Totals:
    """Sums over the chunks of a job."""

    def __init__(self) -> None:
        self.rows = self.empty = self.particles = 0
        self.skipped: Counter[str] = Counter()
        self.extrapolated: Counter[str] = Counter()
        self.last: Chunk | None = None
        self._started = time.monotonic()

    def add(self, chunk: Chunk) -> None:
        self.rows += len(chunk.row)
        self.empty += int(np.count_nonzero(~chunk.channels.any(axis=1)))
        self.particles = chunk.asked.stop
        self.skipped.update(chunk.skipped)
        self.extrapolated.update(chunk.extrapolated)
        self.last = chunk

    def lines(self) -> list[str]:
        assert self.last is not None
        seconds = time.monotonic() - self._started
        simulated = self.particles - self.skipped.total()
        lines = [
            f"simulated {simulated} particles x {self.last.repeats} = {self.rows} rows with {self.last.model} version "
            f"{self.last.version}, seed {self.last.seed}"
        ]
        if self.skipped:
            lines.append(f"skipped {self.skipped.total()} outside the trained range: {_counts(self.skipped)}")
        if self.extrapolated:
            lines.append(
                f"extrapolated {self.extrapolated.total()} outside the trained range: {_counts(self.extrapolated)}"
            )
        share = self.empty / self.rows if self.rows else 0.0
        lines.append(f"{share:.1%} of the rows are empty; {self.rows / seconds:.0f} rows/s")
        return lines


def _left_out(reader: ParticleReader) -> str:
    left_out = f"; left out {reader.skipped.total()}: {_counts(reader.skipped)}" if reader.skipped else ""
    return f"read {reader.read} particles{left_out}"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


class _Display:
    """Progress, rate and expected end on stderr; quiet where that is no terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("simulating", total=1.0)
        self._started = time.monotonic()

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, rows: int, share_done: float) -> None:
        rate = rows / (time.monotonic() - self._started)
        self._progress.update(self._task, completed=share_done, description=f"{rows} rows, {rate:.0f} rows/s")
