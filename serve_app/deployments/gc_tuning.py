"""
Python's garbage collector in a process that only serves requests (docs/decisions/0014).

An answered request leaves no reference cycles; one whose caller disconnects leaves some, with its traceback.
So there is little garbage, and Python's default is a collection after every 700 new objects.

A process that is not a Ray actor, as in local testing mode, belongs to the application and is not changed.
"""

import gc

import ray

# New objects before a collection of the youngest generation; every second one also collects the middle
# generation, and every fourth one all. So garbage that survived a collection is found soon; a full collection
# is cheap, because the objects from the start are frozen.
THRESHOLDS = (10_000, 1, 1)


def tune_gc() -> None:
    """Make garbage collections rare."""
    if _is_an_actor():
        gc.set_threshold(*THRESHOLDS)


def set_aside() -> None:
    """Exclude the present objects from collections, as Serve does for its replicas (and only for these)."""
    if _is_an_actor():
        gc.collect()
        gc.freeze()


def _is_an_actor() -> bool:
    return ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
