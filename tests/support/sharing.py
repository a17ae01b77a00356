"""How tests are shared out between processes: file by file, and those of the one cluster to one of them."""

from xdist.scheduler import LoadScopeScheduling

NEED_THE_CLUSTER = ("tests/e2e/", "tests/integration/", "tests/vllm/")
# Start processes of their own, a cluster included where they need one; they run beside it.
ON_THEIR_OWN = (
    "tests/e2e/test_plugins.py",
    "tests/e2e/test_ways_in.py",
    "tests/integration/test_stops.py",
)


class FilesAndOneCluster(LoadScopeScheduling):
    """
    The tests of a file run in one process, in their order; those of the shared cluster run in one.

    The largest shares are handed out first: those of the cluster are one of them, so the rest runs beside.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(NEED_THE_CLUSTER) and not nodeid.startswith(ON_THEIR_OWN):
            return "cluster"
        return nodeid.partition("::")[0]
