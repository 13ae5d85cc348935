import numpy as np
from zdc_metrics import dispersion
from zdc_metrics.statistics.null_band import null_dispersion


def test_the_band_holds_nine_in_ten_dispersions_of_a_right_generator() -> None:
    """Few bright particles dominate the variance. 36 or fewer of 50 has a probability of 1/20,000."""
    rng = np.random.default_rng(1)
    inside = below = 0
    for _ in range(50):
        light = rng.lognormal(3.5, 1, (60, 1))
        simulated, generated = (rng.poisson(rng.gamma(4, light / 4, (60, n))) for n in (5, 50))
        null = null_dispersion(generated, 5, rng)
        assert null is not None
        low, high = null.interval(np.arange(60)) or (0, 0)
        value = dispersion(simulated, generated)
        inside += low <= value <= high
        below += value < low
    assert inside > 36
    assert below < 10


def test_few_generated_repeats_and_faint_particles_have_no_band() -> None:
    rng = np.random.default_rng(2)
    assert null_dispersion(rng.poisson(30, (9, 14)), 5, rng) is None
    null = null_dispersion(rng.poisson(0.1, (9, 15)), 5, rng)
    assert null is not None
    assert null.interval(np.arange(9)) is None
