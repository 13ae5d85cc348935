"""Settings of the C library's memory allocator for processes with large arrays."""

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # the maximum in glibc
_KEPT_FREE = 256 << 20


def keep_large_buffers() -> None:
    """Let glibc keep freed buffers of megabytes.

    By default, glibc returns each such buffer to the kernel, and the page faults of the next array cost about 100 us
    per response. This function has no effect with other C libraries.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)
