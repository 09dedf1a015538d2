"""Other formats: PyTorch checkpoints, StableHLO and ONNX."""
