"""What is known about vendors: one row for each (`rows.py`). Pure data that imports nothing else of ours."""
