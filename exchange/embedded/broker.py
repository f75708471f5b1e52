"""`python -m exchange.embedded.broker PORT PARTITIONS TOPIC…`: librdkafka's mock cluster on a port we choose.

For a machine that has no Kafka: it speaks the protocol (groups, idempotent producers), keeps the last few MB of each
partition in memory, and loses them when it ends. The library picks a port by itself, which clients would not find
again after a restart. So a listening socket of ours takes the place of its own, and metadata names ours.

It runs without our settings and without Django. Ends by SIGTERM, and with exit code 1 if the port is taken.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

HOST = "127.0.0.1"
BROKER = 1
REBALANCE_MILLISECONDS = 100  # a new group waits that long for more members; the library would wait 3 s
_PRODUCER = 0
_DESCRIPTORS = range(3, 256)


def main(port: int, partitions: int, topics: Sequence[str]) -> int:
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before the library's threads start
    try:
        listener = socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        print(f"cannot listen on {HOST}:{port}: {error.strerror}", file=sys.stderr)
        return 1
    cluster = MockCluster()
    for topic in topics:
        cluster.create_topic(topic, partitions)
    cluster.listen(listener)
    print(f"listening on {HOST}:{port}", flush=True)
    signal.sigwait(stop)
    return 0


class MockCluster:
    """As rdkafka_mock.h has it. It lives as long as this process."""

    def __init__(self) -> None:
        library = ctypes.CDLL(_library())
        library.rd_kafka_new.restype = library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        why = ctypes.create_string_buffer(512)
        client = library.rd_kafka_new(_PRODUCER, None, why, ctypes.sizeof(why))
        assert client, why.value.decode()
        self.library = library
        self.handle = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), BROKER))
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self.handle, REBALANCE_MILLISECONDS)

    @property
    def address(self) -> str:
        """host:port where the library listens by itself."""
        return str(self.library.rd_kafka_mock_cluster_bootstraps(self.handle).decode())

    def create_topic(self, name: str, partitions: int) -> None:
        failed = self.library.rd_kafka_mock_topic_create(self.handle, name.encode(), partitions, 1)
        assert not failed, f"topic {name}: error {failed}"

    def listen(self, listener: socket.socket) -> None:
        """Take connections from `listener` instead."""
        host, port = listener.getsockname()
        os.dup2(listener.fileno(), _listening(self.address))
        self.library.rd_kafka_mock_broker_set_host_port(self.handle, BROKER, host.encode(), port)


def _library() -> str:
    """The librdkafka that came with confluent_kafka, under the name by which that has loaded it."""
    import confluent_kafka

    package = Path(confluent_kafka.__file__).parent
    return str(next(package.parent.glob("confluent_kafka.libs/librdkafka-*")))


def _listening(address: str) -> int:
    """The descriptor in this process that listens on `address`."""
    for descriptor in _DESCRIPTORS:
        try:
            copy = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue  # not open, or no socket
        with copy:
            if copy.family == socket.AF_INET and "{}:{}".format(*copy.getsockname()) == address:
                return descriptor
    raise AssertionError(f"nothing listens on {address}")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
