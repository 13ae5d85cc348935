"""`zdc simulate`: read particles from arguments or a file, and write responses to a file."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from zdc_common.commands import FAILED, INTERRUPTED, ListedText, end, exit_code
from zdc_common.errors import ConfigError, ZdcError
from zdc_common.interrupts import Interrupts
from zdc_common.versions import installed_version
from zdc_common.words import counted_are, short
from zdc_detector.frames import Frame
from zdc_detector.random import check_seed, fresh_seed
from zdc_readers import ParticleReader, open_particles
from zdc_readers.arguments import ArgumentReader

from zdc_service.bulk.backend import Backend, ModelChoice
from zdc_service.bulk.dask_workers import DaskWorkers
from zdc_service.bulk.folder import PartsFolder
from zdc_service.bulk.job import BulkJob, input_of
from zdc_service.bulk.production import Production, produce
from zdc_service.bulk.report import Display, kept_line, read_line
from zdc_service.bulk.slices import Slice
from zdc_service.bulk.workers import LocalWorkers, Workers
from zdc_service.client import ClientOptions
from zdc_service.settings import EngineSettings, usable_cores
from zdc_service.simulation import OutOfRange, Output
from zdc_service.writers import check_output

#: About a second of work for one core with the default model.
ROWS_PER_PART = 8192

#: Options that apply only to a server.
_FOR_SERVERS = ("ca_file", "client_certificate", "client_key", "token_file")


class Simulate(BaseSettings):
    """Simulate particles and write the calorimeter's responses to a file.

    For example: zdc simulate --input events.hepmc3.gz --output responses.h5 --server grpc://127.0.0.1:8001

    Finished parts are kept in OUTPUT.parts until the output is complete. After a kill, the same command continues from
    them.

    Exit codes: 0 done; 1 a machine or a server failed, so try the same command again; 2 an option or a file is invalid;
    130 Ctrl-C. Each option can also be given as an environment variable: --token-file as ZDC_CLIENT_TOKEN_FILE.
    """

    model_config = SettingsConfigDict(env_prefix="ZDC_CLIENT_", extra="forbid")

    output: Path = Field(
        description="file to write or replace: .h5, .root, .parquet (any number of rows) or .npz (kept in memory)"
    )
    input: Path | None = Field(
        None,
        description="file of particles: .hepmc3, .hepmc (HepMC3 or HepMC2) or .csv, also compressed as .gz, .bz2, .xz "
        "or .zst; .root, .parquet, or .h5 with columns; or a .h5 file of responses, to simulate each of its particles "
        "again",
    )
    tree: str | None = Field(
        None, description="tree of a ROOT file; default: the only tree, or the tree particles or events"
    )
    status: str | None = Field(
        None,
        description="status codes of the particles to simulate, e.g. 1,14, if the file has status codes; default: 1 "
        "(final-state particles)",
    )
    particle: list[ListedText] = Field(
        [],
        description='one particle, e.g. "pdg=2112,pz=1500,px=0.1", in GeV/c and cm; px, py, vx, vy, vz default to 0; '
        "repeatable",
    )
    server: str | None = Field(
        None,
        description="server's address: grpc://host:port or http://host:port, for TLS grpcs or https; default: simulate "
        "in this process",
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that sign the server's certificate; default: those that the system "
        "trusts",
    )
    client_certificate: Path | None = Field(
        None, description="PEM file of the client's certificate, if the server requires one (mutual TLS)"
    )
    client_key: Path | None = Field(None, description="PEM file of the key of --client-certificate")
    token_file: Path | None = Field(None, description="file with the bearer token for the server")
    what: Literal["response", "channels", "hits"] = Field(
        "response", description="what to write for each row, in addition to the channel sums"
    )
    seed: int | None = Field(None, description="random seed, 0 <= seed < 2^53; default: drawn and printed")
    repeats: int = Field(1, ge=1, description="responses per particle")
    first_row: int = Field(0, ge=0, description="number of the first row, to continue the rows of another job")
    out_of_range: Literal["error", "skip", "extrapolate"] | None = Field(
        None,
        description="treatment of particles outside the model's training range; extrapolate applies to energies and "
        "vertices, and to positions and slopes at the face: unknown species remain an error, and are left out of whole "
        "events; default: skip for whole events (HepMC, tables of lists), otherwise error",
    )
    frame: Literal["vertex", "face"] | None = Field(
        None,
        description="where positions and momenta are given: vertex, at the production vertex, or face, at the face of "
        "the calorimeter, where vx and vy are the position and vz may be left out; for models that know this frame; "
        "default: what the file says, otherwise vertex",
    )
    rates: bool = Field(False, description="write the model's photon rates; default: photon counts")
    model: str | None = Field(None, description="name of the model; default: the server's default")
    version: int | None = Field(None, ge=1, description="version of the model; default: the newest")
    batch: int = Field(1024, ge=1, description="rows per request; does not change the result")
    rows_per_part: int | None = Field(
        None,
        ge=1,
        description="rows per part: a kill loses only unfinished parts; does not change the result; default: "
        f"{ROWS_PER_PART}",
    )
    overwrite: bool = Field(
        False, description="discard the finished parts of an earlier run; default: continue from them"
    )
    part: str | None = Field(
        None,
        description='"K/N": simulate only slice K of N, without an output file; afterwards `zdc merge`, or this '
        "command without --part, writes the output",
    )
    workers: int | None = Field(None, ge=1, description="simulate in this number of processes, with Dask")
    scheduler: str | None = Field(None, description="simulate on the workers of a Dask scheduler, e.g. tcp://host:8786")
    quiet: bool = Field(False, description="print errors only")
    models: Path | None = Field(None, description="without a server: folder of models; default: the shipped models")
    device: Literal["cpu", "cuda", "tensorrt", "auto"] | None = Field(
        None, description="without a server: device that computes; default: cpu"
    )

    def cli_cmd(self) -> None:
        """Run the command; on failure, print one line and exit with code 1, 2 (invalid input) or 130 (Ctrl-C)."""
        with Interrupts() as interrupts:
            try:
                code, text = 0, "\n".join(run(self, interrupts))
            except KeyboardInterrupt:
                code, text = INTERRUPTED, ""
            except (ZdcError, OSError) as error:
                code, text = exit_code(error), str(error)
        if code == 0:
            if not self.quiet:
                print(text)
            return
        folder = PartsFolder(self.output, alone=False)
        if interrupts.pending or code == INTERRUPTED:
            code, text = INTERRUPTED, f"interrupted; {kept_line(folder)}"
        elif code == FAILED and folder.numbers():
            text = f"{text}; {kept_line(folder)}"
        end("zdc simulate", text, code)


def run(command: Simulate, interrupts: Interrupts) -> list[str]:
    """Read the particles, simulate them and write the output.

    Returns
    -------
    Lines of a summary.

    Raises
    ------
    ZdcError : any error; no output file is written in this case.
    """
    chosen = Slice.parse(command.part) if command.part is not None else None
    if chosen is not None and command.overwrite:
        raise ConfigError(
            "--overwrite with --part would discard the parts of other slices; leave it out, or delete the folder "
            f"{command.output}.parts"
        )
    check_output(command.output)
    if command.input is not None and command.input.resolve() == command.output.resolve():
        raise ConfigError(f"{command.output}: --output is the input file; choose another name")
    reader = _reader(command)
    with PartsFolder(command.output, alone=chosen is None) as folder:
        if chosen is None and (command.overwrite or not folder.numbers() or folder.left_over):
            folder.restart()
        elif folder.left_over:
            raise ConfigError(f"{folder.path}: remainder of an earlier job; delete the folder")
        with _workers(command, interrupts) as workers:
            job = _begin(command, reader, folder, workers)
            with Display("zdc simulate", command.quiet) as display:
                production = Production(job, folder, reader, workers, display.show, interrupts.check)
                totals = production.run(chosen, None) if chosen else produce(production, job, folder)
    if chosen is None:
        wrote = f"wrote {command.output} ({command.what})"
    else:
        wrote = (
            f"slice {chosen}: {counted_are(totals.parts, 'part')} in {folder.path}; when all slices are done, run zdc "
            "merge"
        )
    return [read_line(reader), *totals.lines(job), wrote]


def _begin(command: Simulate, reader: ParticleReader, folder: PartsFolder, workers: Workers) -> BulkJob:
    """The job of the folder, started now or earlier; raises ConfigError if it differs from the command's job."""
    begun = folder.job()
    if begun is None:
        job = _job(command, reader, None, workers)
        begun = folder.start(job)
        if begun == job:
            return job
    # Started earlier, or just now by another slice, which may have drawn another seed.
    _job(command, reader, begun, workers).check_same(begun, folder.path)
    return begun


def _job(command: Simulate, reader: ParticleReader, begun: BulkJob | None, workers: Workers) -> BulkJob:
    """The job of the command; options that were not given are taken from `begun`, the job in the folder, if any."""
    if command.seed is not None:
        check_seed(command.seed, command.first_row)
    model, version = command.model, command.version
    if begun is not None:
        model, version = model or begun.model, version or begun.version
    identity = workers.identify(ModelChoice(model, version, command.rates))
    default = "skip" if reader.has_whole_events else "error"
    return BulkJob(
        **dict(identity),
        software=installed_version(),
        input=input_of(command.input, command.particle),
        tree=command.tree,
        status=_statuses(command),
        seed=_first(command.seed, begun.seed if begun else None, fresh_seed()),
        first_row=command.first_row,
        repeats=command.repeats,
        output=Output(command.what),
        out_of_range=OutOfRange(command.out_of_range or default),
        rates=command.rates,
        frame=_frame(command, reader),
        rows_per_part=_first(command.rows_per_part, begun.rows_per_part if begun else None, ROWS_PER_PART),
        server=command.server or "in process",
    )


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _reader(command: Simulate) -> ParticleReader:
    if (command.input is None) == (not command.particle):
        raise ConfigError("give particles with either --input FILE or --particle, not both")
    if command.input is None:
        if command.status is not None:
            raise ConfigError("--status needs a file of particles; leave it out, or give a file with --input")
        return ArgumentReader(command.particle)
    return open_particles(command.input, tree=command.tree, statuses=_statuses(command))


def _frame(command: Simulate, reader: ParticleReader) -> Frame:
    """The frame of the option, or else of the file."""
    stated = reader.frame
    if command.frame is None or stated in (None, command.frame):
        return Frame(command.frame or stated or Frame.VERTEX)
    raise ConfigError(
        f"--frame {command.frame}: {reader.source} says that its particles are given at the {stated}; leave --frame out"
    )


def _statuses(command: Simulate) -> tuple[int, ...] | None:
    """The status codes of the option, sorted and without duplicates, so that equal selections are the same job."""
    if command.status is None:
        return None
    if not re.fullmatch(r"\s*-?\d{1,9}(\s*,\s*-?\d{1,9})*\s*", command.status):
        raise ConfigError(f"--status {short(command.status)!r} must be whole numbers separated by commas, e.g. 1,14")
    return tuple(sorted({int(code) for code in command.status.split(",")}))


def _workers(command: Simulate, interrupts: Interrupts) -> Workers:
    backend = Backend(command.server, _client_options(command), _engine_settings(command))
    if command.workers is None and command.scheduler is None:
        return LocalWorkers(backend, interrupts.check)
    if command.workers is not None and command.scheduler is not None:
        raise ConfigError("--workers (processes on this machine) and --scheduler (a cluster): leave one out")
    if command.server is not None:
        raise ConfigError("--workers and --scheduler cannot be combined with --server; leave one out")
    return DaskWorkers(backend, interrupts.check, command.scheduler, command.workers or 0)


def _client_options(command: Simulate) -> ClientOptions:
    given = {name: getattr(command, name) for name in _FOR_SERVERS if getattr(command, name) is not None}
    if given and command.server is None:
        raise ConfigError(f"--{next(iter(given)).replace('_', '-')} needs a server; give one with --server")
    return ClientOptions(rows_per_request=command.batch, **given)


def _engine_settings(command: Simulate) -> EngineSettings:
    given = {name: getattr(command, name) for name in ("models", "device") if getattr(command, name) is not None}
    if command.server is not None and given:
        raise ConfigError(
            f"--{next(iter(given))} applies to simulation without a server; leave out --{next(iter(given))} or --server"
        )
    if command.model is not None:
        given["default_model"] = command.model  # a folder may have several models and no default
    if command.workers is not None:
        given["threads"] = max(1, usable_cores() // command.workers)
    return EngineSettings(**given)
