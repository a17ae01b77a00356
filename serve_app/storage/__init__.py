"""Persistent storage: the routers' journals on disk, and the ledger in a database."""
