"""Options that several commands share."""

import click

output_argument = click.argument("output", required=False, metavar="[OUTPUT]")
output_option = click.option(
    "-o", "--output", "output_option", metavar="OUTPUT", help="Where to write; '-' is stdout."
)
overwrite_option = click.option(
    "--overwrite/--no-overwrite", default=True, help="Replace an output that exists (default)."
)
quiet_option = click.option("--quiet", is_flag=True, help="Do not print the closing line.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
