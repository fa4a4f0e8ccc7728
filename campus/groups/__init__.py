"""Consumer groups as people see them: lag.py samples their lag, lag_verdict.py judges whether they keep up,
offset_target.py plans where to move their offsets.
"""
