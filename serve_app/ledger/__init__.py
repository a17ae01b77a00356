"""Accounting of usage: entries, the journal they are first written to, and reports over them."""
