"""Finds, loads, warms up and runs models with onnxruntime, on a CPU or a GPU."""
