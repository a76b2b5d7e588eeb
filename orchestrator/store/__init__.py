"""The orchestrator's durable memory: database, blobs and archive folders; what is read back of them, and what they report.

`store` writes, `restore` makes the coordinator's state of it, `reports` reads beside a running job.
"""
