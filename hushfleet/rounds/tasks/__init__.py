"""The tasks that a plan may ask for: a new one is a file here, its document in `hushfleet.documents`, and a line in each table.

`base` is the seam, `train` the orchestrator's and the auditor's side of training, `device` what a device fetches for each task.
Nothing else in `hushfleet.rounds` assumes a model or an optimiser.
"""
