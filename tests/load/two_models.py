"""What `batches.py` and `cpu_stages.py` do alike: ways to responses, for the shipped model and for a small one."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager

from commands import one_line_errors, parsed, parser_for, settings_of
from load_generator import BUILD
from measuring import Result, Way, interleaved
from process_tree import ProcessTree
from small_model import write_small_model
from zdc_service.allocator import keep_large_buffers
from zdc_service.settings import EngineSettings

#: Facts about what is measured, the ways to measure, and the server.
Prepared = tuple[list[str], list[Way], ProcessTree]
#: From settings, particles of a request, and requests under way.
Prepare = Callable[[EngineSettings, int, int], AbstractContextManager[Prepared]]


def measure_two_models(
    description: str | None, seconds: float, unit: str, prepare: Prepare, table: Callable[[list[Result]], list[str]]
) -> None:
    """Print facts and a table for each model; one line "not run" where CUDA is asked for and cannot be had.

    Parameters
    ----------
    description : Of the command; its first line is shown.
    seconds : Default for one measurement.
    unit : What the table's figures are.
    prepare : What is measured.
    table : Lines of a Markdown table of it.
    """
    parser = parser_for(description, seconds=seconds, rounds=3)
    parser.add_argument("--particles", type=int, default=256, help="of a request; default: %(default)s")
    parser.add_argument("--in-flight", type=int, default=8, help="requests under way; default: %(default)s")
    options = parsed(parser)
    keep_large_buffers()  # as the service does
    with one_line_errors(parser, options.device):
        for settings in models_of(options):
            with prepare(settings, options.particles, options.in_flight) as (lines, ways, server):
                print("\n".join(lines), flush=True)
                results = interleaved(ways, options.seconds, options.rounds, server.cpu_seconds)
            print(f"{unit}, medians of {options.rounds} interleaved rounds of {options.seconds:g} s a way\n")
            print("\n".join([*table(results), ""]), flush=True)


def models_of(options: argparse.Namespace) -> list[EngineSettings]:
    """The model that was asked for; else the shipped one, and a small one."""
    settings = settings_of(options)
    if options.models is not None or options.model is not None:
        return [settings]
    small = {"models": write_small_model(BUILD / "models"), "default_model": None}
    return [settings, settings.model_copy(update=small)]
