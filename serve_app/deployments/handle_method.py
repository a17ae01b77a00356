"""
Calls through deployment handles, with the transport chosen by the size of the body.

Small messages use Serve's internal gRPC, which is three times cheaper than an actor call; a body near the
gRPC message limit is passed by reference.
"""

import os
from typing import Any

from grpc import RpcError
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

# Serve refuses larger messages over gRPC; `sekha serve` raises the limit. Read as Serve itself reads it.
GRPC_LIMIT = int(os.environ.get("RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH") or 4 * 1024 * 1024)
LARGE_BODY = GRPC_LIMIT * 3 // 4
ROOMY = 64 * 1024 * 1024  # above any batch of embeddings

# The exceptions that Ray itself raises for a call.
TROUBLES = (RayError, RayServeException, RpcError)

_OVER_GRPC = {
    "_by_reference": False,
    "request_serialization": "pickle",
    "response_serialization": "pickle",
}


class HandleMethod:
    """
    One method of a deployment, called with the transport that suits the size of the body.

    Made once, because `.options()` copies a dataclass at every call. `large_answers`: a small request may
    get a large answer, whose size is not known before.
    """

    def __init__(
        self, handle: Any, method_name: str, *, stream: bool = False, large_answers: bool = False
    ) -> None:
        self._large = handle.options(method_name=method_name, stream=stream, _by_reference=True)
        self._small = self._large
        if GRPC_LIMIT >= ROOMY or not large_answers:
            self._small = handle.options(method_name=method_name, stream=stream, **_OVER_GRPC)

    def remote(self, size: int, *args: object) -> Any:
        """Send the call; `size` is the length of its body in bytes."""
        return (self._small if size < LARGE_BODY else self._large).remote(*args)
