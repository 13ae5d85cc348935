"""Bounds on figures of merit, from the options ``--fail-above`` and ``--fail-below``."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from zdc_common.errors import ConfigError, InvalidInputError

_RATIO = "_ratio"


class Kind(StrEnum):
    """The side of the bound on which a figure fails."""

    ABOVE = "above"
    BELOW = "below"


class Valued(Protocol):
    """A figure of merit."""

    @property
    def value(self) -> float | None:
        """Value for the generated responses."""

    @property
    def ratio(self) -> float | None:
        """Ratio of the value to the floor."""


@dataclass(frozen=True)
class Bound:
    """``NAME=NUMBER``: the figure NAME (with ``_ratio``: its ratio to the floor) fails if it is `kind` NUMBER."""

    name: str
    limit: float
    kind: Kind

    @classmethod
    def parse(cls, text: str, kind: Kind) -> "Bound":
        """Parse ``NAME=NUMBER``; raises ConfigError if the text has another form."""
        name, _, number = text.partition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not math.isfinite(limit):
            raise ConfigError(f"--fail-{kind} {text!r} must be NAME=NUMBER, e.g. --fail-{kind} auc=0.65")
        return cls(name.strip(), limit, kind)

    def __str__(self) -> str:
        return f"{self.name} not {self.kind} {self.limit:g}"

    def check(self, figures: Collection[str], without_ratio: Collection[str]) -> None:
        """Raise ConfigError if there is no such figure, or no ratio of it."""
        figure = self.name.removesuffix(_RATIO)
        if figure not in figures:
            raise ConfigError(
                f"--fail-{self.kind} {self.name}={self.limit:g}: unknown figure; known are {', '.join(figures)}; all "
                f"except {', '.join(without_ratio)} also as NAME{_RATIO}"
            )
        if figure != self.name and figure in without_ratio:
            raise ConfigError(
                f"--fail-{self.kind} {self.name}={self.limit:g}: {figure} has no ratio to its floor; "
                f"set a bound on {figure}"
            )

    def exceeded(self, figures: Mapping[str, Valued]) -> str | None:
        """A message if the figure fails the bound, otherwise None; call `check` first.

        Raises
        ------
        InvalidInputError : the figure is not defined for these samples.
        """
        of_ratio = self.name.endswith(_RATIO)
        figure = figures.get(self.name.removesuffix(_RATIO))
        value = None if figure is None else figure.ratio if of_ratio else figure.value
        if value is None:
            raise InvalidInputError(
                f"{self.name} has a bound but is not defined for these files; set a bound on another figure"
                + (f", or {self.name.removesuffix(_RATIO)} itself" if of_ratio else "")
            )
        wrong = value > self.limit if self.kind is Kind.ABOVE else value < self.limit
        return f"{self.name} = {value:.4g} is {self.kind} {self.limit:g}" if wrong else None
