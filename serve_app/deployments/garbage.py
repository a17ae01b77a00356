"""How often a replica's process looks for reference cycles."""

import gc

# Containers that came into being, and are still there, until somebody looks. Python's own 700 is a tenth of
# what a hundred requests under way hold, so that it would look several times for each of them. Each of the
# older generations is looked at with every fifth look at the one before.
AFTER = (10_000, 5, 5)


def collect_seldom() -> None:
    """
    Look for cycles where there may be some, and not at every burst of requests.

    Almost nothing of ours is freed by that: what a request made goes when it ends. With 32 at once, the
    search took 22 to 39 of the 320 to 550 microseconds that a request takes of a router.
    """
    gc.set_threshold(*AFTER)
