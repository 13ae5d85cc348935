"""The service: a trained generator behind HTTP and gRPC, and the client that speaks both."""
