"""The orchestrator's side of each scheme. Also what an auditor needs."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hushfleet.errors import FaultyDevice
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.paillier.orchestrator import PaillierOrchestrator
from hushfleet.wire import Answer, Body, Contribution


class OrchestratorScheme(Protocol):
    """Checks contributions and answers, opens the sum; holds no secret."""

    def find_faulty(
        self, setting: RoundTerms, bodies: Sequence[VerifiedBody], contributions: Sequence[Contribution], randomness: Randomness
    ) -> dict[int, FaultyDevice]:
        """Position -> why, for every contribution that must not be counted."""

    def check_answer(self, setting: RoundTerms, bodies: Sequence[Body], answer: Answer) -> None:
        """Raise `FaultyMember` unless the answer is for exactly the sum of `bodies`."""

    def open(self, setting: RoundTerms, answers: Mapping[int, Answer]) -> npt.NDArray[np.int64]:
        """The sum, int64 `(d',)`, from checked answers of at least `threshold` members."""


ORCHESTRATOR_SCHEMES: dict[str, OrchestratorScheme] = {"paillier": PaillierOrchestrator()}
