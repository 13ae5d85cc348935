"""The comparison of two samples as sections of an HTML report."""

from collections.abc import Iterator, Mapping

import numpy as np
from zdc_detector.showers import Showers

from zdc_metrics.face_pictures import draw_means, draw_responses
from zdc_metrics.html_report import Block, Picture, Section, Table, Text, markdown_blocks
from zdc_metrics.quantities import Quantity, measure_particles
from zdc_metrics.ratio_panels import Pair, draw_histograms, draw_profiles
from zdc_metrics.validation import Difference, Validation

_EXAMPLES = 6


def sections(found: Validation) -> list[Section]:
    """What was compared, the figures with floors, means and spreads, histograms, profiles, pictures."""
    first, second = found.names
    sums = _photon_sums(found)
    return [
        Section("What was compared", list(_compared(found))),
        Section("Figures of merit", list(_figures(found))),
        Section(
            "Photons, channels, positions and widths",
            [_histograms(found, "all"), _differences(found)],
        ),
        Section(
            "Photon sum against energy",
            [
                Picture(
                    draw_profiles(found.compared.reference, found.compared.generated, sums, found.names),
                    f"Photon sum of each response (small points) and means in bins of energy for {first} (squares) and "
                    f"{second} (circles), with standard errors; below, {second} / {first}. The scale is linear below "
                    "10 photons.",
                )
            ],
        ),
        Section("Responses", list(_faces(found))),
        *(
            Section(f"Histograms: {name}", [_histograms(found, name)], folded=True)
            for name in found.groups
            if name != "all"
        ),
        Section("What went in", [_inputs(found)], folded=True),
    ]


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
    yield Table(("sample", "responses", "particles", "responses compared", "particles compared"), rows)
    if compared.paired:
        yield Text(
            f"Both files hold the same {compared.same_particles} particles (PDG code, momentum and vertex): "
            "differences below are of the responses alone. Samples of the same particles scatter less about each other "
            "than the Poisson errors of the histograms say."
        )
    else:
        yield Text(
            f"The files hold different particles ({compared.same_particles} are in both): differences below are of the "
            "responses and of the particles' energies and impact points together. The last section shows both.",
            warning=True,
        )
    for text in compared.left_out:
        yield Text(f"{text}.")


def _figures(found: Validation) -> Iterator[Block]:
    first, second = found.names
    if found.report is None:
        yield Text(f"Not computed: {found.why_unpaired}.", warning=True)
        return
    yield Text(
        f"Each figure stands beside its floor: the same figure between independent simulations of the same particles "
        f"({first} against {first}), at the same sample size. {second} is compared with {first} in the same way."
    )
    yield from markdown_blocks(found.report.to_markdown())


def _histograms(found: Validation, group: str) -> Picture:
    first, second = found.names
    rows = found.groups[group]
    pairs = {
        quantity: (values[rows[0]], found.measured[1][quantity][rows[1]])
        for quantity, values in found.measured[0].items()
    }
    what = "all responses" if group == "all" else group
    return Picture(
        draw_histograms(pairs, found.names),
        f"{what}: {len(rows[0])} responses of {first} (filled), {len(rows[1])} of {second} (line); below, {second} / "
        f"{first}. Bars and band are Poisson errors of {second} and of {first}. Triangles are ratios above 2. "
        "Centroids are measured from where the particle's straight line meets the face; an empty response has no "
        "centroid and no width.",
    )


def _differences(found: Validation) -> Table:
    first, second = found.names
    overall = next(group for group in found.differences if group.name == "all")
    return Table(
        ("quantity", f"mean, {first}", f"mean, {second}", f"spread, {first}", f"spread, {second}", "Wasserstein"),
        [_difference_cells(one) for one in overall.differences],
        "Mean and standard deviation over all responses compared, and the Wasserstein distance of the two "
        "distributions, each in the quantity's unit.",
    )


def _difference_cells(one: Difference) -> tuple[str, ...]:
    name = one.quantity.replace("_1", "").replace("_", " ")
    sides = one.reference, one.generated
    values = (*(side.mean for side in sides), *(side.spread for side in sides), one.wasserstein)
    return (f"{name} [{one.unit}]" if one.unit else name, *("–" if v is None else f"{v:.4g}" for v in values))


def _faces(found: Validation) -> Iterator[Block]:
    first, second = found.names
    samples = [
        (name, sample.responses, sample.particles)
        for name, sample in zip(found.names, (found.compared.reference, found.compared.generated), strict=True)
    ]
    calorimeter = found.compared.reference.calorimeter
    yield Picture(
        draw_means(samples, calorimeter),
        f"Mean responses around the impact point, by species: {first}, {second}, and {second} / {first} in fibres with "
        f"25 photons or more of all responses of {first} together, where its error is below 20 %; grey elsewhere.",
        "png",
    )
    if found.pairs is not None:
        simulated, generated = found.pairs
        yield Picture(
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


def _inputs(found: Validation) -> Picture:
    first, second = (measure_particles(sample) for sample in (found.compared.reference, found.compared.generated))
    pairs: Mapping[Quantity, Pair] = {quantity: (values, second[quantity]) for quantity, values in first.items()}
    return Picture(
        draw_histograms(pairs, found.names),
        "Energies and impact points of the particles of both files, one entry a response: nothing that was simulated.",
    )


def _photon_sums(found: Validation) -> Pair:
    first, second = ({quantity.name: values for quantity, values in one.items()} for one in found.measured)
    return first["photon_sum"], second["photon_sum"]


def _particles(sample: Showers) -> int:
    return len(np.unique(sample.particle_id))
