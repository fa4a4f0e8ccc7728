"""The vocabulary of orders and stock, shared by every other folder. Pure: no I/O, no clock, no randomness.

Start with events.py (what the records say) and journal.py (which entries of the journal count).

    events       the event types and the limits of their fields
    codec        bytes to events and back; what cannot be decoded
    journal      the rule that decides whether a journal entry counts
    snapshot     the bytes of a snapshot: a fold's state and the journal position it stands for
    partitions   item to partition, as Kafka's Java clients compute it
    order_ids    ids of orders and restocks, by time or from an idempotency key
    times        milliseconds to ISO 8601 and back
"""
