"""A chat completion in pieces, on its way to the caller, and what happens when it breaks off."""
