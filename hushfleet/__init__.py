"""Private federated learning for fleets of small devices.

The library: values and pure steps. Nothing here opens a socket, reads a clock or touches a file, but for the four rooms that
programs are made with: `hushfleet.system`, `hushfleet.link`, `hushfleet.program` and `hushfleet.cli` (the umbrella command).
It never imports the programs built on it (`edge_agent`, `orchestrator`, `models`, `provisioning`),
so an application may use it beside packages of the same names.
"""

__version__ = "0.1.0"
