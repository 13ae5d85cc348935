"""Functions compiled by numba, whose machine code is kept on disk where that is possible.

Numba's own cache takes the process down with it if its folder is full or a file in it is damaged. Worse, it writes the
table of contents before the code: where the second fails, the next process runs the code of an older version.
"""

# mypy: allow-untyped-calls

import hashlib
import logging
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import Cache, CompileResultCacheImpl
from numba.core.serialize import dumps

log = logging.getLogger(__name__)

#: Numba's table of contents of one function.
_INDEX = "*.nbi"

_said: set[str] = set()

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function, nogil: bool = False) -> _Function:
    """Compile on first use; the machine code is kept in ``NUMBA_CACHE_DIR``, beside the source or in the user's cache.

    Python's lock is released where a call takes long enough: for a microsecond's work, other threads that wait for the
    lock would cost a hundred.
    """
    dispatcher: Any = njit(nogil=nogil)(function)
    try:
        dispatcher._cache = _KernelCache(function)  # what cache=True does, with another class
    except (RuntimeError, OSError) as error:  # a read-only installation without a home
        _say_once(f"machine code is not kept: {error}", "each process compiles anew; name a folder in NUMBA_CACHE_DIR")
    return cast(_Function, dispatcher)


def _say_once(what: str, remedy: str) -> None:
    """Say it of the first of many functions."""
    if remedy not in _said:
        _said.add(remedy)
        log.warning("%s; %s", what, remedy)


class _Filled:
    """A place for code that need not be writable if there is code already, as in an image that was built with it."""

    def ensure_cache_path(self) -> None:
        try:
            super().ensure_cache_path()  # type: ignore[misc]
        except OSError:
            if not any(Path(self.get_cache_path()).glob(_INDEX)):  # type: ignore[attr-defined]
                raise


class _SealedCode(CompileResultCacheImpl):
    """Machine code with a hash of it and of its source's date: damaged or of another source, it is not run."""

    _locator_classes = [  # noqa: RUF012 numba's
        cast(Any, type(f"Filled{place.__name__}", (_Filled, place), {}))
        for place in CompileResultCacheImpl._locator_classes
    ]

    def reduce(self, data: Any) -> tuple[bytes, bytes]:
        """What is kept of a compiled function."""
        content: bytes = dumps(super().reduce(data))
        return self._seal(content), content

    def rebuild(self, target_context: Any, reduced_data: tuple[bytes, bytes]) -> Any:
        """The compiled function; raises ValueError where the seal does not fit."""
        seal, content = reduced_data
        if seal != self._seal(content):
            raise ValueError("the seal does not fit")
        return super().rebuild(target_context, pickle.loads(content))

    def _seal(self, content: bytes) -> bytes:
        return hashlib.sha256(repr(self.locator.get_source_stamp()).encode() + content).digest()


class _KernelCache(Cache):
    """Numba's cache of one function, without which all goes on."""

    _impl_class = _SealedCode  # type: ignore[assignment]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The function for a signature; None, after which it is compiled, if there is none or it is damaged."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:
            self._forget()
            _say_once(f"{self.cache_path}: machine code there cannot be read: {_short(error)}", "compiled again")
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a function, if there is room."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self._forget()
            _say_once(
                f"{self.cache_path}: machine code cannot be kept: {_short(error)}",
                "each process compiles anew; make room, or name another folder in NUMBA_CACHE_DIR",
            )

    def _forget(self) -> None:
        with suppress(OSError):  # this needs no room on a full disk
            Path(self._cache_file._index_path).unlink()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:100]
