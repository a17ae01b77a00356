"""What was used: entries, the journal they are written to first, and reports over them."""
