"""From a request to its result: planned, queued, computed in a batch, handed out."""
