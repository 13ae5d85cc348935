"""Commands of `train-zdc` that a page of the documentation lists, run in this process."""

import re
import shlex
from pathlib import Path

from zdc_training.cli import main

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def commands(page: str, after: str) -> list[list[str]]:
    """The indented commands of a how-to page that follow the text `after`, as words."""
    block = (HOW_TO / page).read_text().split(f"{after}\n\n")[1].split("\n\n")[0]
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in block.splitlines()]
    return [shlex.split(line) for line in lines]


def run_command(words: list[str]) -> None:
    """Run `train-zdc` with these words; it must succeed."""
    code: object = 0
    try:
        main(words)
    except SystemExit as ended:  # check-data ends with its verdict
        code = ended.code
    assert not code
