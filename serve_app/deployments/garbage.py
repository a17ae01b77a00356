"""How often a process of ours looks for reference cycles."""

import gc

# How many more containers than at the last look there have to be, and how many looks at the younger ones have
# to have gone before each of the older generations. Python's own 700 is what ten requests under way hold; its
# 10 and 10 come to the same as these for the oldest, so that no more garbage gathers there: with (5, 5), two
# routers grew by 50 MB an hour in a soak of ten minutes.
AFTER = (10_000, 2, 2)


def collect_seldom() -> None:
    """
    Look for cycles where there may be some, and not at every burst of requests.

    Almost nothing of ours is freed by that: what a request made goes when it ends. With 32 at once, the
    search took 22 to 39 of the 320 to 550 microseconds that a request takes of a router.
    """
    gc.set_threshold(*AFTER)
