"""Runs of a session on an NVIDIA GPU: padded batch sizes, bound buffers, CUDA graphs.

After onnxruntime's pages "CUDA Execution Provider" and "I/O Binding". A CUDA graph replays a recorded run: its shapes
and the addresses of its inputs and outputs are fixed, so batches are padded to a few sizes, each with buffers of its
own on the GPU. onnxruntime keeps the recordings per thread (``PerThreadContext``), so one thread makes all runs.

Tested on a CPU are the padding, the buffers and the thread; tests/gpu holds what needs a GPU.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Feeds = Mapping[str, NDArray[np.generic]]

_SIZES = (1, 8, 64, 256)
_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
#: onnxruntime allocates in the first two runs of a size and records the third at the latest.
_RUNS_TO_RECORD = 3


def batch_sizes(max_rows: int) -> tuple[int, ...]:
    """The numbers of rows that batches are padded to, ascending; the last is `max_rows`."""
    return (*(size for size in _SIZES if size < max_rows), max_rows)


def padded_size(rows: int, sizes: Sequence[int]) -> int:
    """The smallest of the sizes that holds the rows; the largest where none does."""
    return next((size for size in sizes if size >= rows), sizes[-1])


class BoundRuns:
    """Runs a session on inputs and outputs that stay where they are.

    `run` may be called from several threads at once; they take turns.
    """

    def __init__(self, session: Any, max_rows: int, device: str = "cuda"):
        """Allocate the buffers and, where the session has CUDA graphs, record one for each size.

        Parameters
        ----------
        session : An `onnxruntime.InferenceSession` whose tensors have a free first dimension only.
        max_rows : Most rows of one run; larger batches are cut.
        device : ``cuda``, or ``cpu`` for tests.
        """
        self.sizes = batch_sizes(max_rows)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpu")
        self._buffers = {
            size: _Buffers(session, size, device, graph) for graph, size in enumerate(self.sizes, 1)
        }  # graph 0 is onnxruntime's own
        for buffers in self._buffers.values():
            for _ in range(_RUNS_TO_RECORD):
                self._thread.submit(buffers.run, 1).result()

    def run(self, feeds: Feeds) -> NDArray[np.float32]:
        """Output for N rows; the first dimension of every array is N."""
        return self._thread.submit(self._run, feeds).result()

    def _run(self, feeds: Feeds) -> NDArray[np.float32]:
        rows = len(next(iter(feeds.values())))
        parts, at = [], 0
        while at < rows:
            size = padded_size(rows - at, self.sizes)
            taken = min(size, rows - at)
            buffers = self._buffers[size]
            buffers.fill({name: array[at : at + taken] for name, array in feeds.items()})
            parts.append(buffers.run(taken))
            at += taken
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _Buffers:
    """Inputs and output of one size, bound to a session."""

    def __init__(self, session: Any, size: int, device: str, graph: int):
        import onnxruntime as ort

        self._session = session
        self._size = size
        self._output_is_shared = device == "cpu"
        self._options = ort.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", str(graph))
        self._binding = session.io_binding()
        self._staged = {t.name: np.ones((size, *t.shape[1:]), dtype=_TYPES[t.type]) for t in session.get_inputs()}
        self._inputs = {}
        for name, array in self._staged.items():
            self._inputs[name] = ort.OrtValue.ortvalue_from_numpy(array, device, 0)
            self._binding.bind_ortvalue_input(name, self._inputs[name])
        (output,) = session.get_outputs()
        shape = [size, *output.shape[1:]]
        self._output = ort.OrtValue.ortvalue_from_shape_and_type(shape, _TYPES[output.type], device, 0)
        self._binding.bind_ortvalue_output(output.name, self._output)

    def fill(self, feeds: Feeds) -> None:
        """Copy rows to the GPU; the last one fills what is left."""
        for name, array in feeds.items():
            staged = self._staged[name]
            staged[: len(array)] = array
            staged[len(array) :] = array[-1:]
            self._inputs[name].update_inplace(staged)

    def run(self, rows: int) -> NDArray[np.float32]:
        """The first rows of the output, in memory of their own."""
        self._session.run_with_iobinding(self._binding, self._options)
        found: NDArray[np.float32] = self._output.numpy()[:rows]
        return found.copy() if self._output_is_shared else found
