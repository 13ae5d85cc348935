"""Functions compiled by numba, with a cache of machine code on disk that tolerates failures.

Numba's own cache ends the process if the folder is full or a file is damaged. It also writes its index before the
code: if writing the code fails, the next process runs the code of an older version.
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

#: Files of numba's index, one for each function.
_INDEX = "*.nbi"

_said: set[str] = set()

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function, nogil: bool = False) -> _Function:
    """Compile a function on its first call.

    The machine code is kept in ``NUMBA_CACHE_DIR``, beside the source or in the user's cache folder.

    Parameters
    ----------
    function : In the subset of Python that numba compiles.
    nogil : Release Python's global lock during a call. Use it for long calls only: to take the lock again may cost 100
        microseconds while other threads wait for it.
    """
    dispatcher: Any = njit(nogil=nogil)(function)
    try:
        dispatcher._cache = _KernelCache(function)  # as cache=True does, with our cache class
    except (RuntimeError, OSError) as error:  # a read-only installation without a home folder
        _say_once(f"machine code is not kept: {error}", "each process compiles anew; name a folder in NUMBA_CACHE_DIR")
    return cast(_Function, dispatcher)


def _say_once(what: str, remedy: str) -> None:
    """Log a problem once, although it concerns many functions."""
    if remedy not in _said:
        _said.add(remedy)
        log.warning("%s; %s", what, remedy)


class _Filled:
    """A cache folder that may be read-only if it holds code, for example in a container image built with the code."""

    def ensure_cache_path(self) -> None:
        try:
            super().ensure_cache_path()  # type: ignore[misc]
        except OSError:
            if not any(Path(self.get_cache_path()).glob(_INDEX)):  # type: ignore[attr-defined]
                raise


class _HashedCode(CompileResultCacheImpl):
    """Machine code with a hash of the code and of the date of its source: damaged or outdated code is not run."""

    _locator_classes = [  # noqa: RUF012 as in numba
        cast(Any, type(f"Filled{place.__name__}", (_Filled, place), {}))
        for place in CompileResultCacheImpl._locator_classes
    ]

    def reduce(self, data: Any) -> tuple[bytes, bytes]:
        """The hash and the serialised code of a compiled function."""
        content: bytes = dumps(super().reduce(data))
        return self._hash(content), content

    def rebuild(self, target_context: Any, reduced_data: tuple[bytes, bytes]) -> Any:
        """The compiled function; raises ValueError if the hash does not match."""
        expected, content = reduced_data
        if expected != self._hash(content):
            raise ValueError("its hash does not match")
        return super().rebuild(target_context, pickle.loads(content))

    def _hash(self, content: bytes) -> bytes:
        return hashlib.sha256(repr(self.locator.get_source_stamp()).encode() + content).digest()


class _KernelCache(Cache):
    """Numba's cache of one function; its failures are logged and do not end a call."""

    _impl_class = _HashedCode  # type: ignore[assignment]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The function for a signature; None if the cache has none or it is damaged: numba then compiles it."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:
            self._forget()
            _say_once(f"{self.cache_path}: machine code there cannot be read: {_short(error)}", "compiled again")
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a function, if possible."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self._forget()
            _say_once(
                f"{self.cache_path}: machine code cannot be kept: {_short(error)}",
                "each process compiles anew; make room, or name another folder in NUMBA_CACHE_DIR",
            )

    def _forget(self) -> None:
        with suppress(OSError):  # deleting works on a full disk
            Path(self._cache_file._index_path).unlink()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:100]
