"""A whole fleet on one machine: the demo, and rounds under a manual clock with faults drawn from a seed.

The only package that may import all programs, the library and `models` together, because it plays every party; nothing imports it.
"""
