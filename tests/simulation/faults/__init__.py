"""Fault trials: the whole exchange in a private stack, under load, while its processes are killed.

    promises   what a trader was told of each order, and whether what is seen later keeps it
    trader     a trader's program: places, cancels, amends over REST, and asks again until it knows
    tally      what all traders counted together: answers, and when orders were acknowledged
    injection  what is done to the stack, and the order in which it is done
    watcher    a program that follows the feeds, and is held against PostgreSQL at rest
    checks     what must hold once the load pauses, read from PostgreSQL past the services
    trial      rounds of load, fault, pause and checks; the report

`python -m tests.simulation.faults` is the long form, `test_faults.py` a short one.
"""
