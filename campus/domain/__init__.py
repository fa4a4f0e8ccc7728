"""What is true of orders and stock, with no I/O, no clock and no randomness."""
