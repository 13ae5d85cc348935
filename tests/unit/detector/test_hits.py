"""Images as hits and back."""

import numpy as np
import pytest
from numpy.typing import NDArray
from zdc_detector.hits import join_hits, to_hits


@pytest.fixture(params=[np.uint16, np.float32])
def images(request: pytest.FixtureRequest) -> NDArray[np.generic]:
    """Seven images of 5 x 3 fibres, most of them dark; the second image has no light."""
    rng = np.random.default_rng(1)
    drawn = rng.poisson(3, (7, 5, 3)) * (rng.random((7, 5, 3)) < 0.3)
    drawn[1] = 0
    return drawn.astype(request.param)


def test_images_survive_the_way_to_hits_and_back(images: NDArray[np.generic]) -> None:
    hits = to_hits(images)
    assert hits.offsets[1] == hits.offsets[2]
    assert (hits.photons > 0).all()
    again = hits.to_images((5, 3))
    assert again.dtype == images.dtype
    np.testing.assert_array_equal(again, images)
    assert hits.nbytes == 8 * 8 + len(hits.fibre) * (2 + images.itemsize)


def test_no_rows_give_no_images() -> None:
    assert to_hits(np.zeros((0, 5, 3), dtype=np.uint16)).to_images((5, 3)).shape == (0, 5, 3)


def test_rows_are_those_of_the_images(images: NDArray[np.generic]) -> None:
    hits = to_hits(images)
    np.testing.assert_array_equal(hits.rows(1, 4).to_images((5, 3)), images[1:4])
    chosen = np.array([0, 1, 1, 6, 3])
    np.testing.assert_array_equal(hits.take(chosen).to_images((5, 3)), images[chosen])
    joined = join_hits([hits.rows(0, 2), hits.rows(2, 7)], images.dtype)
    for name in ("offsets", "fibre", "photons"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(hits, name))


def test_a_fibre_beyond_the_face_is_an_error(images: NDArray[np.generic]) -> None:
    with pytest.raises(IndexError):
        to_hits(images).to_images((2, 1))
