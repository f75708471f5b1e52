"""`manage.py bench`: how fast and how big the exchange is on this machine, measured from outside.

    main       arguments, order of events, exit code
    place      what is measured: an installation of its own, or one that runs already
    scenarios  the loads over REST          limit      the bare COPY that the batch load is compared with
    recovery   a killed matcher             orders     prepared requests
    feeds      the WebSocket feed           feed_clients, feed_book, websocket: those who listen to it
    driver     runs load.py, which makes the load in a process of its own
    usage      processor time and memory    machine    what it ran on
    result     figures and targets          report     the same as text

Django-free: what needs Django runs as a process. To see where the time goes, start the bench with a long
`--seconds` and `--only`, and attach a sampling profiler (such as py-spy) to the web process or a matcher.
"""
