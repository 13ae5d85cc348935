"""What a client asks of a model's card."""

from dataclasses import dataclass

from pydantic import ValidationError
from zdc_common.errors import ZdcError
from zdc_detector.calorimeter import Calorimeter


@dataclass(frozen=True)
class ModelFacts:
    """Facts of one version of a model.

    Attributes
    ----------
    graph_sha256 : Hash of its graph; it distinguishes two models with the same name and version.
    calorimeter : The calorimeter of its responses.
    """

    graph_sha256: str
    calorimeter: Calorimeter


def read_calorimeter(url: str, text: str | bytes) -> Calorimeter:
    """The calorimeter in a server's answer, JSON.

    Raises
    ------
    ZdcError : this version cannot read it.
    """
    try:
        return Calorimeter.model_validate_json(text)
    except ValidationError as error:
        raise ZdcError(
            f"{url}: this version of zdc-fastsim cannot read the calorimeter of the server's model; use the same "
            "version for client and server"
        ) from error
