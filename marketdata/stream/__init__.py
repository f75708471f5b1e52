"""The stream process: WebSocket feeds at /stream.

    Redis feed:* ──▶ feed ──▶ chain      was anything missed?
                      │
                      ▼
                    books · trades · ticker · candles · private · notifications    channels: state, epoch, sequence
                      │ one message, serialised and framed once
                      ▼
                    connection ──▶ outlet                          one of each per socket

A process has one Redis subscription and one hub. Nothing is done for a channel without clients. The worker's
messages say what changed; PostgreSQL and `book:{symbol}` say where to begin.
"""

from __future__ import annotations
