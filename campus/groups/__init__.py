"""Consumer groups as people see them: their lag, whether they keep up, and where to move their offsets.

lag.py            samples the lag of every partition of every group
lag_verdict.py    judges a window of samples by Burrow's rules; pure
offset_target.py  parses where to move an offset; pure
planning.py       the groups of our roles, and the moves that a target means
"""
