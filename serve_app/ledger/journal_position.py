"""The progress of one router's entries into the ledger."""

from typing import NamedTuple


class JournalPosition(NamedTuple):
    """
    The progress of a journal.

    Attributes:
        taken: the control plane has the entries up to this number; later ones are sent again.
        written: the store has the entries up to this number; later ones stay in the journal.
    """

    taken: int = 0
    written: int = 0
