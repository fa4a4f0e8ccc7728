"""CampusKafka: one folder per capability, with its pure core and its Kafka edge side by side.

Imports only go down and form no cycle; `tests/test_layers.py` lists the floors and checks both.
"""
