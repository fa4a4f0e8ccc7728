"""Measures how the system behaves, for `campuskafka.py bench`: latency, throughput, consumer lag and replay.

Each of the four tests runs a load, checks that nothing was lost, and returns figures; nothing here prints.
The load comes from a process of its own. Read suite.py first: it has the steps of each test.

    suite.py             the four tests
    environment.py       where they run: on topics and groups of their own, or on the live system
    load.py              the load generator: closed and open loops, and what it orders
    http_clients.py      its HTTP client
    load_process.py      runs work in another process
    outcome_listener.py  when the outcome of each order became visible
    measured_group.py    one consumer group: its lag, its catching up, the reset of its offsets
    latency.py  produce.py  lag.py  replay.py    the figures of each test
    report.py  evidence.py  plots.py    the results as data and text, as files, as pictures
"""
