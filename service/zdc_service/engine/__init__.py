"""Models in memory: found, loaded, warmed up, run by onnxruntime on a CPU or a GPU."""
