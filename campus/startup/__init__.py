"""Builds the system from the config and runs it, for the command line and for commands.

Read `system.py` first: the list of children and how they are supervised. `broker.py` and `topics.py` are the
first two children.
"""
