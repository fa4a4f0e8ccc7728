"""Everything that talks to Kafka; no other folder imports the `kafka` library, and nothing here knows orders.

A broker that does not answer is always `BrokerAway`, whichever call met it. Read clients.py first:

clients.py          settings and constructors of the clients; `BrokerAway`; one patch of kafka-python
records.py          the values: TopicPartition, ProducerRecord, AppendResult, Bounds
topics.py           creates topics and checks their partition counts and settings
log_reader.py       reads partitions outside any group, from one offset to another or without end
group_consumer.py   membership of one consumer group on one topic
consumer_groups.py  members and committed offsets of any group, and moving those offsets
removal.py          deletes temporary topics and groups by their prefix
producer/           writes records
"""
