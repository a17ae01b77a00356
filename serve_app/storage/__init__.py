"""What outlives the processes: the routers' journals on disk, and the ledger in a database."""
