"""Responses of several models for the same particles: figure 3 of the paper on calorimeter data."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from zdc_detector.showers import read_showers
from zdc_metrics.reports.face_pictures import Column, choose_examples, draw_columns
from zdc_metrics.samples.trimming import even_repeats

from zdc_training.config.config import held_out_path
from zdc_training.evaluation.generate import generate, network
from zdc_training.reproduction.runs import Finished
from zdc_training.runs.provenance import located

_SEED = 1
_PARTICLES = 8


def draw_fig3(models: Sequence[Finished]) -> Figure:
    """One simulation of some test particles, and one response of each model; all runs have the same test file."""
    run = models[0].run
    path = held_out_path(located(run, run.config().data))
    test, _ = even_repeats(read_showers(path), _SEED)
    shown = choose_examples(test.particles, test.responses.sum(axis=(2, 3)), _PARTICLES)
    particles = test.particles[shown]
    columns = [Column(models[0].report.simulation, test.responses[shown, 0], generated=False)]
    for each in models:
        source, finish = network(each.run.load_model()), each.run.config().output.finish
        responses = generate(source, particles, 1, _SEED, finish)[:, 0]
        columns.append(Column(each.entry.label, responses, generated=True))
    return draw_columns(columns, particles, test.calorimeter)
