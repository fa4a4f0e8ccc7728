"""The replay decides all of order-events again with a fresh ledger and compares each entry with the journal.

It uses the program's own rules on purpose: it proves that these rules and the log give the journal, byte for
byte, and the metrics of analytics. That the rules are right is proved by the audit. Start with replayer.py.

    replayer     decides each partition again and compares
    findings     the figures, the first difference and the verdict
    kafka_logs   runs a replay on the topics of a Kafka, up to now or as of a time
    timeline     the events of both logs in the order of their times
    event_lines  one event as one line of text
"""
