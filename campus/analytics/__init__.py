"""Counts what inventory has decided. Pure: the same entries always give the same metrics and the same report.

Start with metrics.py (a fold of the journal, one per partition); report.py lays a sum of metrics out as text.
"""
