"""Decides what the stock allows. Pure: no I/O, no clock, no randomness, so a replay repeats every decision.

Start with ledger.py: `StockLedger.decide(record) -> entry` only looks, `StockLedger.apply(entry)` changes the
state, and restoring a partition is applying its entries.

    ledger         one partition's stock: decide and apply
    dedupe_window  the last decided ids of a partition, and what each order reserved
    rules          what the owner of a partition needs: its claim, its ledger, the opening stock
"""
