"""Runs a session on an NVIDIA GPU with padded batch sizes, bound buffers and CUDA graphs.

See "CUDA Execution Provider" and "I/O Binding" in onnxruntime's documentation. A CUDA graph replays a recorded run. The
shapes and addresses of its inputs and outputs are fixed, so batches are padded to a few sizes, each with its own
buffers on the GPU. onnxruntime keeps the recordings per thread (``PerThreadContext``), so one thread makes all runs.

The padding, the buffers and the thread are tested on a CPU; tests/gpu has the tests that need a GPU.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Feeds = Mapping[str, NDArray[np.generic]]

_SIZES = (1, 8, 64, 256)
_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
#: onnxruntime allocates memory in the first two runs of a size, and records the third run at the latest.
_RUNS_TO_RECORD = 3


def batch_sizes(max_rows: int) -> tuple[int, ...]:
    """The numbers of rows to which batches are padded, ascending; the last one is `max_rows`."""
    return (*(size for size in _SIZES if size < max_rows), max_rows)


def padded_size(rows: int, sizes: Sequence[int]) -> int:
    """The smallest size with at least this many rows; the largest size if there is none."""
    return next((size for size in sizes if size >= rows), sizes[-1])


class BoundRuns:
    """Runs a session on input and output buffers with fixed addresses.

    `run` may be called from several threads at once; the calls run one after the other.
    """

    def __init__(self, session: Any, max_rows: int, device: str = "cuda"):
        """Allocate the buffers; if the session uses CUDA graphs, record one for each size.

        Parameters
        ----------
        session : An `onnxruntime.InferenceSession`. Only the first dimension of its tensors may be dynamic.
        max_rows : Maximum number of rows of one run; larger batches are split.
        device : ``cuda``, or ``cpu`` for tests.
        """
        self.sizes = batch_sizes(max_rows)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpu")
        self._buffers = {
            size: _Buffers(session, size, device, graph) for graph, size in enumerate(self.sizes, 1)
        }  # onnxruntime uses graph 0 itself
        for buffers in self._buffers.values():
            for _ in range(_RUNS_TO_RECORD):
                self._thread.submit(buffers.run, 1).result()

    def run(self, feeds: Feeds) -> NDArray[np.float32]:
        """The output for N rows; the first dimension of every input must be N."""
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
    """Input and output buffers of one size, bound to a session."""

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
        """Copy rows to the GPU; the rest of the buffer is filled with copies of the last row."""
        for name, array in feeds.items():
            staged = self._staged[name]
            staged[: len(array)] = array
            staged[len(array) :] = array[-1:]
            self._inputs[name].update_inplace(staged)

    def run(self, rows: int) -> NDArray[np.float32]:
        """Run the session; returns a copy of the first rows of the output."""
        self._session.run_with_iobinding(self._binding, self._options)
        found: NDArray[np.float32] = self._output.numpy()[:rows]
        return found.copy() if self._output_is_shared else found
