"""The order book: what became of the latest orders and what is in stock, so that the API can answer from
memory.

It is a bounded read model of both logs. Nothing depends on it: every process that runs the `book` role builds
a whole book of its own, and an error costs only reading again. Read `projector.py` first.

    projector.py     the loop that reads both logs into the book
    order_book.py    the book: thread-safe, with callbacks for decided orders
    order_window.py  the last `orders_max` orders, indexed
    stock_levels.py  the stock of one partition
    views.py         the answers, as the API returns them
"""
