"""The only code that talks to Kafka as a client: writing, reading, topics, and the two loops."""
