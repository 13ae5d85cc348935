"""Settings of the C library's memory allocator for processes that hand large arrays around."""

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc takes no more
_KEPT_FREE = 256 << 20


def keep_large_buffers() -> None:
    """Let glibc keep freed buffers of megabytes.

    By default it gives each back to the kernel, and the next array faults every page in again: of the order of
    100 us a response. Does nothing with other C libraries.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)
