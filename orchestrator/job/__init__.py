"""A training job: its file, the check against the fleet before anything is sent, and its holdout.

May import the library and `models.catalogue`; nothing here touches the store or the network.
"""
