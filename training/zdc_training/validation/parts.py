"""The parts of the validation, by the names of the option ``--parts``."""

from typing import Literal, get_args

Part = Literal["response", "shipped", "leakage", "settings"]
PARTS: tuple[Part, ...] = get_args(Part)
