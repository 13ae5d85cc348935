"""The shipped models answer all particles in the ranges of their cards."""

import numpy as np
import pytest
from helpers.models.stored_models import stored_models
from helpers.models.tiny_model import some_particles
from zdc_detector.particles import LARGEST, PX, VX, VZ
from zdc_detector.random import normals
from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import StoredModel


@pytest.mark.parametrize("model", stored_models(), ids=lambda model: model.folder.parent.name)
def test_rates_are_finite_and_zero_off_the_face(model: StoredModel) -> None:
    particles = some_particles(5000, seed=8).toward_a()
    particles = particles[model.card.ranges.outside(particles, model.card.calorimeter) == 0]
    hits = model.card.calorimeter.hits_face(particles.conditions)
    assert 0.3 < hits.mean() < 0.9
    engine = Engine(model)
    noise = normals(5, 0, len(particles), model.card.noise.dimension)
    rates = engine.run(particles.conditions, noise, particles.pdg)
    assert np.isfinite(rates).all()
    assert rates.min() >= 0
    assert not rates[~hits].any()
    assert (rates[hits].sum(axis=(1, 2)) > 1).mean() > 0.5  # a third are K0S, most of which decay on the way


@pytest.mark.parametrize("model", stored_models(), ids=lambda model: model.folder.parent.name)
@pytest.mark.parametrize("vx", [10.0, LARGEST])
def test_rates_far_off_the_face_are_zero(model: StoredModel, vx: float) -> None:
    """The test moves particles behind the face."""
    particles = some_particles(200, seed=8).toward_a()
    conditions = particles.conditions.copy()
    conditions[:, VX], conditions[:, PX] = vx, 0
    conditions[::2, VZ] = LARGEST
    noise = normals(5, 0, len(particles), model.card.noise.dimension)
    rates = Engine(model).run(conditions, noise, particles.pdg)
    assert np.isfinite(rates).all()
    assert not rates.any()
