"""A caller that speaks Responses, served by an upstream that speaks chat completions."""
