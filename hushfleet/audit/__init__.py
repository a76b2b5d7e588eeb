"""An outsider's verification of a finished job, from its archive and the root public key alone (`hushfleet verify`).

May import rounds and what lies below; reaches no secret side. No files: it takes bytes by name.
"""

from hushfleet.audit.verify import Gap, JobReport, RoundReport, verify_job

__all__ = ["Gap", "JobReport", "RoundReport", "verify_job"]
