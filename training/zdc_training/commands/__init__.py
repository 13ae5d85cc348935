"""The commands of ``train-zdc``: their options, and what each calls."""
