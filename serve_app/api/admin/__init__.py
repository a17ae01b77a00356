"""The admin API under `/api/admin`: what operators may read and change while the gateway runs."""
