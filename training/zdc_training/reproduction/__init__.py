"""The paper's tables and figures, made again on this project's data (`train-zdc reproduce`)."""
