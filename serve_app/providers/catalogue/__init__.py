"""The catalogue of vendors: one row for each (`rows.py`). Pure data without other imports of the gateway."""
