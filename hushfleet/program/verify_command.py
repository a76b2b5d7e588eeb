"""`hushfleet verify`: an outsider's check of a job's archive folder. Reads that folder and the root public key, nothing else."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hushfleet.errors import PeerError, Refusal
from hushfleet.program.terminal import json_option, print_json

if TYPE_CHECKING:  # the cryptography, when it is needed
    from hushfleet.audit import JobReport
    from hushfleet.signing import VerifyKey

ROOT_KEY_FILE = "root.pub"


def read_archive(folder: Path) -> list[dict[str, bytes]]:
    """The rounds of an archive folder, in order. Raises `FileNotFoundError` if there are none."""
    rounds = sorted(path for path in folder.glob("epoch-*-round-*") if path.is_dir() and path.suffix != ".part")
    if not rounds:
        raise FileNotFoundError(f"{folder} holds no finished round; name the folder that holds epoch-000-round-000001")
    return [{path.name: path.read_bytes() for path in one.iterdir()} for one in rounds]


def read_root_key(path: Path) -> "VerifyKey":
    """A root public key file: 64 hex digits. Raises `PeerError(KEY_MALFORMED)`."""
    from hushfleet.signing import VerifyKey  # noqa: PLC0415 -- as above

    try:
        return VerifyKey(bytes.fromhex(path.read_text().strip()))
    except ValueError as error:
        raise PeerError(Refusal.KEY_MALFORMED, f"{path} is not a root public key of 64 hex digits") from error


@click.command(epilog="Example: hushfleet verify ./archive --root-key owner.pub")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--root-key", type=click.Path(path_type=Path), help="The owner's root.pub, from the owner. Default: the one in FOLDER.")
@json_option
def verify(*, folder: Path, root_key: Path | None, as_json: bool) -> None:
    """Check a finished job: signatures, proofs, committee answers, and every released model computed again."""
    from hushfleet.audit import verify_job  # noqa: PLC0415 -- as above
    from hushfleet.randomness import SystemRandomness  # noqa: PLC0415 -- as above

    if root_key is None:
        click.echo(f"Note: the root key is the archive's own; compare it with the owner's: cat {folder / ROOT_KEY_FILE}", err=True)
    report = verify_job(read_archive(folder), read_root_key(root_key or folder / ROOT_KEY_FILE), SystemRandomness())
    click.echo(report.summary(), err=as_json)
    if as_json:
        print_json(_json(report))


def _json(report: "JobReport") -> dict[str, object]:
    return {
        "fleet": report.fleet,
        "released": report.released,
        "rho_nano": report.rho_nano,
        "model": report.model_digest.hex(),
        "rounds": [asdict(one) for one in report.rounds],
    }
