"""A lock on an open file; the operating system releases it when the file is closed or the process ends."""

import errno
import fcntl
from typing import IO

#: Errors of a file system without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def take_lock(file: IO[bytes] | IO[str] | int, shared: bool = False) -> bool:
    """Take the lock without waiting. False if another process has it; on a file system without locks, always True.

    Parameters
    ----------
    file : An open file, or its descriptor.
    shared : Whether others may have the lock too, if they share it.

    Raises
    ------
    OSError : the file cannot be locked for another reason.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
