"""The training loop: epochs, steps, progress, callbacks, profile."""
