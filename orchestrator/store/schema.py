"""The tables of the orchestrator's store. A change here is a new file in `orchestrator/migrations/versions`; a test compares the two.

Hashes are raw bytes. Times are seconds since 1970 by this machine's clock, for people to read; nothing is decided by them.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData()

rosters = Table(
    "rosters",
    metadata,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    Column("signed", LargeBinary, nullable=False),
    Column("kept_at", Float, nullable=False),
)
"""Every roster there was; the highest serial is in force."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(63), nullable=False),
    Column("identity", LargeBinary, nullable=False),
    Column("settings", Text, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("version", BigInteger, nullable=False),
    Column("progress", LargeBinary, nullable=False),
    Column("result", LargeBinary, nullable=False),
    Column("best_version", BigInteger, nullable=False),
    Column("best_result", LargeBinary, nullable=False),
    Column("best_score", Float),
)
"""`settings` is the text of job.toml; `progress`, `result` and `best_result` are hashes of blobs: the task's whole state, and its
public outcome, for training the parameters of a model. The last row is the current job."""

rounds = Table(
    "rounds",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job_id", Integer, ForeignKey("jobs.id"), nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("roster_serial", BigInteger, ForeignKey("rosters.serial"), nullable=False),
    Column("plan", LargeBinary, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("total", LargeBinary),
    Column("request", LargeBinary),
    Column("ended_at", Float),
    Column("record", LargeBinary),
    Column("outcome", String(16)),
    Column("version", BigInteger),
    Column("loss", Float),
    Column("accuracy", Float),
    Column("archive", String(255)),
    Column("archive_hash", LargeBinary),
    UniqueConstraint("key_id", "number", name="one_round_per_number"),
)
"""`plan` and `record` as signed; `total`, the running sum, and `request` are hashes of blobs. A round without an outcome is open."""

accepted = Table(
    "accepted",
    metadata,
    Column("round_id", Integer, ForeignKey("rounds.id"), primary_key=True),
    Column("device_id", String(63), primary_key=True),
    Column("kept", LargeBinary, nullable=False),
    Column("whole_hash", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("accepted_at", Float, nullable=False),
)
"""`kept` is the hash of a blob, kept for the latest round only: the signed body, and the sealed shares beside it; `whole_hash` is that
of the sealed contribution as it arrived."""

answers = Table(
    "answers",
    metadata,
    Column("round_id", Integer, ForeignKey("rounds.id"), primary_key=True),
    Column("member_index", Integer, primary_key=True),
    Column("signed", LargeBinary, nullable=False),
)
"""The committee's answers to the open round, as signed: what was acknowledged to the broker is not asked for again."""

journal = Table(
    "journal",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("head", LargeBinary, nullable=False),
)
"""Everything that was signed once and must not be signed otherwise: plans, roots, outcomes, each with the head of the list (PROTOCOL 8)."""

floors = Table(
    "floors",
    metadata,
    Column("key_id", LargeBinary, primary_key=True),
    Column("round", BigInteger, nullable=False),
    Column("settled", Boolean, nullable=False),
)
"""The highest round that others hold of this orchestrator while its store does not. Nothing is signed before a person has settled it."""

place = Table(
    "place",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)
"""The place where this store was started first."""

presence = Table(
    "presence",
    metadata,
    Column("device_id", String(63), primary_key=True),
    Column("status", LargeBinary, nullable=False),
    Column("heard_at", Float, nullable=False),
)
"""The last status of each device."""

floods = Table(
    "floods",
    metadata,
    Column("device_id", String(63), primary_key=True),
    Column("dropped", BigInteger, nullable=False),
    Column("last_at", Float, nullable=False),
)
"""The messages of each device that were dropped unread because it sent more than its allowance."""
