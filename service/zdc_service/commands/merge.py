"""`zdc merge`: write the slices of a job to one file."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from zdc_common.commands import INTERRUPTED, end, exit_code
from zdc_common.errors import ConfigError, ZdcError
from zdc_common.interrupts import Interrupts

from zdc_service.bulk.folder import PartsFolder
from zdc_service.bulk.production import merge
from zdc_service.bulk.report import Display
from zdc_service.writers import check_output


class Merge(BaseSettings):
    """Write the parts that `zdc simulate --part K/N` has simulated to the output file.

    For example: zdc merge --output responses.h5

    Exit codes: 0 done; 1 parts are missing (the message names them); 2 an option or a file is invalid; 130 Ctrl-C.
    """

    model_config = SettingsConfigDict(env_prefix="ZDC_CLIENT_", extra="forbid")

    output: Path = Field(description="output file, as for zdc simulate; the parts are in the folder OUTPUT.parts")
    quiet: bool = Field(False, description="print errors only")

    def cli_cmd(self) -> None:
        """Run the command; on failure, print one line and exit with code 1, 2 or 130."""
        with Interrupts() as interrupts:
            try:
                lines = run(self, interrupts)
            except KeyboardInterrupt:
                end("zdc merge", "interrupted; the parts are unchanged", INTERRUPTED)
            except (ZdcError, OSError) as error:
                end("zdc merge", str(error), exit_code(error))
        if not self.quiet:
            print("\n".join(lines))


def run(command: Merge, interrupts: Interrupts) -> list[str]:
    """Merge the parts, and return the lines of a summary.

    Raises
    ------
    ZdcError : there is no such job, or parts are missing or damaged; no file is changed in this case.
    """
    check_output(command.output)
    folder = PartsFolder(command.output, alone=True)
    if not folder.path.is_dir():
        raise ConfigError(f"{folder.path}: no such folder; give the same --output as to zdc simulate --part")
    with folder, Display("zdc merge", command.quiet) as display:
        job = folder.job()
        if job is None:
            raise ConfigError(f"{folder.path}: there is no job file; run zdc simulate --part first")
        summary = folder.check_complete()
        totals = merge(job, folder, summary, display.show, interrupts.check)
    return [summary.line, *totals.lines(job), f"wrote {command.output} ({job.output})"]
