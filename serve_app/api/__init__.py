"""HTTP: from bytes to the gateway and back."""
