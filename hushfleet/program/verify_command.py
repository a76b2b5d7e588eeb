"""`hushfleet verify`: an outsider's check of a job's archive folder. Reads that folder and the root public key, nothing else."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hushfleet.documents.archive import ROOT_KEY_FILE, folder_name, read_root_key, round_in
from hushfleet.errors import PeerError
from hushfleet.program.terminal import json_option, print_json, say

if TYPE_CHECKING:  # the cryptography, when it is needed
    from hushfleet.audit import JobReport
    from hushfleet.signing import VerifyKey


def read_archive(folder: Path) -> list[dict[str, bytes]]:
    """The rounds of an archive folder, in order. Raises `FileNotFoundError` if there are none."""
    rounds = sorted(path for path in folder.iterdir() if round_in(path.name) and path.is_dir()) if folder.is_dir() else []
    if not rounds:
        raise FileNotFoundError(f"{folder} holds no finished round; name the folder that holds {folder_name(0, 1)}")
    return [{path.name: path.read_bytes() for path in one.iterdir()} for one in rounds]


def _root_key(path: Path) -> "VerifyKey":
    try:
        return read_root_key(path.read_text())
    except PeerError as error:
        raise PeerError(error.reason, f"{path} is {error.message}") from error


@click.command(epilog="Example: hushfleet verify ./archive --root-key owner.pub")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--root-key", type=click.Path(path_type=Path), help="The owner's root.pub, from the owner. Default: the one in FOLDER.")
@json_option
def verify(*, folder: Path, root_key: Path | None, as_json: bool) -> None:
    """Check a finished job: signatures, proofs, committee answers, and every released model computed again."""
    from hushfleet.audit import verify_job  # noqa: PLC0415 -- as above
    from hushfleet.randomness import SystemRandomness  # noqa: PLC0415 -- as above

    if root_key is None:
        say(f"Note: the root key is the archive's own; compare it with the owner's: cat {folder / ROOT_KEY_FILE}", err=True)
    report = verify_job(read_archive(folder), _root_key(root_key or folder / ROOT_KEY_FILE), SystemRandomness())
    say(report.summary(), err=as_json)
    if as_json:
        print_json(_json(report))


def _json(report: "JobReport") -> dict[str, object]:
    return {
        "fleet": report.fleet,
        "released": report.released,
        "rho_nano": report.rho_nano,
        "model": report.result_digest.hex(),
        "rounds": [asdict(one) for one in report.rounds],
    }
