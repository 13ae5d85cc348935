"""Bounds on figures of merit, as a command line gives them."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from zdc_common.errors import ConfigError, InvalidInputError

_RATIO = "_ratio"


class Kind(StrEnum):
    """Which side of a bound is wrong."""

    ABOVE = "above"
    BELOW = "below"


class Valued(Protocol):
    """A figure of merit."""

    @property
    def value(self) -> float | None:
        """Of the generated responses."""

    @property
    def ratio(self) -> float | None:
        """To the floor."""


@dataclass(frozen=True)
class Bound:
    """``NAME=NUMBER``: a figure, or with ``_ratio`` its ratio to the floor, must not be `kind` the number."""

    name: str
    limit: float
    kind: Kind

    @classmethod
    def parse(cls, text: str, kind: Kind) -> "Bound":
        """Raises ConfigError where the text is no bound."""
        name, _, number = text.partition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not math.isfinite(limit):
            raise ConfigError(f"--fail-{kind} {text!r}: is not NAME=NUMBER; write --fail-{kind} auc=0.65")
        return cls(name.strip(), limit, kind)

    def __str__(self) -> str:
        return f"{self.name} not {self.kind} {self.limit:g}"

    def check(self, figures: Collection[str], without_ratio: Collection[str]) -> None:
        """Raises ConfigError where there is no such figure, or where it has no ratio."""
        figure = self.name.removesuffix(_RATIO)
        if figure not in figures:
            raise ConfigError(
                f"--fail-{self.kind} {self.name}={self.limit:g}: unknown figure; known are {', '.join(figures)}, each "
                f"but {', '.join(without_ratio)} also as NAME{_RATIO}"
            )
        if figure != self.name and figure in without_ratio:
            raise ConfigError(
                f"--fail-{self.kind} {self.name}={self.limit:g}: {figure} is not compared with its floor as a ratio; "
                f"bound {figure} itself"
            )

    def exceeded(self, figures: Mapping[str, Valued]) -> str | None:
        """What is wrong with figures that passed `check`, or None.

        Raises
        ------
        InvalidInputError : it is not defined for these samples.
        """
        of_ratio = self.name.endswith(_RATIO)
        figure = figures.get(self.name.removesuffix(_RATIO))
        value = None if figure is None else figure.ratio if of_ratio else figure.value
        if value is None:
            raise InvalidInputError(
                f"{self.name} has a bound and is not defined here; bound another figure"
                + (f", or {self.name.removesuffix(_RATIO)} itself" if of_ratio else "")
            )
        wrong = value > self.limit if self.kind is Kind.ABOVE else value < self.limit
        return f"{self.name} = {value:.4g} is {self.kind} {self.limit:g}" if wrong else None
