"""The results as rows of tables, with the published figure beside ours where there is one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zdc_training.validation.plan import AS_SET_UP, NAMES
from zdc_training.validation.probes import light_variants
from zdc_training.validation.response import (
    Cloud,
    Response,
    Value,
    by_place,
    e_over_h,
    ratio_of_means,
    resolution_fit,
)
from zdc_training.validation.shipped import Compared
from zdc_training.validation.studies import Probed, Study


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes
    ----------
    section, what : Table and quantity.
    value : Ours.
    unit : Unit of the value; empty for a ratio or a share.
    published : A published figure to compare with; empty if none was found.
    source : Where it was published.
    """

    section: str
    what: str
    value: Value
    unit: str = ""
    published: str = ""
    source: str = ""


#: Energies [GeV] from which the resolution is fitted, and the edge and the angle are shown.
_FIT_FROM, _PLACE_FROM = 10.0, 30.0
_EDGES = (-0.2, 0.0, 0.1, 0.3, 0.6, 1.2, 2.4, 3.6)  # [cm]
_SLOPES = (2e-5, 1e-4, 5e-4, 1.5e-3, 5e-3)

_HF = (
    "CMS HF calorimeter, iron with quartz fibres: 'Hadron energy measurement with a highly non-compensating quartz "
    "fiber calorimeter' (abstract)"
)
_P54 = "A. Contin, P. Gorodetzky et al., 'Development of quartz fiber calorimetry', CERN DRDC 94-4 / P54 (abstract)"
_CMS_ZDC = "CMS ZDC, tungsten with quartz fibres: O. Suranyi et al., arXiv:2102.06640; indico.cern.ch/event/642256"


def response_rows(
    detector: str, found: Mapping[str, Sequence[Response]], hadron: str, cloud: Cloud, codes: Sequence[int]
) -> Iterator[Row]:
    """Linearity, resolution, e/h, edge and angle of one calorimeter.

    Parameters
    ----------
    found : Response by species; ``electromagnetic`` and `hadron` are needed.
    cloud : All showers.
    codes : PDG codes of the hadron.
    """
    section = f"{detector}: response"
    for name, by_energy in found.items():
        high = [r for r in by_energy if r.energy > _FIT_FROM]
        if len(high) > 2:
            a, b = resolution_fit(high)
            yield Row(section, f"{name}: a of sigma/E = a / sqrt(E) (+) b", _percent(a), "% GeV^1/2")
            yield Row(section, f"{name}: b", _percent(b), "%")
        low, top = (high or by_energy)[0], by_energy[-1]
        ratio = top.per_gev.value / low.per_gev.value
        error = ratio * np.hypot(top.per_gev.error / top.per_gev.value, low.per_gev.error / low.per_gev.value)
        what = f"{name}: photons per GeV at {top.energy:.0f} GeV over those at {low.energy:.0f} GeV"
        yield Row(section, what, Value(ratio, float(error)))
    hadrons = found[hadron]
    yield Row(section, "e/h", e_over_h(hadrons, found["electromagnetic"]), "", "5 (another calorimeter)", _HF)
    top = hadrons[-1]
    published = ("peaks of 1, 2 and 3 neutrons of 2.56 TeV are separate (another calorimeter)", _CMS_ZDC)
    what = f"{hadron}: sigma/E at {top.energy:.0f} GeV"
    yield Row(section, what, _percent(top.resolution), "%", *(published if top.energy > 2000 else ("", "")))
    for r in hadrons:
        if 100 < r.energy < 1000:
            what = f"{hadron}, {r.energy:.0f} GeV: radius with half of the light"
            yield Row(section, what, r.half, "cm", "visible size of hadronic showers 'of the order of 1 cm'", _P54)
    for start, end, value in by_place(cloud, codes, _PLACE_FROM, "edge", _EDGES):
        yield Row(
            section, f"{hadron} above {_PLACE_FROM:g} GeV, {start:g} to {end:g} cm inside the edge", value, "1/GeV"
        )
    for start, end, value in by_place(cloud, codes, _PLACE_FROM, "slope", _SLOPES):
        what = f"{hadron} above {_PLACE_FROM:g} GeV, {1e3 * start:g} to {1e3 * end:g} mrad to the fibres"
        yield Row(section, what, value, "1/GeV")


def _percent(value: Value) -> Value:
    return Value(100 * value.value, 100 * value.error)


def leakage_rows(detector: str, leaks: Sequence[tuple[str, tuple[Value, Value]]]) -> Iterator[Row]:
    """What leaves the real block, from a larger one: particles and the two leakages."""
    for particle, (behind, beside) in leaks:
        for where, value in (("behind", behind), ("beside", beside)):
            what = f"light {where} the block, {particle} at the centre"
            yield Row(f"{detector}: leakage", what, _percent(value), "% of all light")


def setting_rows(detector: str, studies: Sequence[tuple[str, Study]], found: dict[str, Probed]) -> Iterator[Row]:
    """Photons with one changed setting over those without, for each species."""
    as_set_up = {study.pdg: found[study.name] for what, study in studies if what == AS_SET_UP}
    for what, study in studies:
        if what == AS_SET_UP:
            continue
        ratio = ratio_of_means(found[study.name].photons, as_set_up[study.pdg].photons, paired=False)
        yield Row(f"{detector}: other settings", f"{what}: {NAMES[study.pdg]} {study.energy:g} GeV", ratio)
    for what, study in studies:
        if what != AS_SET_UP:
            continue
        probed = found[study.name]
        for number, name in enumerate(light_variants(study.set_up.light)):
            if number:
                ratio = ratio_of_means(probed.light[:, number], probed.photons, paired=True)
                yield Row(f"{detector}: other light", f"{name}: {NAMES[study.pdg]} {study.energy:g} GeV", ratio)


def shipped_rows(file: str, groups: Sequence[Compared]) -> Iterator[Row]:
    """The comparison with shipped showers."""
    for group in groups:
        section = f"against {file}"
        for what, value in (
            ("photon sum", group.photons),
            ("spread of a particle's photon sum", group.spread),
            ("width", group.width),
            ("lit fibres", group.lit),
        ):
            yield Row(section, f"{group.group}: {what}, ours over theirs", value)
        yield Row(section, f"{group.group}: empty responses", group.empty)
        yield Row(section, f"{group.group}: empty responses, theirs", group.reference_empty)
