"""
Python's garbage collector in a process that only serves requests.

A request that is answered leaves no cycles; one whose caller goes away leaves some, with its traceback. So
there is little to be found, and as Python comes it is looked for after every 700 new objects
(docs/decisions/0014).
"""

import gc

import ray

# New objects until they are looked through; every second time, so are those that were left over by that, and
# every fourth time all. So what was on its way at the wrong moment, and was left to itself later, is found
# soon; and a look at all is cheap, because it is not one at what was there from the start.
THRESHOLDS = (10_000, 1, 1)


def collect_seldom() -> None:
    """
    Never look again at what there is by now, and seldom at what is new.

    To be called when the process has started. Serve sets aside what its replicas have started with, too, but
    the control actor is none. Does nothing outside of an actor of Ray's: there, as in local
    testing mode, the process belongs to somebody else.
    """
    if not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
