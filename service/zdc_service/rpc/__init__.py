"""The service over gRPC; `simulation_pb2` and `inference_pb2` are generated from proto/ by `make proto`.

One process cannot hold both `inference_pb2` and another package's messages of the Open Inference Protocol, such as
tritonclient's: only `zdc_service.rpc.inference` imports ours, and no client of this project does.
"""
