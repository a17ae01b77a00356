"""
Python's garbage collector in a process that only serves requests (docs/decisions/0014).

A request that is answered leaves no cycles; one whose caller goes away leaves some, with its traceback. So
there is little to be found, and as Python comes it is looked for after every 700 new objects.

A process that is no actor of Ray's belongs to somebody else, as in local testing mode: it is left as it is.
"""

import gc

import ray

# New objects until they are looked through; every second time, so are those that were left over by that, and
# every fourth time all. So what was on its way at the wrong moment, and was left to itself later, is found
# soon; and a look at all is cheap, because what was there from the start is set aside.
THRESHOLDS = (10_000, 1, 1)


def tune_gc() -> None:
    """Look for garbage among new objects, and seldom."""
    if _is_an_actor():
        gc.set_threshold(*THRESHOLDS)


def set_aside() -> None:
    """Never look again at what there is by now. Serve does this for its replicas, and only for these."""
    if _is_an_actor():
        gc.collect()
        gc.freeze()


def _is_an_actor() -> bool:
    return ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
