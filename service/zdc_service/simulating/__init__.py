"""From a request to its result: planned, scheduled, batched, run."""
