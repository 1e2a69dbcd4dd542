"""The collector: takes events and labels over HTTP, and answers 202 only when they are in the
store.

    python -m fairway.monitoring.eventstore.collector --store events.db --port 0 --token-file token

One thread writes, so that a slow disk never stops the loop that answers; `parsing` reads larger
bodies in a process of their own. Delivery is at least once, and an event that comes twice is stored
once. Where the store is locked or its disk full the collector answers 503 and stores nothing of the
batch.

    POST /v1/events, /v1/labels, /v1/outcomes   from servers, and from programs that know the truth later
    GET  /v1/cursor, /v1/pairs, /v1/labelled, /v1/outcomes, /v1/exposure
                                                what a rollout is judged by; `eventstore.remote` asks for it
    GET  /v1/window, /v1/last, /v1/first, /v1/realised, /v1/mark; and see `keeping`
                                                what a monitor reads and keeps; `eventstore.distant` asks for it

Readers have a thread and a connection of their own: a long answer keeps no event waiting. `access`
tells callers apart; /livez, /healthz and /metrics are open, and hold no event.
"""
