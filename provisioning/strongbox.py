"""The vault's secrets at rest: encrypted under a key that argon2id makes from the passphrase (libsodium, through PyNaCl)."""

from dataclasses import dataclass

import nacl.exceptions
import nacl.secret
from nacl.pwhash import argon2id

from hushfleet.codec import Message, decode, encode
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.signing import KEY_BYTES, SigningKey
from provisioning.passphrase import Passphrase

_MAX_BYTES = 16 << 10
_MOST_OPERATIONS = 64
_MOST_MEMORY = 4 << 30


@dataclass(frozen=True, slots=True)
class PassphraseCost:
    """The cost of each guess at a passphrase: passes over so many bytes of memory."""

    operations: int = argon2id.OPSLIMIT_MODERATE
    memory_bytes: int = argon2id.MEMLIMIT_MODERATE


class VaultSecrets:
    """The secrets that a vault protects: the root key, and the TLS CA's private key (PKCS 8, DER). Shows nothing, cannot be pickled."""

    __slots__ = ("ca_key", "root")

    def __init__(self, root: SigningKey, ca_key: bytes) -> None:
        self.root, self.ca_key = root, ca_key

    def __repr__(self) -> str:
        return "VaultSecrets(hidden)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("the vault's secrets do not leave the process by accident; lock() them on purpose")


class _Plain(Message, frozen=True):
    root_seed: bytes
    ca_key: bytes

    def __repr__(self) -> str:
        return "_Plain(hidden)"


class _Locked(Message, frozen=True):
    """`box` is a libsodium secretbox, nonce first."""

    salt: bytes
    operations: int
    memory_bytes: int
    box: bytes


def lock(secrets: VaultSecrets, passphrase: Passphrase, randomness: Randomness, cost: PassphraseCost | None = None) -> bytes:
    """The secrets, encrypted, with a fresh salt and nonce. Guessing the passphrase costs `cost` a try."""
    price, salt = cost or PassphraseCost(), randomness.octets(argon2id.SALTBYTES)
    box = nacl.secret.SecretBox(_key(passphrase, salt, price))
    plain = encode(_Plain(secrets.root.seed(), secrets.ca_key))
    sealed = box.encrypt(plain, randomness.octets(nacl.secret.SecretBox.NONCE_SIZE))
    return encode(_Locked(salt, price.operations, price.memory_bytes, bytes(sealed)))


def unlock(data: bytes, passphrase: Passphrase) -> VaultSecrets:
    """The secrets that `lock` encrypted. Raises `LocalError`: `VAULT_DAMAGED` if this is no such file, else `VAULT_PASSPHRASE`.

    A changed byte in the salt or the box looks like a wrong passphrase: nothing can tell them apart.
    """
    try:
        locked = decode(_Locked, data, max_bytes=_MAX_BYTES)
        _check(locked)
    except PeerError as error:
        next_step = "Put a backup of secrets.box in place."
        raise LocalError(Refusal.VAULT_DAMAGED, f"the vault's secrets: {error.message}", next_step=next_step) from error
    try:
        key = _key(passphrase, locked.salt, PassphraseCost(locked.operations, locked.memory_bytes))
        plain = decode(_Plain, nacl.secret.SecretBox(key).decrypt(locked.box), max_bytes=_MAX_BYTES)
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise LocalError(Refusal.VAULT_PASSPHRASE, "the passphrase does not open this vault", next_step="Try again.") from error
    return VaultSecrets(SigningKey(plain.root_seed), plain.ca_key)


def _check(locked: _Locked) -> None:
    """Bounds on what is read before it is believed: a damaged file must not take all memory."""
    fits = 1 <= locked.operations <= _MOST_OPERATIONS and argon2id.MEMLIMIT_MIN <= locked.memory_bytes <= _MOST_MEMORY
    if not fits or len(locked.salt) != argon2id.SALTBYTES:
        raise PeerError(Refusal.MESSAGE_MALFORMED, "salt or cost cannot be")


def _key(passphrase: Passphrase, salt: bytes, cost: PassphraseCost) -> bytes:
    return argon2id.kdf(KEY_BYTES, passphrase.raw, salt, cost.operations, cost.memory_bytes)
