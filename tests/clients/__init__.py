"""Client programs, unchanged, against a gateway that runs: `make test-clients` and `make test-agents`."""
