"""A whole fleet on one machine, `hushfleet demo`: over a real Mosquitto or in memory, with the attacks that it plays on itself.

The only package that may import all programs, the library and `models` together, because it plays every party; nothing imports it.
"""
