"""What operators may ask and change while the gateway runs, under `/api/admin` (contract 6.2)."""
