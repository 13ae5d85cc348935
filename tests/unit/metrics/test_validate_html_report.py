from pathlib import Path

import numpy as np
import pytest
from helpers.callers.report_page import ReportPage
from matplotlib.figure import Figure
from zdc_metrics.reports.html_report import (
    Block,
    PictureBlock,
    ReportSection,
    TableBlock,
    TextBlock,
    markdown_blocks,
    unbroken,
    write_report,
)
from zdc_metrics.reports.plot_style import encoded


def curve() -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot(np.arange(5), np.arange(5) ** 2)
    return figure


def test_a_report_is_one_file_with_all_in_it(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    blocks: list[Block] = [
        TextBlock("plain"),
        TextBlock("careful", warning=True),
        TableBlock(("name", "value"), [("a", "1.5"), ("b", "–")], "of two"),
        PictureBlock(curve(), "a curve"),
        PictureBlock(curve(), "a photograph", "png"),
    ]
    write_report(
        path,
        "Title",
        [ReportSection("First", blocks), ReportSection("Second", [TextBlock("hidden")], folded=True)],
        "lead",
    )
    page = ReportPage.read(path)
    page.check_images()
    assert [kind for kind, _ in page.images] == ["data:image/svg+xml", "data:image/png"]
    assert page.links == ["#section-1", "#section-2"]
    assert page.tables == [[["name", "value"], ["a", "1.5"], ["b", "–"]]]
    for text in ("Title", "lead", "plain", "careful", "of two", "a curve", "hidden"):
        assert text in page.text
    html = path.read_text()
    assert '<td>a</td><td class="number">1.5</td>' in html
    assert '<p class="warning" role="note">careful</p>' in html
    assert html.count("<details>") == html.count("<summary>") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_never_taken_for_html(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> & \"quotes\" 'too'"
    path = tmp_path / "report.html"
    write_report(
        path,
        evil,
        [ReportSection(evil, [TextBlock(evil), TableBlock((evil,), [(evil,)], evil), PictureBlock(curve(), evil)])],
        evil,
    )
    assert "<script>" not in path.read_text()
    page = ReportPage.read(path)
    assert page.text.count(evil) == 10  # title twice, lead, link, heading, paragraph, caption, two cells, picture
    assert page.tables == [[[evil], [evil]]]


def test_cells_break_between_numbers_that_stand_for_themselves() -> None:
    for cell, parts in {
        "0.9 / 1 [0.8, -1.2], if right [0.9, 1.1]": ["0.9 / 1", "[0.8, -1.2],", "if", "right", "[0.9, 1.1]"],
        "1.1 ± 0.2 (+0.5; –)": ["1.1 ± 0.2", "(+0.5; –)"],
        "plain words, and more": ["plain", "words,", "and", "more"],
    }.items():
        assert [part.replace("\N{NO-BREAK SPACE}", " ") for part in unbroken(cell).split(" ")] == parts


def test_columns_of_numbers_are_set_to_the_right() -> None:
    rows = [("n", "-6.7e-05", "[1, 2]", "1.5"), ("e", "1e+03", "–", "one")]
    assert TableBlock(("", "a", "b", "c"), rows).numeric == [False, True, True, False]


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert encoded(curve(), "svg") == encoded(curve(), "svg")


def test_a_table_needs_rows_as_long_as_each_other() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = TableBlock(("a", "b"), [("1", "2"), ("3",)]).numeric


def test_paragraphs_and_tables_of_markdown_are_found() -> None:
    text = "One line\nand another.\n\n| a | b |\n| --- | --- |\n| x | 1.5 |\n\n## Head\n\n| c |\n| --- |\n"
    assert list(markdown_blocks(text)) == [
        TextBlock("One line and another."),
        TableBlock(["a", "b"], [["x", "1.5"]]),
        TextBlock("Head"),
        TableBlock(["c"], []),
    ]
