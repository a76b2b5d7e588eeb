"""The operating system under a program: durable files, systemd, signals, and problems that repeat.

Knows nothing of fleets, keys or messages. Stands beside the ground floor and imports nothing of ours but `hushfleet.errors`.
"""
