"""The loops that turn a topic into state, and keep that state right through crashes and rebalances.

A *fold* is the state of one partition: an object to which the events of the journal are applied in order.
Every loop restores its folds from the journal, so its state never depends on the group's committed offset.

Read `owner.py` first: it is the protocol that gives exactly-once outcomes.

    owner.py          decides: claims partitions, decides their inputs, appends the journal entries
    follower.py       only reads the journal and folds it into the metrics of analytics
    restore.py        builds folds from the newest snapshot and the journal's tail after it
    snapshots.py      writes snapshots, so that a restore reads little
    moved_offsets.py  reacts to group offsets that an external tool changed
    role_loop.py      what a role needs around its loop: a thread, Kafka clients, waiting out an outage
"""
