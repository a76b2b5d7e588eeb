"""The link over MQTT 5 with TLS: one session that outlives connections, and one network thread of our own (ADR 5).

`client` is the only file that imports paho. May import `hushfleet.link` and what lies below it.
"""
