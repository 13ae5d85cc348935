"""Common code of `batches.py` and `cpu_stages.py`: measure ways for the shipped model and for a small one."""

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

#: Lines about model and machine, the ways to measure, and the server.
Prepared = tuple[list[str], list[Way], ProcessTree]
#: Called with settings, particles per request, and requests in flight.
Prepare = Callable[[EngineSettings, int, int], AbstractContextManager[Prepared]]


def measure_two_models(
    description: str | None, seconds: float, unit: str, prepare: Prepare, table: Callable[[list[Result]], list[str]]
) -> None:
    """Print facts and a table for each model; one line "not run" if CUDA is unavailable.

    Parameters
    ----------
    description : Description of the command; its first line is shown.
    seconds : Default duration of one measurement.
    unit : Unit of the table's figures.
    prepare : Makes the ways to measure.
    table : Makes the lines of a Markdown table.
    """
    parser = parser_for(description, seconds=seconds, rounds=3)
    parser.add_argument("--particles", type=int, default=256, help="particles per request; default: %(default)s")
    parser.add_argument("--in-flight", type=int, default=8, help="requests in flight; default: %(default)s")
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
    """The chosen model; by default, the shipped one and a small one."""
    settings = settings_of(options)
    if options.models is not None or options.model is not None:
        return [settings]
    small = {"models": write_small_model(BUILD / "models"), "default_model": None}
    return [settings, settings.model_copy(update=small)]
