"""The tests that people run to see how the system behaves: latency, ten thousand events, lag, replay.

Each measures what it says and hands back figures; nothing here prints.
"""
