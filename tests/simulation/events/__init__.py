"""Fault trials of the events' way: outbox, relay, Kafka, consumers, in a private stack under a bounded order load.

    recorder   a plain consumer of all topics that writes down what comes, in the order in which it comes
    checks     what must hold at rest: nothing lost, order per key, every handler's effects exactly once
    trial      rounds of load, fault, pause and checks; the report

A round kills (-9) or stops (SIGSTOP for some seconds) one of relay, consumers, kafka, postgres and valkey. What the
embedded Kafka had is gone when it is killed: then the events are sent again with `manage.py outbox --republish`, as
bank IT would, and the checks are the same.

`python -m tests.simulation.events` is the long form, `tests/simulation/test_events.py` a short one.
"""
