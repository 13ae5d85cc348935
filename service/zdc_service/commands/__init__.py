"""Commands of `zdc` besides `serve`."""
