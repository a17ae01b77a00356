"""How long a sound is, read from its file."""
