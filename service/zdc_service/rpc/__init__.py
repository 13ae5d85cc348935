"""The service over gRPC; `simulation_pb2` is generated from proto/zdc/v1/simulation.proto by `make proto`."""
