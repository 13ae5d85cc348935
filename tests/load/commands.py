"""Common parts of the commands: options, model, and the line "not run" if there is no GPU."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import machine, versions
from zdc_common.errors import ConfigError, ZdcError
from zdc_service.engine.model_store import StoredModel, models_folder, read_model, versions_with_card
from zdc_service.engine.providers import Placement, place
from zdc_service.settings import EngineSettings

#: The default model: the published figures were measured with it.
MODEL = "zn-e2esae"


def common_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of all benchmarks; the first line of `description` is shown."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, help="folder of models; default: the shipped ones")
    parser.add_argument("--model", help="name of the model; default: zn-e2esae, or the folder's first")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="cpu", help="default: %(default)s")
    return parser


def parser_for(description: str | None, seconds: float, rounds: int) -> argparse.ArgumentParser:
    """`common_parser` for measurements in rounds; `seconds` and `rounds` are defaults."""
    parser = common_parser(description)
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="duration of one measurement; default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="measurements of each way; default: %(default)s")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; ends the command if one is invalid."""
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds} must be at least 1")
    return options


@contextmanager
def one_line_errors(parser: argparse.ArgumentParser, device: str) -> Iterator[None]:
    """Report errors of the options or the machine in one line; "not run" if CUDA is unavailable.

    SIGTERM raises an exception, so that the command ends its servers, too.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    except ConfigError as error:
        if device != "cuda":
            parser.error(str(error))
        print(f"not run: {error}")
    except (ZdcError, RuntimeError) as error:
        parser.error(str(error))


def settings_of(options: argparse.Namespace) -> EngineSettings:
    """Settings of the server, and of measurements in this process."""
    model = options.model or (MODEL if options.models is None else None)
    return EngineSettings(models=options.models, default_model=model, device=options.device)


def chosen_model(settings: EngineSettings) -> tuple[StoredModel, Placement]:
    """The model of requests without a model name, and its device.

    Raises
    ------
    ConfigError : there is no such model, or no such device.
    ModelError : the model is damaged.
    """
    models = versions_with_card(models_folder(settings.models))
    name = settings.default_model or min(models)
    if name not in models:
        raise ConfigError(f"--model {name}: not among {sorted(models)}")
    model = read_model(models[name][max(models[name])])
    return model, place(settings, model)


def facts(model: StoredModel, placement: Placement) -> list[str]:
    """Lines that describe machine, versions and model."""
    card = model.card
    flops = card.flops_per_response / 1e6
    return [
        f"machine: {machine()}",
        f"versions: {versions()}",
        f"model: {card.name} version {card.version} on {placement.provider}, {flops:.2f} MFLOP a response",
    ]


def markdown(head: list[str], rows: list[list[str]], text_columns: int) -> list[str]:
    """Lines of a Markdown table; all columns but the first `text_columns` are right-aligned."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = ["-" * width if i < text_columns else "-" * (width - 1) + ":" for i, width in enumerate(widths)]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    return [line(head), line(rule), *map(line, rows)]
