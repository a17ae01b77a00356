"""The admin API under `/api/admin`: reads and changes by operators at run time."""
