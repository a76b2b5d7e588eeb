"""The parts that every program shares: the party's folder and keys, settings files, the terminal, and the `verify` command.

May import `hushfleet.link` and everything below it. No other package of the library imports this one.
"""
