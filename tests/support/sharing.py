"""How tests are shared out between processes: file by file, and whatever needs Ray to one of them."""

from xdist.scheduler import LoadScopeScheduling

NEED_RAY = ("tests/docs/", "tests/e2e/", "tests/integration/", "tests/vllm/")


class FilesAndOneCluster(LoadScopeScheduling):
    """
    The tests of a file run in one process, in their order; those that need Ray run in one, on one cluster.

    The largest shares are handed out first: those of Ray are one of them, so the rest runs beside.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "ray" if nodeid.startswith(NEED_RAY) else nodeid.partition("::")[0]
