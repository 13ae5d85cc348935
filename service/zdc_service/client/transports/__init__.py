"""Clients over gRPC and HTTP, and in this process."""
