"""Reference of the command lines, made from their parsers."""

import argparse
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_settings import BaseSettings, CliSettingsSource

from markdown_cells import cell

_DEFAULT = re.compile(r" ?\(default: (?P<value>[^()]*(?:\([^()]*\))?)\)$| ?\(default factory: .*\)$")
_EMPTY = ("None", "False", "[]")


def command_page(command: type[BaseSettings]) -> str:
    """A page with a section for each subcommand: what it does, its usage, and a table of its options."""
    source = CliSettingsSource[Any](command, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser = source.root_parser
    assert isinstance(parser, argparse.ArgumentParser)
    models = _models(command)
    parts = [f"# Command `{parser.prog}`", parser.description or ""]
    subcommands = _subcommands(parser)
    contents = [f"- [`{parser.prog} {name}`](#{parser.prog}-{name}): {text}" for name, (_, text) in subcommands.items()]
    parts.append("\n".join(contents))
    parts.append("`--version` prints the version, `--help` after any subcommand its options.")
    for name, (subparser, _) in subcommands.items():
        parts += _section(f"{parser.prog} {name}", subparser, models[name])
    return "\n\n".join(parts) + "\n"


def _models(command: type[BaseSettings]) -> Mapping[str, type[BaseModel]]:
    found = {}
    for name, field in command.model_fields.items():
        (model,) = (kind for kind in get_args(field.annotation) if kind is not type(None))
        found[field.alias or name.replace("_", "-")] = model
    return found


def _subcommands(parser: argparse.ArgumentParser) -> Mapping[str, tuple[argparse.ArgumentParser, str]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            return {name: (subparser, texts[name]) for name, subparser in action.choices.items()}
    raise ValueError(f"{parser.prog} has no subcommands")


def _section(title: str, parser: argparse.ArgumentParser, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {title}"
    yield _description(parser.description or "")
    prefix = str(model.model_config.get("env_prefix", ""))
    rows = [_row(action, prefix) for action in parser._actions if action.dest != "help"]
    headings = ["option", "default", *(["variable"] if prefix else []), "meaning"]
    yield "\n".join([f"| {' | '.join(headings)} |", "| --- " * len(headings) + "|", *rows])


def _description(text: str) -> str:
    """Paragraphs; indented ones become blocks of code."""
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(paragraph)}\n```" if paragraph.startswith("  ") else paragraph
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text))
    )


def _row(action: argparse.Action, prefix: str) -> str:
    help_text = action.help or ""
    found = _DEFAULT.search(help_text)
    default = (found["value"] or "") if found else ""
    meaning = help_text[: found.start()] if found else help_text
    field = action.dest.rpartition(".")[2]
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or field.upper()}`"
    if action.choices:
        meaning += f" ({', '.join(f'`{choice}`' for choice in action.choices)})"
    cells = [names, f"`{default}`" if default not in ("", *_EMPTY) else ""]
    if prefix:
        cells.append(f"`{prefix}{field.upper()}`" if action.option_strings else "")
    return "| " + " | ".join([*cells, cell(meaning)]) + " |"
