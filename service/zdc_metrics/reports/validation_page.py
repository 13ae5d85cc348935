"""The comparison of two samples as sections of an HTML report."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from zdc_detector.showers import Showers

from zdc_metrics.reports.face_pictures import draw_means, draw_responses
from zdc_metrics.reports.histograms import MISSED
from zdc_metrics.reports.html_report import Block, PictureBlock, ReportSection, TableBlock, TextBlock, markdown_blocks
from zdc_metrics.reports.ratio_panels import Pair, draw_histograms, draw_profiles
from zdc_metrics.reports.validation import LIMIT, Difference, Validation
from zdc_metrics.scores.quantities import Quantity, measure_particles
from zdc_metrics.scores.report import HEADINGS

_EXAMPLES = 6


def sections(found: Validation) -> list[ReportSection]:
    """Summary, compared samples, figures with floors, means, histograms, profiles and pictures."""
    first, second = found.names
    sums = _photon_sums(found)
    return [
        ReportSection("In short", list(_in_short(found))),
        ReportSection("What was compared", list(_compared(found))),
        ReportSection("Figures of merit", list(_figures(found))),
        ReportSection(
            "Photons, channels, positions and widths",
            [_histograms(found, "all"), _differences(found, "all")],
        ),
        ReportSection(
            "Photon sum against energy",
            [
                PictureBlock(
                    draw_profiles(found.compared.reference, found.compared.generated, sums, found.names),
                    f"Photon sum of each response (small points) and means in bins of energy for {first} (squares) and "
                    f"{second} (circles), with standard errors; below, {second} / {first}. The scale is linear below "
                    "10 photons.",
                )
            ],
        ),
        ReportSection("Responses", list(_faces(found))),
        *(
            ReportSection(name, [_histograms(found, name), _differences(found, name)], folded=True)
            for name in found.groups
            if name != "all"
        ),
        ReportSection("Particles", [_inputs(found)], folded=True),
    ]


def _in_short(found: Validation) -> Iterator[Block]:
    if found.report is None:
        yield TextBlock("There are no figures with floors; the section on figures of merit says why.", warning=True)
    else:
        figures = found.report.overall.figures
        beyond = found.beyond_chance
        yield TextBlock(
            f"Figures of merit: {len(beyond)} of {len(figures)} deviate significantly from those of "
            f"independent simulations of the same particles; at {found.report.level:.0%} intervals over particles, "
            "about one in ten does so by chance."
        )
        if beyond:
            heads = ("significant deviation", "generated", "interval", "floor", "interval", "ratio", "interval")
            yield TableBlock(heads, [(HEADINGS[name][0], *figures[name].cells) for name in beyond])
        if found.report.bins is not None and found.report.bins.compared:
            yield TextBlock(f"Photon sums by species and energy: {found.report.bins.summary()}")
    overall = _differences_of(found, "all")
    far = [
        f"{_label(found, one)} {one.distance:+.1f}"
        for one in overall
        if one.distance is not None and abs(one.distance) > LIMIT
    ]
    yield TextBlock(
        f"Means of all responses: {len(far)} of {len(overall)} differ by more than {LIMIT:g} standard errors"
        f"{': ' if far else ''}{', '.join(far)}."
    )
    if found.copies:
        yield TextBlock(found.copies_in_words, warning=True)


def _differences_of(found: Validation, group: str) -> tuple[Difference, ...]:
    return next(one for one in found.differences if one.name == group).differences


def _label(found: Validation, one: Difference) -> str:
    return next(quantity.label for quantity in found.measured[0] if quantity.name == one.quantity)


def _compared(found: Validation) -> Iterator[Block]:
    first, second = found.names
    compared = found.compared
    rows = [
        (name, f"{len(sample.showers)}", f"{_particles(sample.showers)}", f"{len(used)}", f"{_particles(used)}")
        for name, sample, used in (
            (first, found.reference, compared.reference),
            (second, found.generated, compared.generated),
        )
    ]
    yield TableBlock(("sample", "responses", "particles", "responses compared", "particles compared"), rows)
    if compared.paired:
        yield TextBlock(
            f"Both files have the same {compared.same_particles} particles (PDG code, momentum and vertex): "
            "the differences below come from the responses alone. Samples of the same particles scatter less about "
            "each other than the Poisson errors of the histograms."
        )
    else:
        yield TextBlock(
            f"The files have different particles ({compared.same_particles} are in both): the differences below come "
            "from the responses and from the energies and impact points of the particles. The last section shows the "
            "latter.",
            warning=True,
        )
    for text in compared.left_out:
        yield TextBlock(f"{text}.")


def _figures(found: Validation) -> Iterator[Block]:
    first, second = found.names
    if found.report is None:
        yield TextBlock(f"Not computed: {found.why_unpaired}.", warning=True)
        return
    yield TextBlock(
        f"Each figure is given with its floor: the same figure between independent simulations of the same particles "
        f"({first} against {first}), at the same sample size. {second} is compared with {first} in the same way."
    )
    yield from markdown_blocks(found.report.to_markdown())


def _histograms(found: Validation, group: str) -> PictureBlock:
    first, second = found.names
    rows = found.groups[group]
    pairs = {
        quantity: (values[rows[0]], found.measured[1][quantity][rows[1]])
        for quantity, values in found.measured[0].items()
    }
    what = "all responses" if group == "all" else group
    return PictureBlock(
        draw_histograms(pairs, found.names),
        f"{what}: {len(rows[0])} responses of {first} (filled), {len(rows[1])} of {second} (line); below, {second} / "
        f"{first}. Bars and band are Poisson errors of {second} and of {first}. Triangles are ratios above 2, "
        f"hollow if {first} has no entry although {second} predicts {MISSED:g} or more. "
        "Centroids are relative to the impact point of the particle's straight line; an empty response has no "
        "centroid and no width.",
    )


def _differences(found: Validation, group: str) -> TableBlock:
    first, second = found.names
    what = "all responses compared" if group == "all" else f"the responses of {group}"
    heads = f"mean, {first}", f"mean, {second}", "difference", "in errors", f"spread, {first}", f"spread, {second}"
    return TableBlock(
        ("quantity", *heads, "Wasserstein"),
        [
            _difference_cells(f"{_label(found, one)}{f' [{one.unit}]' * bool(one.unit)}", one)
            for one in _differences_of(found, group)
        ],
        f"Mean and standard deviation over {what}, and the Wasserstein distance of the two distributions, each in the "
        "quantity's unit. The difference of the means has its standard error over particles, all responses of a "
        "particle together.",
    )


def _difference_cells(name: str, one: Difference) -> tuple[str, ...]:
    sides = one.reference, one.generated
    distance = "–" if one.distance is None else f"{one.distance:+.1f}"
    return (
        name,
        *(_brief(side.mean) for side in sides),
        _with_error(one.difference, one.error),
        distance,
        *(_brief(side.spread) for side in sides),
        _brief(one.wasserstein),
    )


def _brief(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.4f}"


def _with_error(value: float | None, error: float | None) -> str:
    """Value and error, with two digits of the error."""
    if value is None or not error:
        return "–" if value is None else f"{value:+.2g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:+.{digits}f} ± {error:.{digits}f}"


def _faces(found: Validation) -> Iterator[Block]:
    first, second = found.names
    samples = [
        (name, sample.responses, sample.particles)
        for name, sample in zip(found.names, (found.compared.reference, found.compared.generated), strict=True)
    ]
    calorimeter = found.compared.reference.calorimeter
    yield PictureBlock(
        draw_means(samples, calorimeter),
        f"Mean responses around the impact point, by species: {first}, {second}, and {second} / {first} in fibres with "
        f"at least 25 photons in all responses of {first} together, so that its error is below 20 %; grey elsewhere.",
        "png",
    )
    if found.pairs is not None:
        simulated, generated = found.pairs
        yield PictureBlock(
            draw_responses(
                simulated.responses,
                generated.responses,
                simulated.particles,
                calorimeter,
                names=found.names,
                most=_EXAMPLES,
            ),
            f"Responses to the same particles: {first}, and framed {second}. Each row has one colour scale; the circle "
            "marks the impact point.",
            "png",
        )


def _inputs(found: Validation) -> PictureBlock:
    first, second = (measure_particles(sample) for sample in (found.compared.reference, found.compared.generated))
    pairs: Mapping[Quantity, Pair] = {quantity: (values, second[quantity]) for quantity, values in first.items()}
    return PictureBlock(
        draw_histograms(pairs, found.names),
        "Energies and impact points of the particles of both files, one entry for each response. These are inputs "
        "of the simulation.",
    )


def _photon_sums(found: Validation) -> Pair:
    first, second = ({quantity.name: values for quantity, values in one.items()} for one in found.measured)
    return first["photon_sum"], second["photon_sum"]


def _particles(sample: Showers) -> int:
    return len(np.unique(sample.particle_id))
