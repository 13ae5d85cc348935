"""The service over gRPC; `simulation_pb2` and `inference_pb2` are generated from proto/ by `make proto`.

One process cannot hold both `inference_pb2` and another package's messages of the Open Inference Protocol, such as
tritonclient's: only what serves imports ours, and no client of this project does.
"""

import re

import google.protobuf
from zdc_common.errors import ConfigError

#: With which the committed messages were made; an older one cannot load them.
OLDEST_PROTOBUF = "6.31.1"


def check_protobuf(version: str) -> None:
    """Raise ConfigError if a version of protobuf is too old, which pip allows once another package asks for it."""
    found, oldest = ([int(number) for number in re.findall("[0-9]+", one)[:3]] for one in (version, OLDEST_PROTOBUF))
    if found < oldest:
        raise ConfigError(
            f"protobuf {version} is installed and {OLDEST_PROTOBUF} or newer is needed; "
            f"pip install 'protobuf>={OLDEST_PROTOBUF}', and a newer version of the package that took it back (`pip "
            "check` names it)"
        )


check_protobuf(google.protobuf.__version__)
