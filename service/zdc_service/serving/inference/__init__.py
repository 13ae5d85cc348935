"""The Open Inference Protocol (KServe v2) and Triton's extensions of it, whatever carries them."""
