"""Training of the generator: data, models, losses, evaluation and export to ONNX (`train-zdc`)."""
