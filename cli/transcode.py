"""`hvae-codec transcode`: datasets of images become datasets of coded files, and back."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..codec.networks.threads import MOST_THREADS, processors
from . import batch, console, options
from .encoding import encode_options, encoding_options

if TYPE_CHECKING:
    from ..codec.batch import Engine, Job, Plan, Totals
    from ..codec.batch.transcode import How

_WORST = 5
"""So many reasons of failures are told."""

_GOOD = ("success", "kept_original")


@click.command()
@click.argument("sources", metavar="SRC...", nargs=-1, required=True)
@click.argument("target", metavar="DST")
@encoding_options
@click.option("--decode", "is_decoding", is_flag=True, help="Coded files become images.")
@click.option(
    "--format",
    "suffix",
    metavar="SUFFIX",
    default="png",
    show_default=True,
    help="Of the images that --decode writes: png, jpg, webp, tif, ...",
)
@click.option(
    "--to",
    "kind",
    type=click.Choice(("webdataset", "files", "parquet")),
    default="webdataset",
    show_default=True,
    help="Shards as tar, as folders of files, or in a column of Parquet.",
)
@click.option(
    "--shard-size",
    type=options.Whole(1),
    default=10_000,
    show_default=True,
    help="Images of a shard, at most; a tar stays one shard.",
)
@click.option(
    "--mode",
    type=click.Choice(("incremental", "overwrite", "extend")),
    default="incremental",
    show_default=True,
    help="Do what DST lacks; delete its shards first; or do everything, into new shards.",
)
@click.option(
    "--engine",
    type=click.Choice(("local", "ray")),
    default="local",
    show_default=True,
    help="Processes of this machine, or of a cluster.",
)
@click.option(
    "--address", help="Address of the Ray cluster (default: RAY_ADDRESS, or this machine)."
)
@click.option(
    "-j",
    "--jobs",
    "--workers",
    "workers",
    type=options.Whole(1),
    help="Images at a time, each in a process of its own (default: one per --threads cores).",
)
@click.option(
    "--threads",
    type=options.Whole(1, MOST_THREADS),
    default=1,
    show_default=True,
    help="Threads of each process.",
)
@click.option(
    "--memory",
    "memory_bytes",
    type=options.ByteCount(),
    default="1.2G",
    show_default=True,
    help="Memory that a process may use: with less, large images get smaller tiles or are refused.",
)
@click.option(
    "--keep-original-if-larger",
    is_flag=True,
    help="Keep an image where its coded file would have no fewer bytes.",
)
@click.option("--measure", is_flag=True, help="Decode each file, and record its PSNR.")
@click.option(
    "--image-column", help="Column of Parquet that holds the images (default: found by its name)."
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON on stdout.")
def transcode(
    sources: tuple[str, ...],
    target: str,
    is_decoding: bool,
    suffix: str,
    kind: str,
    shard_size: int,
    mode: str,
    engine: str,
    address: str | None,
    workers: int | None,
    threads: int,
    memory_bytes: int,
    keep_original_if_larger: bool,
    measure: bool,
    image_column: str | None,
    quiet: bool,
    as_json: bool,
    **encoding: Any,  # noqa: ANN401
) -> None:
    """Encode whole datasets, or decode them.

    SRC is a folder, a pattern, tar shards or Parquet files, in any place that fsspec knows. DST
    gets shards as img2dataset writes them: 00000.tar with a row for every image in 00000.parquet,
    and 00000_stats.json once the shard is done. An image that fails is a row. The same command
    again does what is left. See docs/batch.md.
    """
    from ..codec import processes
    from ..codec.batch import Job, Target, plan
    from ..codec.batch.storage import absolute

    processes.let_signals_interrupt()
    how = _how(is_decoding, suffix, memory_bytes, keep_original_if_larger, measure, encoding)
    job = Job(
        sources,
        Target(absolute(target), kind),
        how,
        shard_size,
        image_column=image_column,
        mode=mode,
    )
    work = _engine(engine, address, workers, threads)
    with console.blame(target):
        todo = plan(job)
    if not quiet:
        failed = f", {console.spaced(todo.failed)} of which failed" if todo.failed else ""
        done = f"; {console.spaced(todo.done)} images were done before{failed}"
        shards = console.counted(len(todo.tasks), "shard")
        console.note(f"{shards}, {todo.size / 1e6:.1f} MB{done if todo.done else ''}")
        if todo.otherwise:
            console.note(f"what was done before was done by other options: {todo.otherwise[0]}")
    totals = _run(job, todo, work, quiet)
    if as_json:
        before = {"done_before": todo.done, "failed_before": todo.failed}
        console.result_json(_record(totals) | before)
    _tell(totals, quiet)


def _how(
    is_decoding: bool,
    suffix: str,
    memory_bytes: int,
    keep_original_if_larger: bool,
    measure: bool,
    encoding: dict[str, Any],
) -> "How":
    """Say what is done with an image.

    Raises:
        click.UsageError: the options exclude each other.
    """
    from ..codec.batch import ToCoded, ToImages
    from ..codec.options import DecodeOptions
    from .images import image_format

    wanted = encode_options(encoding)
    if not is_decoding:
        if options.is_given("suffix"):
            raise click.UsageError("--format is of images; it needs --decode")
        return ToCoded(wanted, keep_original_if_larger, measure, memory_bytes)
    device, verify = wanted.device, wanted.verify
    of_encoding = {*encoding, "keep_original_if_larger", "measure"} - {"device", "verify"}
    if any(options.is_given(name) for name in of_encoding):
        raise click.UsageError("--decode knows none of the options that say how to encode")
    image_format(f"FILE.{suffix.removeprefix('.')}")
    return ToImages(DecodeOptions(device=device), suffix.removeprefix("."), verify, memory_bytes)


def _engine(name: str, address: str | None, workers: int | None, threads: int) -> "Engine":
    from ..codec.batch import Local, OnRay

    if name == "ray":
        return OnRay(workers or 0, threads, address)
    if address:
        raise click.UsageError("--address is of a Ray cluster; it needs --engine ray")
    workers = workers or max(1, processors() // threads)
    batch.share_cores(workers, threads)
    return Local(workers, console.silence_libraries)


def _run(job: "Job", todo: "Plan", engine: "Engine", quiet: bool) -> "Totals":
    """Do the work behind a bar of bytes read, with images, failures, rate and time left."""
    from tqdm import tqdm

    from ..codec.batch import Full, run

    counts = [0, 0]
    with tqdm(
        total=todo.size, unit="B", unit_scale=True, disable=quiet or None, leave=False
    ) as bar:

        def report(images: int, failed: int, size: int) -> None:
            counts[0] += images
            counts[1] += failed
            bar.set_postfix(images=counts[0], failed=counts[1], refresh=False)
            bar.update(size)

        try:
            with console.blame(job.target.url):
                return run(job, todo.tasks, engine, report)
        except Full as error:
            raise click.ClickException(f"{error}; what is done is kept") from error


def _record(totals: "Totals") -> dict[str, object]:
    told = asdict(totals.stats)
    for name in ("parts", "description", "start_time", "end_time"):  # of a shard
        del told[name]
    return {
        **told,
        "failed_shards": [failure.task.number for failure in totals.failures],
        "seconds": totals.seconds,
    }


def _tell(totals: "Totals", quiet: bool) -> None:
    """Say what was done, and what was not.

    Raises:
        click.exceptions.Exit: with 1, where an image or a shard failed.
    """
    stats, spaced, seconds = totals.stats, console.spaced, max(totals.seconds, 1e-9)
    if not quiet:
        share = f" ({stats.bytes / stats.original_bytes:.1%})" if stats.original_bytes else ""
        console.note(
            f"{console.counted(stats.count, 'image')}: {spaced(stats.successes)} transcoded,"
            f" {spaced(stats.kept_original)} kept, {spaced(stats.failed)} failed"
            f"  {spaced(stats.original_bytes)} -> {spaced(stats.bytes)} bytes{share}"
            f"  {seconds:.1f} s ({stats.count / seconds:.2f} images/s,"
            f" {stats.pixels / 1e6 / seconds:.2f} MP/s)"
        )
        if stats.left_out:
            told = (f"{name} of {times}" for name, times in sorted(stats.left_out.items()))
            console.note(f"left out: {', '.join(told)}")
    if stats.failed:
        reasons = {k: v for k, v in stats.status_dict.items() if k not in _GOOD}
        worst = sorted(reasons.items(), key=lambda pair: -pair[1])
        for reason, times in worst[:_WORST]:
            source = stats.examples.get(reason)
            example = f", first of {console.named(source)}" if source else ""
            console.error(f"{console.counted(times, 'time')}: {reason}{example}")
        if len(worst) > _WORST:
            console.error(f"{len(worst) - _WORST} other reasons; see the rows of status failed_...")
    for failure in totals.failures:
        console.error(f"shard {failure.task.number:05d} was not written: {failure.error}")
    if stats.failed or totals.failures:
        raise click.exceptions.Exit(1)
