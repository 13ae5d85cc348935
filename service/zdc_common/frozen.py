"""Records."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of records that are never changed and that refuse fields which they do not have.

    Two records are equal if they have one type and equal fields. pydantic also compares what `cached_property` has
    stored, and fails if these are arrays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(tuple(self._values()))

    def _values(self) -> list[Any]:
        return [getattr(self, name) for name in type(self).model_fields]
