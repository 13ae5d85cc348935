from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Output(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_UNSPECIFIED: _ClassVar[Output]
    OUTPUT_RESPONSE: _ClassVar[Output]
    OUTPUT_CHANNELS: _ClassVar[Output]
    OUTPUT_HITS: _ClassVar[Output]

class OutOfRange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUT_OF_RANGE_UNSPECIFIED: _ClassVar[OutOfRange]
    OUT_OF_RANGE_ERROR: _ClassVar[OutOfRange]
    OUT_OF_RANGE_SKIP: _ClassVar[OutOfRange]
    OUT_OF_RANGE_EXTRAPOLATE: _ClassVar[OutOfRange]

class Frame(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRAME_UNSPECIFIED: _ClassVar[Frame]
    FRAME_VERTEX: _ClassVar[Frame]
    FRAME_FACE: _ClassVar[Frame]

class Finish(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_UNSPECIFIED: _ClassVar[Finish]
    FINISH_NONE: _ClassVar[Finish]

class ElementType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ELEMENT_TYPE_UNSPECIFIED: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT16: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT32: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT32: _ClassVar[ElementType]
OUTPUT_UNSPECIFIED: Output
OUTPUT_RESPONSE: Output
OUTPUT_CHANNELS: Output
OUTPUT_HITS: Output
OUT_OF_RANGE_UNSPECIFIED: OutOfRange
OUT_OF_RANGE_ERROR: OutOfRange
OUT_OF_RANGE_SKIP: OutOfRange
OUT_OF_RANGE_EXTRAPOLATE: OutOfRange
FRAME_UNSPECIFIED: Frame
FRAME_VERTEX: Frame
FRAME_FACE: Frame
FINISH_UNSPECIFIED: Finish
FINISH_NONE: Finish
ELEMENT_TYPE_UNSPECIFIED: ElementType
ELEMENT_TYPE_UINT16: ElementType
ELEMENT_TYPE_UINT32: ElementType
ELEMENT_TYPE_FLOAT32: ElementType

class Particles(_message.Message):
    __slots__ = ("pdg", "momentum", "vertex", "energy", "mass", "charge")
    PDG_FIELD_NUMBER: _ClassVar[int]
    MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    VERTEX_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    MASS_FIELD_NUMBER: _ClassVar[int]
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    pdg: bytes
    momentum: bytes
    vertex: bytes
    energy: bytes
    mass: bytes
    charge: bytes
    def __init__(self, pdg: _Optional[bytes] = ..., momentum: _Optional[bytes] = ..., vertex: _Optional[bytes] = ..., energy: _Optional[bytes] = ..., mass: _Optional[bytes] = ..., charge: _Optional[bytes] = ...) -> None: ...

class SimulateRequest(_message.Message):
    __slots__ = ("particles", "seed", "first_row", "repeats", "output", "out_of_range", "finish", "model", "version", "frame")
    PARTICLES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FIRST_ROW_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_RANGE_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    particles: Particles
    seed: int
    first_row: int
    repeats: int
    output: Output
    out_of_range: OutOfRange
    finish: Finish
    model: str
    version: int
    frame: Frame
    def __init__(self, particles: _Optional[_Union[Particles, _Mapping]] = ..., seed: _Optional[int] = ..., first_row: _Optional[int] = ..., repeats: _Optional[int] = ..., output: _Optional[_Union[Output, str]] = ..., out_of_range: _Optional[_Union[OutOfRange, str]] = ..., finish: _Optional[_Union[Finish, str]] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., frame: _Optional[_Union[Frame, str]] = ...) -> None: ...

class Hits(_message.Message):
    __slots__ = ("offsets", "fibre", "photons")
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    FIBRE_FIELD_NUMBER: _ClassVar[int]
    PHOTONS_FIELD_NUMBER: _ClassVar[int]
    offsets: bytes
    fibre: bytes
    photons: bytes
    def __init__(self, offsets: _Optional[bytes] = ..., fibre: _Optional[bytes] = ..., photons: _Optional[bytes] = ...) -> None: ...

class SimulateResponse(_message.Message):
    __slots__ = ("model", "version", "seed", "first_row", "repeats", "shape", "channel_names", "particle", "side", "channels", "photon_type", "channel_type", "response", "hits", "skipped", "extrapolated", "last", "finish", "frame")
    class SkippedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ExtrapolatedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FIRST_ROW_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_NAMES_FIELD_NUMBER: _ClassVar[int]
    PARTICLE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PHOTON_TYPE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_TYPE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    EXTRAPOLATED_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    seed: int
    first_row: int
    repeats: int
    shape: _containers.RepeatedScalarFieldContainer[int]
    channel_names: _containers.RepeatedScalarFieldContainer[str]
    particle: bytes
    side: bytes
    channels: bytes
    photon_type: ElementType
    channel_type: ElementType
    response: bytes
    hits: Hits
    skipped: _containers.ScalarMap[str, int]
    extrapolated: _containers.ScalarMap[str, int]
    last: bool
    finish: str
    frame: Frame
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., seed: _Optional[int] = ..., first_row: _Optional[int] = ..., repeats: _Optional[int] = ..., shape: _Optional[_Iterable[int]] = ..., channel_names: _Optional[_Iterable[str]] = ..., particle: _Optional[bytes] = ..., side: _Optional[bytes] = ..., channels: _Optional[bytes] = ..., photon_type: _Optional[_Union[ElementType, str]] = ..., channel_type: _Optional[_Union[ElementType, str]] = ..., response: _Optional[bytes] = ..., hits: _Optional[_Union[Hits, _Mapping]] = ..., skipped: _Optional[_Mapping[str, int]] = ..., extrapolated: _Optional[_Mapping[str, int]] = ..., last: bool = ..., finish: _Optional[str] = ..., frame: _Optional[_Union[Frame, str]] = ...) -> None: ...
