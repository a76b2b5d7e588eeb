"""A lasting fleet on one machine, `hushfleet up` and `down`: real processes that keep their state and are started again.

Everything in it is made by the same code as on many machines, and each part is a folder that can move to a machine of its own.
"""
