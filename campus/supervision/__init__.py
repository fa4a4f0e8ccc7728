"""OTP's supervisor for threads: start in order, stop in reverse, restart what crashes, within a limit.

Read `lifecycle.py` first (the states of a child, the legal moves, the restart rules: pure data), then
`supervisor.py` (the loop that applies them). `worker.py` is one child and its thread, `role.py` the
interface that a child implements, `registry.py` how the roles of one process find each other's objects.
Knows nothing of Kafka or of orders.
"""
