"""Limit on the memory that the server uses for incomplete messages and unread answers."""


class ByteBudget:
    """Counts the bytes of messages that are not complete yet, and of answers that clients have not read.

    All connections of a server share one object, which is used only on the event loop.

    Attributes
    ----------
    limit : Maximum number of bytes.
    held : Number of bytes held now.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.held = 0

    def take(self, number: int) -> bool:
        """Count `number` more bytes; if there is no room for them, count nothing and return False.

        A single message or answer above the limit is allowed while nothing else is held; otherwise it could never be
        sent.
        """
        if self.held and self.held + number > self.limit:
            return False
        self.held += number
        return True

    def give_back(self, number: int) -> None:
        """Give back `number` bytes that `take` has counted."""
        self.held -= number
