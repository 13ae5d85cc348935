import numpy as np
import pytest
from zdc_detector.finish import Finish, finish_rates

RATES = np.random.default_rng(1).gamma(0.3, 4, (7, 5, 6)).astype(np.float32)


def test_no_finish_returns_the_rates() -> None:
    assert finish_rates(RATES, Finish.NONE, 1, 0) is RATES


def test_round_goes_to_the_nearest_integer_and_stops_at_uint16() -> None:
    rates = np.array([[[0, 0.49, 0.51, 1.5, 2.5, 1e6]]], dtype=np.float32)
    counts = finish_rates(rates, Finish.ROUND, 1, 0)
    assert counts.dtype == np.uint16
    assert counts.ravel().tolist() == [0, 0, 1, 2, 2, 65535]


@pytest.mark.parametrize("cut", range(8))
def test_poisson_does_not_depend_on_the_block(cut: int) -> None:
    whole = finish_rates(RATES, Finish.POISSON, 5, 100)
    parts = [finish_rates(RATES[:cut], Finish.POISSON, 5, 100), finish_rates(RATES[cut:], Finish.POISSON, 5, 100 + cut)]
    assert whole.dtype == np.uint16
    assert whole.tobytes() == np.concatenate(parts).tobytes()


def test_poisson_has_mean_and_variance_of_the_rate() -> None:
    rates = np.full((4000, 3, 3), 6.0, dtype=np.float32)
    counts = finish_rates(rates, Finish.POISSON, 5, 0).astype(float)
    error = np.sqrt(6 / counts.size)
    assert counts.mean() == pytest.approx(6, abs=4 * error)
    assert counts.var() == pytest.approx(6, abs=4 * 6 * np.sqrt(2 / counts.size) * 1.1)
    assert finish_rates(rates, Finish.POISSON, 6, 0).tolist() != counts.tolist()


def test_poisson_of_zero_is_zero() -> None:
    assert not finish_rates(np.zeros((10, 4, 4), dtype=np.float32), Finish.POISSON, 1, 0).any()
