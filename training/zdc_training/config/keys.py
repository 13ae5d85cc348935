"""Every key of a configuration with its default and its description, read from the classes of the sections."""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from zdc_training.config.sections import Experiment

_WIDTH = 100
_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


@dataclass(frozen=True)
class Key:
    """One key of a configuration.

    Attributes
    ----------
    section : Empty for a key above the first section.
    default : JSON value; None if the key is absent by default.
    meaning : Description with unit and allowed values.
    """

    section: str
    name: str
    default: Any
    meaning: str

    @property
    def dotted(self) -> str:
        """The name for `--set`."""
        return f"{self.section}.{self.name}".lstrip(".")

    def lines(self, value: Any, note: str = "") -> list[str]:
        """Lines of a TOML file: the meaning as comments, then the key with `value`, as a comment if it is None."""
        comments = textwrap.wrap(f"{self.meaning}{note}", _WIDTH, initial_indent="# ", subsequent_indent="#   ")
        text = json.dumps(value, ensure_ascii=False)
        return [*comments, f"# {self.name} = ..." if value is None else f"{self.name} = {text}"]


def keys_of(kind: type[Experiment]) -> list[Key]:
    """The keys of a method's configuration; keys without a section come first."""
    alone, sections = [], []
    top = kind.model_json_schema()["properties"]
    for name, field in kind.model_fields.items():
        if isinstance(field.default, BaseModel):
            properties = type(field.default).model_json_schema()["properties"]
            sections += [_key(name, *item) for item in properties.items()]
        else:
            doc = {"description": str(kind.__doc__).partition("\n")[0]} if name == "method" else {}
            alone.append(_key("", name, top[name] | doc))
    return alone + sections


def _key(section: str, name: str, schema: Mapping[str, Any]) -> Key:
    details = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    notes = [f"{sign} {json.dumps(details[bound])}" for bound, sign in _BOUNDS.items() if bound in details]
    if "enum" in details:
        notes = [" or ".join(json.dumps(choice) for choice in details["enum"])]
    meaning = "; ".join([schema["description"].rstrip("."), *notes])
    return Key(section, name, schema.get("default"), meaning)


def as_toml(config: Experiment) -> str:
    """A configuration as a TOML file with a comment for each key."""
    values = config.model_dump(mode="json")
    blocks: list[str] = []
    section = ""
    for key in keys_of(type(config)):
        if key.section != section:
            section = key.section
            blocks.append(f"[{section}]")
        value = values[section][key.name] if section else values[key.name]
        note = "" if key.default in (None, value) else f" (default: {json.dumps(key.default, ensure_ascii=False)})"
        blocks.append("\n".join(key.lines(value, note)))
    return "\n\n".join(blocks) + "\n"


def all_keys(kinds: Mapping[str, type[Experiment]]) -> str:
    """The keys of all methods with their defaults; a key that some methods lack names its methods.

    Parameters
    ----------
    kinds : Configuration classes by the name of the method.
    """
    owners: dict[Key, list[str]] = {}
    for method, kind in kinds.items():
        for key in keys_of(kind):
            if key.dotted != "method":
                hashable = Key(key.section, key.name, _frozen(key.default), key.meaning)
                owners.setdefault(hashable, []).append(method)
    order = list(dict.fromkeys(key.section for key in owners))
    blocks = [f"# method = {' or '.join(json.dumps(method) for method in kinds)}"]
    for section in order:
        blocks += [f"[{section}]"] if section else []
        for key in sorted((key for key in owners if key.section == section), key=lambda key: -len(owners[key])):
            whose = f"of method {' or '.join(owners[key])}: " if len(owners[key]) < len(kinds) else ""
            shown = Key(key.section, key.name, key.default, whose + key.meaning)
            blocks.append("\n".join(shown.lines(key.default)))
    return "\n\n".join(blocks) + "\n"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def unknown_key(dotted: str, kind: type[Experiment], others: Mapping[str, type[Experiment]]) -> str:
    """Message on an unknown key: the most similar key, or the methods that have it."""
    owners = [method for method, other in others.items() if dotted in {key.dotted for key in keys_of(other)}]
    if owners:
        return f"{dotted}: no key of this method; {', '.join(owners)} {'has' if len(owners) == 1 else 'have'} it"
    keys = keys_of(kind)
    places = [key.dotted for key in keys if key.name == dotted.rpartition(".")[2]]
    return f"{dotted}: no such key{did_you_mean(dotted, [key.dotted for key in keys], places)}"


def did_you_mean(word: str, known: Iterable[str], first: Sequence[str] = ()) -> str:
    """A question with the word most similar to a mistyped one; empty if no word is similar.

    Parameters
    ----------
    first : Candidates with precedence over `known`.
    """
    near = [*first, *get_close_matches(word, list(known), n=1)][:1]
    return f"; did you mean {near[0]}?" if near else ""
