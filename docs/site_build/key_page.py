"""Reference of the keys of training configurations, made from the classes that declare them."""

import json
from collections.abc import Iterator, Mapping

from zdc_training.config.keys import Key, keys_of
from zdc_training.config.methods import config_classes
from zdc_training.config.sections import Experiment

from markdown_cells import cell


def key_page() -> str:
    """A table of keys for each section; it names the methods that have a key, unless all have it."""
    return "\n\n".join(_parts(config_classes())) + "\n"


def _parts(methods: Mapping[str, type[Experiment]]) -> Iterator[str]:
    yield "# Keys of training configurations"
    yield (
        "A configuration is a TOML file. `train-zdc keys` prints this list, `train-zdc keys zn-fast` a complete file "
        "to begin with. `--set section.key=value` changes a key on the command line."
    )
    yield f"`method` is one of {', '.join(f'`{method}`' for method in methods)}. Some defaults depend on it."
    owners: dict[tuple[str, str], dict[tuple[str, str], list[str]]] = {}
    for method, kind in methods.items():
        for key in keys_of(kind):
            if key.dotted != "method":
                variants = owners.setdefault((key.section, key.name), {})
                variants.setdefault((_default(key), key.meaning), []).append(method)
    for section in dict.fromkeys(section for section, _ in owners):
        yield f"## {f'[{section}]' if section else 'Above the first section'}"
        rows = [
            (f"`{name}`", default, cell(meaning), "" if len(whose) == len(methods) else ", ".join(whose))
            for (of, name), variants in owners.items()
            if of == section
            for (default, meaning), whose in variants.items()
        ]
        shown = 4 if any(row[3] for row in rows) else 3  # columns
        lines = [("key", "default", "meaning", "only in methods"), ("---",) * 4, *rows]
        yield "\n".join(f"| {' | '.join(line[:shown])} |" for line in lines)


def _default(key: Key) -> str:
    return "" if key.default is None else f"`{json.dumps(key.default, ensure_ascii=False)}`"
