"""Which Kafka answers, as far as it tells: brokers speak of protocols and features, not of their release."""

from campus.runtime.config import KafkaConfig
from campus.stream.clients import admin


def broker_version(kafka: KafkaConfig) -> str:
    """The release that its protocols are those of, and its metadata.version. Raises BrokerAway."""
    with admin(kafka) as client:
        brokers = [broker["broker_id"] for broker in client.describe_cluster()["brokers"]]
        speaks = client.get_broker_version_data(brokers[0]).broker_version_str
        level = client.describe_features().get("metadata.version", {}).get("finalized", (None, None))[1]
    return f"{speaks} (by its protocols; metadata.version {level}; brokers: {len(brokers)})"
