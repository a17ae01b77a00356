"""Budgets and rates: how much may be used, who has it on lease, and who has to wait."""
