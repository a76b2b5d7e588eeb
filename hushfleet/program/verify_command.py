"""`hushfleet verify`: an outsider's check of a job's archive folder. Reads that folder and the root public key, nothing else."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hushfleet.documents.archive import MAX_ROOT_KEY_FILE_BYTES, ROOT_KEY_FILE, read_root_key
from hushfleet.errors import PeerError
from hushfleet.program.archive_folder import read_archive, read_archived
from hushfleet.program.terminal import ExitCode, json_option, print_json, say
from hushfleet.system.files import read_named

if TYPE_CHECKING:  # the cryptography, when it is needed
    from hushfleet.audit import JobReport
    from hushfleet.signing import VerifyKey


@click.command(epilog="Example: hushfleet verify ./archive --root-key owner.pub")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--root-key", type=click.Path(path_type=Path), help="The owner's root.pub, from the owner. Default: the one in FOLDER.")
@json_option
@click.pass_context
def verify(context: click.Context, *, folder: Path, root_key: Path | None, as_json: bool) -> None:
    """Check a finished job: signatures, proofs, committee answers, and every released model computed again.

    Exit code 4 for whatever does not hold, and for rounds that are missing.
    """
    from hushfleet.audit import verify_job  # noqa: PLC0415 -- as above
    from hushfleet.randomness import SystemRandomness  # noqa: PLC0415 -- as above

    if root_key is None:
        say(f"Note: the root key is the archive's own; compare it with the owner's: cat {folder / ROOT_KEY_FILE}", err=True)
    archive = read_archive(folder)
    report = verify_job(archive, _root_key(root_key, folder), SystemRandomness())
    report = replace(report, unchecked=(*report.unchecked, *archive.passed_over, *archive.unknown))
    say(*report.lines(), err=as_json)
    if as_json:
        print_json(_json(report))
    if report.gaps:
        context.exit(ExitCode.REFUSED)


def _root_key(named: Path | None, folder: Path) -> "VerifyKey":
    """The key in the file that a person named, or in the archive's own, which is read with as much suspicion as the rest."""
    path, read = (folder / ROOT_KEY_FILE, read_archived) if named is None else (named, read_named)
    try:
        return read_root_key(read(path, MAX_ROOT_KEY_FILE_BYTES))
    except PeerError as error:
        raise PeerError(error.reason, f"{path} is {error.message}") from error


def _json(report: "JobReport") -> dict[str, object]:
    return {
        "complete": not report.gaps,
        "gaps": [asdict(one) for one in report.gaps],
        "unchecked": list(report.unchecked),
        "first_round": report.rounds[0].number,
        "fleet": report.fleet,
        "released": report.released,
        "rho_nano": report.rho_nano,
        "model": report.result_digest.hex(),
        "rounds": [asdict(one) for one in report.rounds],
    }
