"""Consumer groups as people see them: lag.py samples their lag, lag_verdict.py judges whether they keep up,
offset_target.py and planning.py find the offsets to move them to. Moving is
campus/kafka/consumer_groups.py's.
"""
