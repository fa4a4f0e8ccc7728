"""Everything that talks to Kafka. No other folder imports the `kafka` library, and nothing here knows orders.

Read clients.py first: settings, constructors, and `BrokerAway`, which reading raises if no broker answers.
records.py has the values. log_reader.py reads partitions, group_consumer.py does so as a member of a consumer
group, and producer/ writes them. consumer_groups.py and topics.py inspect and change what the broker keeps.
"""
