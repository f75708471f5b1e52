"""The exchange with a bank's own wallet service (WALLET=http), while both are killed, stalled and cut off.

    service     the reference service as a process, and what it can be told
    step        one step of the exchange as a process
    trial       rounds of load, fault, pause and checks

`python -m tests.simulation.wallet --rounds 30` is the long form.
"""
