"""A caller of text completions, served by an upstream that speaks chat completions."""
