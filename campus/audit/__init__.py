"""The audit proves from the logs alone that every order was decided rightly and once, or says where not.

It is a second opinion. Of the program that it judges it shares only the events, their codec and the hash that
maps items to partitions. The rule of the journal, the stock, the window and the reasons are implemented here
once more, independently: do not replace them by calls into `campus/domain/journal.py` or `campus/inventory`.
(kafka_logs.py, which only reads, also decodes analytics' snapshots.) Start with checker.py.

    checker     Audit: feeds the logs of each partition in, and gives the findings
    partition   judges one partition's entries against their records and against what was decided before
    record      compares one entry with its record
    memory      what is remembered of ids and side outputs
    findings    the figures, the violations and the verdict
    kafka_logs  runs an audit on the topics of a Kafka
"""
