"""The daemon on a device: it turns the effects of `hushfleet.rounds.device` and `.member` into files, MQTT and time.

Here live its durable store (ledger, decryption log, contributions in the making), data sources, the dialogue with systemd,
configuration and the commands under `hushfleet agent`. May import `hushfleet` and `models.catalogue`, no other program,
and can reach no module that deals keys.
"""
