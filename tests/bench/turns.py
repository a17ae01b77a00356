"""
One caller who shows a key for one request and none for the next: what accounts add to the wait for an answer.

Both kinds meet the same moments of the machine, so their difference is far smaller than either swings.
"""

import socket
from collections.abc import Mapping
from contextlib import closing
from random import Random
from statistics import median
from time import perf_counter

from tests.bench.subjects import Subject
from tests.bench.wire import Address, ResponseReader, chat_request

BUFFER = 65_536


def latencies_in_turn(first: Subject, second: Subject, seconds: float) -> Mapping[str, float]:
    """The median time to a whole answer of either, in milliseconds, asked one at a time in pairs."""
    requests = {
        subject.name: chat_request(subject.url, subject.model, subject.key) for subject in (first, second)
    }
    seen: dict[str, list[float]] = {name: [] for name in requests}
    names, rng, until = list(requests), Random(7), perf_counter() + seconds
    address = Address.of(first.url)
    with closing(socket.create_connection((address.host, address.port), timeout=10)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while perf_counter() < until:
            rng.shuffle(names)  # nobody always comes after the other
            for name in names:
                seen[name].append(1e3 * answered_in_s(connection, requests[name]))
    return {name: median(times) for name, times in seen.items()}


def answered_in_s(connection: socket.socket, request: bytes) -> float:
    """Ask, and read the whole answer; ConnectionError when it is none, or not a 200."""
    reader = ResponseReader()
    sent_at = perf_counter()
    connection.sendall(request)
    while not reader.complete:
        data = connection.recv(BUFFER)
        if not data:
            raise ConnectionError("cut off")
        reader.feed(data)
    if reader.status != 200:
        raise ConnectionError(f"answered {reader.status}")
    return perf_counter() - sent_at
