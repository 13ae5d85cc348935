"""How fibres share the light of coarse units."""

import numpy as np
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.models.training_runs import SMALL_FAST
from zdc_training.fast.coarse_frame import CoarseFrame, FaceEntry
from zdc_training.fast.profile import LightProfile

LENGTH = (6.0, 2.5)  # fibres, for hadrons and electromagnetic showers


@pytest.fixture(scope="module")
def frame() -> CoarseFrame:
    return CoarseFrame(ZN, SMALL_FAST.reach)


@pytest.fixture(scope="module")
def profile(frame: CoarseFrame) -> LightProfile:
    """Fitted to light that falls exponentially."""
    offset = np.arange(87) - 43.0
    distance = np.hypot(offset[:, None], offset).ravel()
    exposure = np.full((2, distance.size), 1e6)
    light = exposure * np.stack([np.exp(-distance / length) for length in LENGTH])
    fitted = LightProfile(frame)
    fitted.fit(torch.from_numpy(light).float(), torch.from_numpy(exposure).float(), frame, ZN)
    return fitted


def shares_of(profile: LightProfile) -> torch.Tensor:
    """Share by relative position, shape (2, 87, 87)."""
    return torch.cat([profile.windows[:, 43, :, :], profile.windows[:, 0, :, 1:]], dim=2)


def test_the_brightest_fibre_of_a_unit_has_all_of_its_rate(frame: CoarseFrame, profile: LightProfile) -> None:
    unit_of = frame.unit_of.flatten()
    single = torch.bincount(unit_of, minlength=frame.width)[unit_of] == 1
    for shares in shares_of(profile):
        most = torch.zeros(frame.width).scatter_reduce(0, unit_of, shares.flatten(), "amax")
        assert torch.allclose(most[: frame.units], torch.ones(1))
        assert torch.allclose(shares.flatten()[single], torch.ones(1))


def test_shares_on_the_face_are_those_of_the_relative_positions(profile: LightProfile) -> None:
    cells, kind = torch.tensor([[0.0, 0.0], [43.0, 5.0], [20.0, 31.0]]), torch.tensor([[0.0], [1.0], [1.0]])
    blank = torch.zeros(3, 2)
    entry = FaceEntry(cells, blank, blank, blank, blank[:, :1], blank)
    found = profile(entry, kind)
    known = shares_of(profile).flatten(1)
    for row, place in enumerate(profile.places(entry)):
        assert torch.equal(found[row].flatten(), known[int(kind[row])][place])


def test_shares_follow_the_light_of_their_kind(profile: LightProfile) -> None:
    for kind, length in enumerate(LENGTH):
        row = shares_of(profile)[kind, 43, 43:].log()
        for first, last in ((7, 9), (10, 12), (13, 15)):  # one unit each
            # Rings are not infinitely narrow.
            assert float(row[first] - row[last]) == pytest.approx(2 / length, rel=0.15)


def test_without_light_shares_are_equal(frame: CoarseFrame) -> None:
    empty = LightProfile(frame)
    empty.fit(torch.zeros(2, 87 * 87), torch.zeros(2, 87 * 87), frame, ZN)
    assert torch.equal(shares_of(empty), torch.ones(2, 87, 87))


def test_shares_have_the_symmetries(profile: LightProfile) -> None:
    shares = shares_of(profile)
    assert torch.allclose(shares, shares.transpose(1, 2))
    assert torch.allclose(shares, shares.flip(1))
