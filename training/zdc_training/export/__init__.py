"""A trained model as files: ONNX graph, card and README for the service, and for ALICE O2."""
