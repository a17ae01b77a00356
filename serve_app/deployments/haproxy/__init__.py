"""The HAProxy that Ray Serve starts, with a hardened configuration."""
