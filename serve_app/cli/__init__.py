"""The `sekha` command."""
