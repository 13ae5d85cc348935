"""Reference of the gRPC interface, made from the comments of a proto file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_cells import cell

_OPEN = re.compile(r"(service|message|enum) (\w+) \{")
_RPC = re.compile(r"rpc (\w+)\((.+?)\) returns \((.+?)\);")
_FIELD = re.compile(r"(?:(.+) )?(\w+) = (\d+);")
_HEADINGS = {"service": "", "message": ("field", "type", "number", "meaning"), "enum": ("value", "number", "meaning")}


@dataclass
class Block:
    """A service, a message or an enumeration.

    Attributes
    ----------
    kind : ``service``, ``message`` or ``enum``.
    rows : Rows of its table; for a service: name, signature and comment of each method.
    """

    kind: str
    name: str
    comment: str
    rows: list[tuple[str, ...]] = field(default_factory=list)


def proto_page(text: str, link: str) -> str:
    """A section for each service, message and enumeration of a proto file.

    Parameters
    ----------
    text : Content of the file, in which each comment is above the item that it describes.
    link : Link to the file.
    """
    comment, blocks = _parsed(text)
    parts = [
        "# gRPC interface",
        f"Made from [`zdc/v1/simulation.proto`]({link}). Examples are in [gRPC and C++](../how-to/cpp.md).",
    ]
    return "\n\n".join([*parts, comment, *(part for block in blocks for part in _section(block))]) + "\n"


def _parsed(text: str) -> tuple[str, list[Block]]:
    blocks: list[Block] = []
    about, lines = "", []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("//"):
            lines.append(line.removeprefix("//").strip())
            continue
        comment, lines = "\n".join(lines), []
        if line.startswith("syntax"):
            about = comment
        elif found := _OPEN.match(line):
            blocks.append(Block(found[1], found[2], comment))
        elif found := _RPC.match(line):
            blocks[-1].rows.append((found[1], f"{found[2]} → {found[3]}", comment))
        elif found := _FIELD.match(line):
            kind = [f"`{found[1]}`"] if found[1] else []
            blocks[-1].rows.append((f"`{found[2]}`", *kind, found[3], cell(comment)))
    return about, blocks


def _section(block: Block) -> Iterator[str]:
    yield f"## {block.kind} {block.name}"
    yield block.comment
    if block.kind == "service":
        for name, signature, comment in block.rows:
            yield f"### {name}"
            yield f"`{signature}`"
            yield comment
    else:
        lines = [_HEADINGS[block.kind], ["---"] * len(_HEADINGS[block.kind]), *block.rows]
        yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
