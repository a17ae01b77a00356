"""What all routers must agree on: one authority, and a local copy in every router. Pure."""
