"""Records."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of records that are never changed and that refuse fields which they do not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")
