"""A whole fleet in one object, for tests and notebooks: owner, devices, committee and orchestrator, all in this process.

It holds the secrets of every party, so nobody in it is protected from anybody: what it shows is what the released model is like
and what it costs in epsilon. The rounds themselves are the real ones (`hushfleet.rounds.walkthrough`), signatures, encryption,
noise and proofs included. There is no network, no store, no ledger and no budget.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hushfleet import privacy
from hushfleet.documents import (
    NO_SHARE,
    DeviceEntry,
    GrantedShare,
    LocalTraining,
    NamedHash,
    OptimizerSettings,
    Policy,
    VerifiedRoster,
    open_grant,
)
from hushfleet.encryption import SealingKey, unseal
from hushfleet.encryption.paillier import Dealing, deal
from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import Label
from hushfleet.owner import Owner
from hushfleet.randomness import Randomness, SystemRandomness
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.rounds.planning import Job, make_plan
from hushfleet.rounds.tasks.train import TrainingProgress, TrainingTask, own
from hushfleet.rounds.walkthrough import Secrets, honest_round
from hushfleet.schemes.base import MemberKeys
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.signing import SigningKey
from hushfleet.training import Data, GlobalModel, Trainer, train

COMMITTEE = 4
COLLUDING = 2
_ORCHESTRATOR = "orchestrator"
_PLAIN = OptimizerSettings("fedavg", ())


class LocalFleet:
    """Devices that train `trainer` on their own `data` (device id -> rows), one private round at a time.

    The first four devices are the committee. All devices take part in every round; two of them may know each other's noise.
    Its repr shows no secret.
    """

    def __init__(
        self,
        trainer: Trainer,
        data: Mapping[str, Data],
        *,
        training: LocalTraining,
        clip_norm: float,
        noise_multiplier: Fraction | float | str,
        optimizer: OptimizerSettings = _PLAIN,
        model: GlobalModel | None = None,
        scheme: str = "paillier",
        key_bits: int = 2048,
        randomness: Randomness | None = None,
    ) -> None:
        """Make every key, deal the committee's if `scheme` needs one (some seconds: two safe primes are sought), sign a roster.

        `scheme`: `paillier`, or `shared`, whose cost hardly grows with the model (PROTOCOL 4). `model`: where training begins; None: at
        zero. `LocalError`: fewer than four devices, or settings that no plan can hold.
        """
        if len(data) < COMMITTEE:
            message = f"{len(data)} devices; a fleet has at least {COMMITTEE}: they are its committee"
            raise LocalError(Refusal.SETTINGS_INVALID, message, next_step="Give data for more devices.")
        self.trainer, self.data, self.training = trainer, dict(data), training
        self._randomness = randomness or SystemRandomness()
        parties = [*self.data, _ORCHESTRATOR]
        self._signing = {name: SigningKey.generate(self._randomness) for name in parties}
        self._sealing = {name: SealingKey.generate(self._randomness) for name in parties}
        profile = ORCHESTRATOR_SCHEMES[scheme].profile
        self.roster, members = self._founded(profile.name, key_bits if profile.needs_dealt_key else None)
        self._secrets = Secrets(self._signing, self._signing[_ORCHESTRATOR], members)
        task = TrainingTask(trainer.architecture, training, optimizer)
        self._job = Job(task, clip_norm, noise_multiplier, min_devices=len(data), max_devices=len(data), scheme=scheme)
        self._progress = TrainingProgress.start(model or _at_zero(trainer))
        self.rounds = self.rho_nano = 0

    def __repr__(self) -> str:
        return f"LocalFleet({self.trainer.architecture.name}, {len(self.data)} devices, {self.rounds} rounds)"

    @property
    def model(self) -> GlobalModel:
        """The model in force."""
        return self._progress.model

    @property
    def parameters(self) -> dict[str, npt.NDArray[np.float64]]:
        """The model in force, parameter by parameter."""
        return dict(self.trainer.architecture.split(self.model.parameters.astype(np.float64)))

    def round(self) -> GlobalModel:
        """Train on every device and release the next model: the sum is opened, no single update is."""
        number = self.rounds + 1
        plan = make_plan(self._job, self.roster, self._progress, number)
        updates = {name: train(self.trainer, self.model, self.training, rows, self._randomness) for name, rows in self.data.items()}
        done = honest_round(
            self.roster, self._secrets, self._job, self._progress, updates, randomness=self._randomness, round_number=number
        )
        self._progress, self.rounds = own(done), number
        self.rho_nano += nano_rho(plan, self.roster)
        return self.model

    def epsilon(self, delta: float) -> float:
        """The privacy that each device has spent so far; see `hushfleet.privacy.epsilon`."""
        return privacy.epsilon(self.rho_nano, delta)

    def _founded(self, scheme: str, key_bits: int | None) -> tuple[VerifiedRoster, dict[int, MemberKeys]]:
        """The owner's part: the signed roster and, with a key of `key_bits`, a sealed share of it for each member."""
        names, architecture = list(self.data), self.trainer.architecture
        entries = {name: DeviceEntry.make(name, key.verify_key.raw, self._sealing[name].public.raw) for name, key in self._signing.items()}
        dealing = _dealing(key_bits, self._randomness) if key_bits else None
        owner = Owner("local", SigningKey.generate(self._randomness))
        policy = Policy.make(
            min_devices=len(names),
            max_devices=len(names),
            colluding_contributors=COLLUDING,
            models=(NamedHash(architecture.name, architecture.digest),),
            schemes=(scheme,),
        )
        roster = owner.roster(
            serial=1,
            key_epoch=0,
            orchestrator=entries[_ORCHESTRATOR],
            devices=[entries[name] for name in names],
            committee=names[:COMMITTEE],
            dealing=dealing,
            policy=policy,
        )
        grants = owner.grants(roster, dealing) if dealing else {}
        return roster, {n: self._member(roster, n, name, grants.get(name)) for n, name in enumerate(names[:COMMITTEE], start=1)}

    def _member(self, roster: VerifiedRoster, index: int, name: str, sealed: bytes | None) -> MemberKeys:
        """A member opens the share that it was granted, if it was."""
        key = self._sealing[name]
        if sealed is None:
            return MemberKeys(index, key, NO_SHARE)
        granted = unseal(key, Label.SEAL_KEY_SHARE, roster.key_id, sealed)
        share = open_grant(granted, roster.root, member_id=name, key_id=roster.key_id).share
        return MemberKeys(index, key, GrantedShare(share))


def _dealing(bits: int, randomness: Randomness) -> Dealing:
    with ThreadPoolExecutor(2) as executor:
        return deal(bits, (COMMITTEE - 1) // 3, randomness, executor=executor)


def _at_zero(trainer: Trainer) -> GlobalModel:
    return GlobalModel(0, np.zeros(trainer.architecture.dimension, np.float32))
