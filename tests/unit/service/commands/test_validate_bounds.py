from dataclasses import dataclass

import pytest
from zdc_common.errors import ConfigError, InvalidInputError
from zdc_service.commands.bounds import Bound, Kind


@dataclass(frozen=True)
class Figure:
    value: float | None
    ratio: float | None = None


FIGURES = {"auc": Figure(0.6), "crps": Figure(4.5, 1.2), "dispersion": Figure(None)}


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("auc=0.65", Kind.ABOVE, None),
        ("auc=0.6", Kind.ABOVE, None),
        ("auc=0.55", Kind.ABOVE, "auc = 0.6 is above 0.55"),
        ("crps_ratio=1.1", Kind.ABOVE, "crps_ratio = 1.2 is above 1.1"),
        ("crps=1.1", Kind.BELOW, None),
        (" crps_ratio =1.3", Kind.BELOW, "crps_ratio = 1.2 is below 1.3"),
    ],
)
def test_the_message_names_the_figure_that_fails(text: str, kind: Kind, found: str | None) -> None:
    assert Bound.parse(text, kind).exceeded(FIGURES) == found


@pytest.mark.parametrize("text", ["auc", "auc=", "auc=high", "auc=nan", "auc=inf", ""])
def test_invalid_bounds_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be NAME=NUMBER, e\.g\. --fail-above auc=0\.65"):
        Bound.parse(text, Kind.ABOVE)


def test_unknown_figures_are_refused_before_anything_is_computed() -> None:
    for text in ("auc=1", "crps=1", "crps_ratio=1"):
        Bound.parse(text, Kind.ABOVE).check(FIGURES, ("auc", "dispersion"))
    said = "unknown figure; known are auc, crps, dispersion; all except auc, dispersion also as NAME_ratio"
    with pytest.raises(ConfigError, match=said):
        Bound.parse("aux=1", Kind.ABOVE).check(FIGURES, ("auc", "dispersion"))
    with pytest.raises(ConfigError, match="auc has no ratio to its floor; set a bound on auc"):
        Bound.parse("auc_ratio=1", Kind.ABOVE).check(FIGURES, ("auc", "dispersion"))


def test_bounds_on_undefined_figures_are_refused() -> None:
    with pytest.raises(
        InvalidInputError, match=r"auc_ratio has a bound but is not defined for these files.* or auc itself"
    ):
        Bound.parse("auc_ratio=1", Kind.ABOVE).exceeded(FIGURES)
    with pytest.raises(InvalidInputError, match="dispersion has a bound but is not defined for these files"):
        Bound.parse("dispersion=1", Kind.ABOVE).exceeded(FIGURES)
