"""The configuration: YAML and environment variables as frozen types, which reject unknown settings."""
