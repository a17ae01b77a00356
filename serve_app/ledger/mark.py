"""How far the ledger has come with the entries of one router."""

from typing import NamedTuple


class Mark(NamedTuple):
    """
    How far a journal has come: its entries up to `taken` were heard of, up to `written` are in the store.

    What is not taken in is sent again; what is not written stays in the journal.
    """

    taken: int = 0
    written: int = 0
