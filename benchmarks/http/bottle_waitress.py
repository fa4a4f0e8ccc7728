"""A peer: bottle on waitress, a thread a request, and kafka-python's KafkaProducer waited for in the thread.

python benchmarks/http/bottle_waitress.py --port 8103 --bootstrap-servers HOST:PORT --topic order-events
"""

import json
import uuid
from datetime import datetime, timezone

import waitress
from bottle import Bottle, HTTPError, request, response
from kafka import KafkaProducer
from options import peer_options

THREADS = 64

options = peer_options(__doc__)
app = Bottle()
producer = KafkaProducer(
    bootstrap_servers=options.bootstrap_servers,
    acks="all",
    enable_idempotence=False,
    linger_ms=0,
    key_serializer=str.encode,
    value_serializer=lambda event: json.dumps(event).encode(),
)


@app.post("/order")
def place_order():
    order = request.json
    if not isinstance(order, dict) or {"user_id", "item", "quantity"} - order.keys():
        raise HTTPError(422, "user_id, item and quantity are wanted")
    event = {
        "event_type": "OrderPlaced",
        "order_id": str(uuid.uuid4()),
        "user_id": order["user_id"],
        "item": order["item"],
        "quantity": order["quantity"],
        "placed_at": datetime.now(timezone.utc).isoformat(),
    }
    producer.send(options.topic, key=event["item"], value=event).get(timeout=10)
    response.status = 202
    return {"order_id": event["order_id"], "status": "accepted"}


if __name__ == "__main__":
    waitress.serve(app, host="127.0.0.1", port=options.port, threads=THREADS, backlog=1024)
