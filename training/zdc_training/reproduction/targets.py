"""The targets of `train-zdc reproduce`: runs, then table and figures, then a page with all of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

from matplotlib.figure import Figure
from zdc_metrics.reports.html_report import (
    Block,
    PictureBlock,
    ReportSection,
    TableBlock,
    TextBlock,
    markdown_blocks,
    write_report,
)
from zdc_metrics.reports.plot_style import save_figure

from zdc_training.reproduction.examples import draw_fig3
from zdc_training.reproduction.latents import draw_fig1, draw_fig8, latents_of
from zdc_training.reproduction.runs import CVAE, E2ESAE, TABLE1, Finished, Reproduction, TableModel, prepare
from zdc_training.reproduction.table1 import Table1
from zdc_training.runs.provenance import read_provenance
from zdc_training.runs.run import Run

Target = Literal["table1", "fig1", "fig3", "fig8"]
TARGETS: tuple[Target, ...] = get_args(Target)
REPORT = "report.html"

#: Models of each figure, with one training each.
_ENTRIES = {"fig1": (E2ESAE, CVAE), "fig3": TABLE1, "fig8": (E2ESAE,)}


def reproduce(target: Target, reproduction: Reproduction) -> Path:
    """Train the missing models, write the files of a target and a page; returns the path of the page.

    `table1` writes ``table1.json``, ``table1.md``, ``table1.png`` and all figures; a figure writes ``<name>.png``. The
    page is a single HTML file.

    Parameters
    ----------
    target : Table or figure of the paper.
    reproduction : Options for the runs.
    """
    entries, seeds = (
        (TABLE1, range(1, reproduction.seeds + 1)) if target == "table1" else (_ENTRIES[target], range(1, 2))
    )
    finished = prepare(reproduction, entries, list(seeds))
    wanted = TARGETS if target == "table1" else (target,)
    sections = [section for name in wanted for section in _sections(name, finished, reproduction.folder)]
    page = reproduction.folder / (REPORT if target == "table1" else f"{target}.html")
    write_report(page, f"The paper's comparison of generative models, on {_what(finished[0].run)}", sections)
    return page


def _what(run: Run) -> str:
    record = read_provenance(run)
    return record.title if record is not None and record.title else f"showers of {run.config().data.train.name}"


def _sections(name: Target, finished: list[Finished], folder: Path) -> Iterator[ReportSection]:
    first = {each.entry: each for each in finished if each.seed == 1}
    if name == "table1":
        table = Table1(finished)
        table.write(folder)
        drawing = table.draw()
        save_figure(drawing, folder / "table1.png")
        blocks: list[Block] = [TextBlock(table.lead()), TableBlock(table.head(), table.rows())]
        blocks += [
            *map(TextBlock, table.verdicts()),
            PictureBlock(drawing, "One point per training, by figure of merit and model."),
        ]
        yield ReportSection("Table 1: conditional models", blocks)
        for each in finished:
            title = f"{each.entry.label}, seed {each.seed}"
            blocks = [TextBlock(f"Run {each.run.folder.name}."), *markdown_blocks(each.report.to_markdown())]
            yield ReportSection(title, blocks, folded=True)
        return
    drawing, title, caption = _drawn(name, first)
    save_figure(drawing, folder / f"{name}.png")
    yield ReportSection(title, [PictureBlock(drawing, caption, format="png")])


def _drawn(name: Target, first: Mapping[TableModel, Finished]) -> tuple[Figure, str, str]:
    """A figure, its title and its caption, from one training of each model."""
    if name == "fig1":
        caption = (
            "t-SNE of the latents of simulated validation showers, coloured by species (left) and by energy (right)."
        )
        models = [latents_of(first[entry]) for entry in _ENTRIES["fig1"]]
        return draw_fig1(models), "Figure 1: latents of the encoders", caption
    if name == "fig3":
        caption = "One simulation of each test particle, and one response of each model."
        return draw_fig3([first[entry] for entry in TABLE1]), "Figure 3: responses by model", caption
    caption = "t-SNE of the latents of encoded showers and of the noise generator for the same particles."
    return draw_fig8(latents_of(first[E2ESAE])), "Figure 8: encoded and generated latents", caption
