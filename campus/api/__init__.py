"""The HTTP API: what it takes and gives, its own description, and the views that serve it."""
