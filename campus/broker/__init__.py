"""The embedded Kafka: its jars, its Java, its process. Not here: any Kafka client."""
