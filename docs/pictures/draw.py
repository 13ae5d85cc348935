"""Draws the pictures of docs/architecture.md: ``python docs/pictures/draw.py`` writes the SVG files beside it.

`packages.svg` follows the import rules of pyproject.toml; `particle.svg` follows the lists below.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: Distance of two lines of text, and what a box keeps free at its edges.
LINE, MARGIN = 17, 9
STYLE = """
  text { font: 13px "DejaVu Sans", Arial, sans-serif; fill: #1b2430 }
  .code { font-family: "DejaVu Sans Mono", monospace; font-size: 12px }
  .head { font-weight: bold }
  .small { font-size: 12px; fill: #52606d }
  .in { fill: #e7f0fb; stroke: #4a7ebb }
  .out { fill: #eaf6ec; stroke: #4c9a5b }
  .core { fill: #fdf1dc; stroke: #c98a1b }
  .band { fill: #f5f6f8; stroke: none }
  .room { fill: #ffffff; stroke: #8a96a3 }
  .arrow { stroke: #52606d; stroke-width: 1.6; fill: none; marker-end: url(#head) }
  .border { stroke: #b03a48; stroke-width: 1.4; stroke-dasharray: 7 5 }
  .red { fill: #b03a48; font-size: 12px }
"""

#: A step on the way of a particle: its lines, of which the first is what happens. Words in backticks are modules.
Step = tuple[str, ...]


@dataclass(frozen=True)
class Level:
    """One level of the way: the room, and what happens there on the way in and on the way back.

    Steps of a level side by side are those of HTTP and of gRPC; a single one is for both. `carried` is what passes
    between this level and the one above it, on the way in and on the way back.
    """

    room: tuple[str, ...]
    inward: tuple[Step, ...]
    back: tuple[Step, ...]
    carried: tuple[str, ...] = ()


WAY = (
    Level(
        ("caller",),
        (
            ("HTTP: POST /simulate", "JSON, rows of float32, or npy"),
            ("gRPC: SimulateRequest", "arrays as bytes"),
        ),
        (
            ("HTTP: the answer", "JSON, npy, npz or raw numbers"),
            ("gRPC: SimulateResponse", "arrays as bytes"),
        ),
    ),
    Level(
        ("serving", "connections,", "access, limits"),
        (
            ("bytes to a request", "`http/transport`", "`http/browsers`, `http/guard`:", "web pages, tokens"),
            (
                "bytes to a call (grpcio)",
                "`rpc/guard`: tokens",
                "`rpc/callers`: waits for the",
                "message, counts its time",
            ),
        ),
        (
            ("written to the connection", "`http/transport/cycle`: counts", "bytes that nobody reads"),
            ("handed to grpcio", "`rpc/callers`: counts bytes", "that nobody reads", "`rpc/window`: order in a stream"),
        ),
    ),
    Level(
        ("serving", "protocols"),
        (
            (
                "deadline and particles are read",
                "`http/exchange`: deadline",
                "`http/schema`: JSON",
                "`http/binary`: numbers",
            ),
            ("deadline and particles are read", "`rpc/service`: deadline", "`rpc/convert`: message to request"),
        ),
        (
            ("the result is encoded", "`codecs`: arrays to bytes", "`http/exchange`: headers, times"),
            ("the result is encoded", "`rpc/convert`, `rpc/wire`:", "arrays are copied once"),
        ),
    ),
    Level(
        ("simulating", "plan"),
        (
            (
                "the request is planned: `simulating/planner`",
                "the model is looked up, a missing seed is drawn, particles are checked",
                "against the card's ranges and mirrored to +z; rows get their numbers",
                "(of at most 8 rows: planned below, many at once, in `simulating/bundling`)",
            ),
        ),
        (
            (
                "the caller gets the result: `simulating/answers`",
                "on the thread of the event loop, whichever thread has computed it",
            ),
        ),
        carried=("`SimulationRequest`", "`SimulationResult`"),
    ),
    Level(
        ("simulating", "schedule"),
        (
            (
                "rows wait: `simulating/work_queue`",
                "if the queue is full, the request is refused; a free thread takes up to",
                "64 rows at once (`simulating/compute_threads`), of one or many requests;",
                "late and cancelled ones are dropped then",
            ),
        ),
        (
            (
                "rows are delivered: `simulating/job`, `simulating/bundling`",
                "a job puts the rows of each batch into their places, and the last batch",
                "completes it; small requests that were computed together get their",
                "own rows, or an error if their deadline has passed",
            ),
        ),
    ),
)

#: What a thread does with a batch, from left to right.
BATCH: tuple[Step, ...] = (
    (
        "1  noise is drawn",
        "`simulating/batch`, `zdc_detector/random`",
        "Philox(seed, stream 1, row)",
        "to normal numbers (N, Z)",
    ),
    (
        "2  the graph runs",
        "`engine/engine`, onnxruntime",
        "conditions (N, 9), noise (N, Z), pdg (N)",
        "to photon rates (N, 44, 44)",
    ),
    (
        "3  photons are drawn",
        "`zdc_detector/finish`, `zdc_detector/kernels`",
        "Philox(seed, stream 2, row)",
        "to counts (N, 44, 44) and channel sums (N, 5)",
    ),
)

#: Number of the level below which other threads compute.
WAIT_BELOW = 3


def main() -> None:
    """Write all pictures."""
    for name, picture in pictures().items():
        (HERE / name).write_text(picture)


def pictures() -> dict[str, str]:
    """Text of each SVG file by name."""
    return {"packages.svg": packages(), "particle.svg": particle()}


def svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """A whole file."""
    body = "\n".join(parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L8 4 L0 8 z" fill="#52606d"/></marker></defs>
<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>
{body}
</svg>
"""


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A box of a class of `STYLE`."""
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>'


def text(x: float, y: float, words: str, kind: str = "", middle: bool = False) -> str:
    """A line of text; what is between backticks is code."""
    pieces = [
        f'<tspan class="code">{escape(piece)}</tspan>' if place % 2 else escape(piece)
        for place, piece in enumerate(words.split("`"))
    ]
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{anchor}>{"".join(pieces)}</text>'


def lines(x: float, y: float, cell: Sequence[str], first: str = "", rest: str = "") -> list[str]:
    """Lines of text below each other; the first one may have another class."""
    return [text(x, y + LINE * place, words, rest if place else first) for place, words in enumerate(cell)]


def arrow(*points: tuple[float, float]) -> str:
    """A line through points, with its head at the last one."""
    path = " L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path class="arrow" d="M{path}"/>'


def rules() -> dict[str, list[list[str]]]:
    """Layers of pyproject.toml by the package that they divide, from the top; rooms of one layer side by side."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {
        each["containers"][0]: [[room.strip() for room in layer.split("|")] for layer in each["layers"]]
        for each in contracts
        if each["type"] == "layers" and "containers" in each
    }


def packages() -> str:
    """Packages and rooms by layer: a room imports only rooms below it."""
    layers = rules()
    parts: list[str] = []
    left, middle = ("zdc_service", "zdc_service.client"), ("serving", "simulating")
    heights = [
        column(parts, 20, 44, 430, [(name, layers[name]) for name in left]),
        column(parts, 480, 44, 330, [(f"zdc_service.{name}", layers[f"zdc_service.{name}"]) for name in middle]),
        column(parts, 840, 44, 320, [("zdc_training", layers["zdc_training"])]),
    ]
    y = 44 + max(heights) + 14
    parts.append(
        text(20, 26, "Imports point downwards: a room may use the rooms below it, never those above or beside it.")
    )
    for name, said in (
        ("zdc_metrics", "how close generated responses are to simulated ones"),
        ("zdc_readers", "particles from HepMC, ROOT, Parquet, CSV and HDF5 files, and from the command line"),
        ("zdc_detector", "particles, calorimeter, random streams, photon draws, model card, shower files"),
        ("zdc_common", "errors, command lines, whole files, compiled functions"),
    ):
        inside = layers.get(name, [])
        height = 34 + 30 * len(inside)
        parts += [box(20, y, 1140, height, "core"), text(32, y + 22, f"`{name}`", "head"), text(170, y + 22, said)]
        for place, layer in enumerate(inside):
            parts += rooms(32, y + 32 + 30 * place, 1116, layer)
        y += height + 12
    return svg(1180, y + 4, "Packages and rooms of zdc-fastsim, imports downwards", parts)


def column(parts: list[str], x: float, y: float, width: float, frames: list[tuple[str, list[list[str]]]]) -> float:
    """Frames of layers below each other; returns their height."""
    top = y
    for name, layers in frames:
        height = 38 + 34 * len(layers)
        kind = "out" if name == "zdc_training" else "in" if name == "zdc_service" else "band"
        inside = f"inside `{name.removeprefix('zdc_service.')}`" if "." in name else f"`{name}`"
        parts += [box(x, y, width, height, kind), text(x + 12, y + 22, inside, "head")]
        for place, layer in enumerate(layers):
            parts += rooms(x + 12, y + 32 + 34 * place, width - 24, layer)
        y += height + 12
    return y - 12 - top


def rooms(x: float, y: float, width: float, layer: Sequence[str]) -> list[str]:
    """Boxes side by side, as wide as their names need."""
    letters = sum(len(room) + 3 for room in layer)
    parts = []
    for room in layer:
        share = (width - 6 * (len(layer) - 1)) * (len(room) + 3) / letters
        parts += [box(x, y, share, 26, "room"), text(x + share / 2, y + 17, f"`{room}`", middle=True)]
        x += share + 6
    return parts


def particle() -> str:
    """The way of one particle from the caller to the graph and back."""
    left, right, width, gap = 150.0, 670.0, 500.0, 12.0
    parts = [
        text(left + width / 2, 26, "in", "head", middle=True),
        text(right + width / 2, 26, "and back", "head", middle=True),
    ]
    y = 40.0
    for number, level in enumerate(WAY):
        height = 2 * MARGIN + LINE * max(len(step) for step in (*level.inward, *level.back)) - 2
        parts.append(box(10, y - 8, 1170, height + 16, "band"))
        parts += lines(22, y + 22, level.room, "head", "small")
        for x, steps, kind in ((left, level.inward, "in"), (right, level.back, "out")):
            share = (width - gap * (len(steps) - 1)) / len(steps)
            for place, step in enumerate(steps):
                at = x + place * (share + gap)
                parts += [box(at, y, share, height, kind), *lines(at + MARGIN, y + MARGIN + 11, step, "head")]
                if place == 0 and level.carried:
                    what = level.carried[0 if kind == "in" else 1]
                    parts.append(text(x + width / 2 + 10, y - 11, what, "small"))
                if number:
                    middle = at + share / 2
                    ends = ((middle, y - 28), (middle, y - 2))
                    parts.append(arrow(*(ends if kind == "in" else ends[::-1])))
        y += height + 30
        if number == WAIT_BELOW:
            parts += border(y - 15, "event loop above, compute threads below (a lone small request stays on the loop)")
            y += 14
    height = 2 * MARGIN + LINE * max(map(len, BATCH)) - 2
    parts += [
        box(10, y - 8, 1170, height + 16, "band"),
        *lines(22, y + 22, ("engine", "one batch", "on one thread"), "head", "small"),
    ]
    share = (right + width - left - 2 * 30) / 3
    for place, step in enumerate(BATCH):
        at = left + place * (share + 30)
        parts += [box(at, y, share, height, "core"), *lines(at + MARGIN, y + MARGIN + 11, step, "head")]
        if place:
            parts.append(arrow((at - 28, y + height / 2), (at - 2, y + height / 2)))
    for at, ends in ((left + share / 2, (y - 28, y - 2)), (right + width - share / 2, (y - 2, y - 28))):
        parts.append(arrow((at, ends[0]), (at, ends[1])))
    return svg(1190, y + height + 20, "The way of one particle from a request to photon counts and back", parts)


def border(y: float, said: str) -> list[str]:
    """A line across the picture."""
    return [f'<path class="border" d="M10 {y:g} H1180"/>', text(412, y + 14, said, "red")]


if __name__ == "__main__":
    main()
