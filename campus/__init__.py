"""CampusKafka's parts: commands on top, stream and broker under them, domain and runtime as the
ground.

Imports only go down: `tests/test_layers.py` reads them and says which one does not.
"""
