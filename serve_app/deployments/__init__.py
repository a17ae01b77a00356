"""Places for objects to run on Ray: no opinions, only processes, handles and options."""
