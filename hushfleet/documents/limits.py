"""Ceilings for documents, before anything is parsed. Those for messages stand in `hushfleet.wire.limits`."""

MAX_ROSTER_BYTES = 1 << 20
MAX_SIGNED_BYTES = (1 << 20) + 256
MAX_DECRYPTION_REQUEST_BYTES = 1 << 28
MAX_PLAN_BYTES = 4096
MAX_HEADER_BYTES = 1024
MAX_GRANT_BYTES = 16 << 10
MAX_ENROLMENT_REQUEST_BYTES = 16 << 10
MAX_BUNDLE_BYTES = (1 << 20) + (64 << 10)
MAX_RECEIPT_BYTES = 16 << 10
MAX_RECORD_BYTES = 1 << 20
MAX_ANSWER_BYTES = 5 << 20
"""One member's answer: as many partial decryptions as a contribution has ciphertexts."""

MAX_COUNTER = (1 << 63) - 1
"""Greatest serial, key epoch, round, version or count."""

MAX_VALUES = 1 << 26
"""Greatest number of model values that can be encoded."""

MAX_COHORT = 2800
"""Greatest `max_devices` of any plan (PROTOCOL 2)."""

MAX_MEMBERS = 10
"""Greatest committee, f = 3 (PROTOCOL 3)."""
