"""Protobuf messages of the gRPC services; `make proto` generates `simulation_pb2` and `inference_pb2` from proto/.

One process cannot import both `inference_pb2` and another package's messages of the Open Inference Protocol, such as
those of tritonclient. Therefore only the server imports it, and no client of this project does.
"""

import re

import google.protobuf
from zdc_common.errors import ConfigError

#: Version of protobuf that generated the committed messages; older versions cannot load them.
OLDEST_PROTOBUF = "6.31.1"


def check_protobuf(version: str) -> None:
    """Raise ConfigError if a version of protobuf is too old; pip installs one if another package needs it."""
    found, oldest = ([int(number) for number in re.findall("[0-9]+", one)[:3]] for one in (version, OLDEST_PROTOBUF))
    if found < oldest:
        raise ConfigError(
            f"protobuf {version} is installed, but {OLDEST_PROTOBUF} or newer is needed; "
            f"pip install 'protobuf>={OLDEST_PROTOBUF}', and a newer version of the package that needs the old one "
            "(`pip check` names it)"
        )


check_protobuf(google.protobuf.__version__)
