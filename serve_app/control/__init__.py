"""The state that all routers share: one control plane, and a cache in every router. Pure."""
