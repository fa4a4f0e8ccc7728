"""The batch producer: appends records with acks=all and returns their offsets.

A *produce batch* is what is in flight at one time: at most one record batch for each partition, sent as one
Produce request to each leader, all leaders at once. Read writer.py first.

This is built on kafka-python's network loop and connections instead of KafkaProducer. These parts are not its
public API, so pyproject.toml pins its minor version, and only this folder uses them.

writer.py           `Writer`: append, one produce batch after the other
group_commit.py     `GroupCommit`: gathers single records into produce batches and reports each one
batches.py          cuts records into batches and reads the answers
produce_request.py  the Produce request and response as bytes
leaders.py          metadata and connections
event_loops.py      runs the network loop in a thread, or inside asyncio
errors.py           `AppendFailed` and `WriterClosed`
"""
