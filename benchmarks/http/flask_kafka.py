"""A peer: Flask's own threaded server and kafka-python's KafkaProducer, as most class projects have it.

Written plainly, and made honest: it answers when the broker has the order, which such projects often do not
wait for.

    python benchmarks/http/flask_kafka.py --port 8101 --bootstrap-servers HOST:PORT --topic order-events
"""

import json
import logging
import uuid
from datetime import datetime, timezone

from flask import Flask, jsonify, request
from kafka import KafkaProducer
from options import peer_options

options = peer_options(__doc__)
app = Flask(__name__)
producer = KafkaProducer(
    bootstrap_servers=options.bootstrap_servers,
    acks="all",
    key_serializer=str.encode,
    value_serializer=lambda event: json.dumps(event).encode(),
)


@app.post("/order")
def place_order():
    order = request.get_json()
    if not isinstance(order, dict) or {"user_id", "item", "quantity"} - order.keys():
        return jsonify(error="user_id, item and quantity are wanted"), 422
    event = {
        "event_type": "OrderPlaced",
        "order_id": str(uuid.uuid4()),
        "user_id": order["user_id"],
        "item": order["item"],
        "quantity": order["quantity"],
        "placed_at": datetime.now(timezone.utc).isoformat(),
    }
    producer.send(options.topic, key=event["item"], value=event).get(timeout=10)
    return jsonify(order_id=event["order_id"], status="accepted"), 202


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(host="127.0.0.1", port=options.port, threaded=True)
