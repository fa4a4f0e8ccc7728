"""A peer: FastAPI on uvicorn (uvloop, httptools) and aiokafka's `send_and_wait`, the asynchronous way that is
advised today: one event loop for all, the client batches what is sent while a request is out.

    python benchmarks/http/fastapi_aiokafka.py --port 8102 --bootstrap-servers HOST:PORT --topic order-events
"""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request
from options import peer_options
from pydantic import BaseModel, ConfigDict, Field

options = peer_options(__doc__)

Text = Annotated[str, Field(min_length=1, max_length=256)]


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: Text
    item: Text
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]


class Accepted(BaseModel):
    order_id: str
    status: str = "accepted"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AIOKafkaProducer(bootstrap_servers=options.bootstrap_servers, acks="all") as producer:
        app.state.producer = producer
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/order", status_code=202)
async def place_order(order: Order, request: Request) -> Accepted:
    order_id = str(uuid.uuid4())
    event = {
        "event_type": "OrderPlaced",
        "order_id": order_id,
        **order.model_dump(),
        "placed_at": datetime.now(timezone.utc).isoformat(),
    }
    producer: AIOKafkaProducer = request.app.state.producer
    await producer.send_and_wait(options.topic, key=order.item.encode(), value=json.dumps(event).encode())
    return Accepted(order_id=order_id)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="error", access_log=False)
