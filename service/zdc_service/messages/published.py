"""Messages of gRPC's own protocols (health and reflection), and the descriptors of all services.

They have their own descriptor pool. protobuf's default pool accepts each name only once, so a process that also imports
`grpcio`'s packages of these protocols could not start. Those packages also need a newer protobuf than `tritonclient`.
"""

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, text_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from zdc_service.messages import inference_pb2, simulation_pb2

HEALTH = "grpc.health.v1.Health"
#: The reflection service and its older version.
REFLECTIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def _older(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    text = text_format.MessageToString(file).replace("grpc.reflection.v1", "grpc.reflection.v1alpha")
    return text_format.Parse(text.replace("/v1/", "/v1alpha/"), descriptor_pb2.FileDescriptorProto())


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    published = files(__package__).joinpath("published.binpb").read_bytes()
    health, reflection = descriptor_pb2.FileDescriptorSet.FromString(published).file
    for file in (health, reflection, _older(reflection)):
        pool.AddSerializedFile(file.SerializeToString())
    for ours in (simulation_pb2, inference_pb2):
        pool.AddSerializedFile(ours.DESCRIPTOR.serialized_pb)
    return pool


#: Descriptors of all services of a server.
POOL = _pool()


def _message(name: str) -> Any:
    return GetMessageClass(POOL.FindMessageTypeByName(name))


HealthCheckRequest = _message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = _message("grpc.health.v1.HealthCheckResponse")
HealthListRequest = _message("grpc.health.v1.HealthListRequest")
HealthListResponse = _message("grpc.health.v1.HealthListResponse")
ServerReflectionRequest = _message("grpc.reflection.v1.ServerReflectionRequest")
ServerReflectionResponse = _message("grpc.reflection.v1.ServerReflectionResponse")
