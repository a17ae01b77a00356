"""How a stream reaches the caller: as it comes, resumed, or held back until it is whole."""
