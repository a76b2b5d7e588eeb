"""`hushfleet provision contract`: what a row of data means on every device of the fleet."""

from pathlib import Path

import click

from hushfleet.program.output import ask_to_replace, write_output
from hushfleet.program.terminal import json_option, print_json, say, yes_option
from hushfleet.typed import typed


@click.group(epilog="Example: hushfleet provision contract new sample.csv --label diagnosis")
def contract() -> None:
    """Data contracts: the features in their order, the labels, and what an empty cell means."""


@contract.command(epilog="Example: hushfleet provision contract new sample.csv --label diagnosis")
@click.argument("sample", type=click.Path(path_type=Path))
@click.option("--name", help="The contract's name: a-z, 0-9 and '-'. Default: the sample's.")
@click.option("--label", help="The column to predict. Default: the last one.")
@click.option("--delimiter", help="The character between the columns. Default: found in the first line.")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write. Default: NAME.contract.")
@yes_option
@json_option
def new(*, sample: Path, name: str | None, label: str | None, delimiter: str | None, out: Path | None, yes: bool, as_json: bool) -> None:
    """Write a data contract from the columns and labels of the csv file SAMPLE. Needs no vault."""
    from hushfleet.program.contract import ENDING, contract_of_sample  # noqa: PLC0415 -- when it is needed

    name = name or sample.stem.lower().replace("_", "-")
    made = contract_of_sample(sample, name, label=label, delimiter=delimiter)
    path, text = out or Path(name + ENDING), made.to_text().encode()
    ask_to_replace(path, yes=yes, new=text)
    write_output(path, text)
    classes = f"the labels {', '.join(made.labels)}, in this order" if made.labels else "a number"
    say(
        f"Written: {path}: {len(made.features)} features, and {made.label!r} as {classes}.",
        "Complete it: units, ranges, what an empty cell means. Every device needs the same file: contract under [data] of its agent.toml.",
        f"Next: {typed('provision', 'policy', 'set', f'models.allowed=softmax@{path.absolute()}')}",
        err=as_json,
    )
    if as_json:
        print_json({"contract": str(path), "name": name, "features": len(made.features), "labels": list(made.labels)})
