"""One call to one target."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from serve_app.control.breakers import Admission
from serve_app.formats.base import ChatFormat
from serve_app.gateway.charging import AttemptCharge
from serve_app.routing.candidate import Candidate
from serve_app.routing.target import Target


class AttemptTimeouts(NamedTuple):
    """
    The timeouts of one attempt in seconds, as `providers.base.Call` has them.

    Fields:
        timeout_s: the whole attempt; of a stream until its first token.
        first_byte_s: until the head of the answer.
        idle_s: any silence after the first token.
        hurried: the deadline left less than this target usually gets.
    """

    timeout_s: float
    first_byte_s: float = inf
    idle_s: float = inf
    hurried: bool = False


@dataclass(slots=True)
class Attempt:
    """
    One call to one target, let through by its breaker.

    Fields:
        number: counts the attempts of the request, from 1.
        retries: the attempts of the request at this target before this one.
        charge: its place in the request's charges.
        began: when it reached its target, on the monotonic clock; None while a machine has yet to start.
        output_chars, frames: how much text of the answer has come so far, and in how many frames.
        ran_into_deadline: the answer was still coming when the request's time was up.
        format: the caller's format, in which a stream arrives here.
        dropped: the caller's parameters that the target did not get.
    """

    candidate: Candidate
    admission: Admission
    number: int
    retries: int
    timeouts: AttemptTimeouts
    charge: AttemptCharge
    began: float | None
    format: ChatFormat
    output_chars: int = 0
    frames: int = 0
    ran_into_deadline: bool = False
    dropped: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        """Return the target that is called."""
        return self.candidate.target

    @property
    def provider_id(self) -> str:
        """Return the id of the provider that is called."""
        return self.candidate.target.provider_id

    def listen(self, block: bytes) -> None:
        """Count the text and frames of a block, for an answer that breaks off later."""
        self.output_chars += self.format.count_chars(block)
        self.frames += max(1, block.count(b"\n\n"))  # sound has no frames
