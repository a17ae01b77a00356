"""What the gateway is told: YAML and environment, as frozen types that refuse what they do not know."""
