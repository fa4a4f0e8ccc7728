"""The batch producer: appends records with acks=all and returns their offsets. Read writer.py first.

A *produce batch* is what is in flight at one time: at most one record batch for each partition, in one
Produce request to each leader. group_commit.py gathers single records into produce batches.

This stands on kafka-python's network loop and connections instead of its KafkaProducer. They are not public
API: pyproject.toml pins the minor version, and only this folder uses them.
"""
