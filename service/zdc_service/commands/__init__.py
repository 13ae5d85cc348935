"""The subcommands of `zdc`, except `serve`."""
