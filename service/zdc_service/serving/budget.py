"""How many bytes callers may make the server hold for them."""


class ByteBudget:
    """Bytes of messages that are not whole yet and of answers that their callers have not read.

    One object for all connections of a server, used on its event loop alone.

    Attributes
    ----------
    limit : Most bytes.
    held : Bytes that are held now.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.held = 0

    def take(self, number: int) -> bool:
        """Count `number` bytes more; False, and nothing counted, if there is no room for them.

        A single message or answer above the limit has room as long as nothing else is held: it could never be had
        otherwise.
        """
        if self.held and self.held + number > self.limit:
            return False
        self.held += number
        return True

    def give_back(self, number: int) -> None:
        """Count `number` bytes less, which `take` has counted."""
        self.held -= number
