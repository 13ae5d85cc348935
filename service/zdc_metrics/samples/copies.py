"""Generated responses that are copies of simulated ones."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

#: Minimum number of lit fibres of a copy; darker responses may be equal by chance.
LEAST_LIT = 20


def count_copies(reference: NDArray[np.uint16], generated: NDArray[np.uint16]) -> int:
    """Number of generated responses that are equal, in all fibres, to a response of the reference.

    Parameters
    ----------
    reference, generated : Photons per fibre, shapes (N, rows, columns) and (M, rows, columns).
    """
    known = set(_digests(reference))
    return sum(digest in known for digest in _digests(generated))


def _digests(responses: NDArray[np.uint16]) -> Iterator[bytes]:
    for response in responses:
        if np.count_nonzero(response) >= LEAST_LIT:
            yield blake2b(response.tobytes(), digest_size=16).digest()
