"""`zdc merge`: the slices of a job to one file."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from zdc_common.commands import INTERRUPTED, end, exit_code
from zdc_common.errors import ConfigError, ZdcError
from zdc_common.interrupts import Interrupts

from zdc_service.bulk.folder import PartsFolder
from zdc_service.bulk.production import merge
from zdc_service.bulk.report import Display
from zdc_service.files import check_output


class Merge(BaseSettings):
    """Put the parts that `zdc simulate --part K/N` made together to the output file.

    For example: zdc merge --output responses.h5

    Exit codes: 0 done; 1 parts are missing, which are then named; 2 an option or a file is wrong; 130 Ctrl-C.
    """

    model_config = SettingsConfigDict(env_prefix="ZDC_CLIENT_", extra="forbid")

    output: Path = Field(description="as given to zdc simulate; the parts are in the folder OUTPUT.parts")
    quiet: bool = Field(False, description="print nothing but what goes wrong")

    def cli_cmd(self) -> None:
        """Run; ends the process with code 1, 2 or 130 and one line on failure."""
        with Interrupts() as interrupts:
            try:
                lines = run(self, interrupts)
            except KeyboardInterrupt:
                end("zdc merge", "interrupted; the parts are as they were", INTERRUPTED)
            except (ZdcError, OSError) as error:
                end("zdc merge", str(error), exit_code(error))
        if not self.quiet:
            print("\n".join(lines))


def run(command: Merge, interrupts: Interrupts) -> list[str]:
    """Merge; lines that sum it up.

    Raises
    ------
    ZdcError : there is no such job, or parts of it are missing or damaged; nothing is changed then.
    """
    check_output(command.output)
    folder = PartsFolder(command.output, alone=True)
    if not folder.path.is_dir():
        raise ConfigError(f"{folder.path}: no such folder; name the --output that was given to zdc simulate --part")
    with folder, Display("zdc merge", command.quiet) as display:
        job = folder.job()
        if job is None:
            raise ConfigError(f"{folder.path}: has no job file; zdc simulate --part makes one")
        summary = folder.check_complete()
        totals = merge(job, folder, summary, display.show, interrupts.check)
    return [summary.line, *totals.lines(job), f"wrote {command.output} ({job.output})"]
