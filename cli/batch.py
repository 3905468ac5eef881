"""The same work for one file or for many: where each goes, in how many processes, what failed."""

import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from ..codec.networks.threads import THREADS_VARIABLE, USUAL_THREADS, processors, thread_count
from . import bars, console, files


@dataclass(frozen=True)
class Settings:
    """What `options.batch_options` collects, under the same names."""

    output: str | None
    out_dir: Path | None
    jobs: int
    threads: int | None
    overwrite: bool | None
    quiet: bool
    as_json: bool
    recursive: bool = False
    skip_existing: bool = False
    preserve: bool = False

    def replaces(self, job: "Job") -> bool:
        """Tell whether an output that exists is replaced.

        Not by default where its name was only inferred and it lies beside the input:
        `decode photo.hvae` would put the coded picture in the place of the original, and
        `decode *` some other picture in its.
        """
        if self.overwrite is not None:
            return self.overwrite
        return self.output is not None or (self.out_dir is not None and not job.is_beside)


@dataclass(frozen=True)
class Job:
    """An input and where its output goes; '-' stands for stdin and stdout.

    Attributes:
        replaces: whether an output that exists is replaced.
        preserve: whether the output gets the input's time, and no wider permissions.
    """

    source: str
    target: str
    replaces: bool = True
    preserve: bool = False

    @property
    def like(self) -> str | None:
        """The file whose time and permissions the output gets, if any."""
        is_file = self.preserve and files.descriptor(self.source) is None
        return self.source if is_file else None

    @property
    def is_beside(self) -> bool:
        """Whether the output, or what it links to, lies in the folder of the input."""
        folder = os.path.dirname(self.source) or os.curdir
        return files.identity(folder) == files.identity(
            os.path.dirname(os.path.realpath(self.target))
        )


@dataclass(frozen=True)
class Done:
    """What is told of a file that was written.

    Attributes:
        line: for people.
        record: for `--json`.
        flaw: why it counts as failed although it was written.
    """

    line: str
    record: dict[str, object]
    flaw: str | None = None


Result = TypeVar("Result")
Work = Callable[[Job], Done]
"""Reads and writes one file; picklable, since other processes call it."""

_THREADS = (THREADS_VARIABLE, "OMP_NUM_THREADS")
"""What ONNX Runtime and PyTorch go by, in this process and in those that it starts."""


def plan(
    arguments: Sequence[str],
    settings: Settings,
    suffix: str,
    is_output: Callable[[str], bool],
    is_input: Callable[[str], bool],
    keeps_suffix: Callable[[str], bool] = lambda source: False,
) -> list[Job]:
    """Decide where every output goes: -o, the second of two arguments, or a name like the input's.

    Args:
        arguments: the inputs; or one input and its output.
        settings: `output`, `out_dir` and `as_json` count.
        suffix: replaces the input's where no output is named.
        is_output: tells of the second of two arguments whether it names the output.
        is_input: tells of a file in a folder whether it is meant.
        keeps_suffix: tells of an input whether a.png becomes a.png.hvae, not a.hvae.

    Raises:
        click.UsageError: two outputs would be one file, an output is an input, or stdin and
            stdout are asked for what they cannot do.
    """
    output, inputs = settings.output, list(arguments)
    if output is not None and settings.out_dir:
        raise click.UsageError("-o and --out-dir exclude each other")
    if len(inputs) == 2 and output is None and not settings.out_dir and is_output(inputs[1]):
        output = inputs.pop()
    if "" in inputs:
        raise click.UsageError("an input's name is empty")
    if output == "":
        raise click.UsageError("the output's name is empty")
    if output and len(inputs) > 1:
        raise click.UsageError(f"one output for {len(inputs)} inputs; use --out-dir")
    if console.STDIO in inputs and not output:
        raise click.UsageError("an input from a pipe needs -o, and no other input beside it")
    if settings.skip_existing and settings.overwrite is not None:
        raise click.UsageError("--skip-existing and --overwrite exclude each other")
    if settings.as_json and output and files.descriptor(output) == 1:
        raise click.UsageError("--json and the file itself cannot both go to stdout")
    if output and settings.recursive:
        raise click.UsageError("-r writes many files: use --out-dir, or neither")
    jobs = []
    for root in inputs:
        for source in _inputs(root, settings, is_input):
            keep = keeps_suffix(source)
            target = output or _target(source, root, settings.out_dir, suffix, keep)
            jobs.append(Job(source, target, preserve=settings.preserve))
    _refuse_clashes(jobs)
    return [replace(job, replaces=settings.replaces(job)) for job in jobs]


def _inputs(root: str, settings: Settings, is_input: Callable[[str], bool]) -> list[str]:
    """Return the files of a folder, where it is asked for, or the one file."""
    if not (settings.recursive and os.path.isdir(root)):
        return [root]
    found = list(files.tree(root, is_input, settings.out_dir))
    if not found:
        raise click.UsageError(f"{console.named(root)} holds nothing to do")
    return found


def _target(source: str, root: str, out_dir: Path | None, suffix: str, keep_suffix: bool) -> str:
    """Name the output of a file that was given, or stands below a folder that was."""
    path = Path(source)
    if not path.name:
        return source  # a folder like '/' or '.': refused as one before work begins
    if keep_suffix:
        beside = path.with_name(path.name + suffix)
    elif Path(path.stem).suffix.lower() == suffix:  # of a.png.hvae
        beside = path.with_suffix("")
    else:
        beside = path.with_suffix(suffix)
    if out_dir is None:
        return str(beside)
    return str(out_dir / (beside.name if source == root else os.path.relpath(beside, root)))


def _refuse_clashes(jobs: list[Job]) -> None:
    sources = {files.identity(job.source) for job in jobs}
    targets: dict[object, Job] = {}
    for job in jobs:
        if job.target == console.STDIO:
            continue
        name, identity = console.named(job.target), files.identity(job.target)
        if identity in sources and not os.path.isdir(job.target):
            raise click.UsageError(f"{name} is an input and would be an output too{_several(jobs)}")
        other = targets.setdefault(identity, job)
        if other is not job and not os.path.isdir(job.target):
            pair = f"{console.named(other.source)} and {console.named(job.source)}"
            raise click.UsageError(
                f"{name} would be the output of both {pair}{_way_out(job, other)}"
            )


def _several(jobs: list[Job]) -> str:
    return "; --out-dir takes several outputs" if len(jobs) > 1 else ""


def _way_out(*jobs: Job) -> str:
    """Name the option of `encode` that makes two outputs of one, where it would."""
    names = {Path(job.source).name for job in jobs}
    keep = all(Path(job.target).stem == Path(job.source).name for job in jobs)
    helps = files.is_coded(jobs[0].target) and len(names) > 1 and not keep
    return "; --keep-suffix keeps them apart" if helps else ""


def run(jobs: list[Job], work: Work, settings: Settings) -> None:
    """Do the work; one file that fails does not keep the others from their turn.

    Raises:
        click.exceptions.Exit: with 1, where any failed.
        click.ClickException: all would: nothing can be told, or the folder of outputs not made.
    """
    from ..codec import processes

    if settings.as_json:
        with console.blame("stdout"):
            console.check_stdout()
    processes.let_signals_interrupt()
    share_cores(min(settings.jobs, len(jobs)), settings.threads)
    if settings.skip_existing:
        jobs = _not_there(jobs, settings)
    if settings.out_dir:
        with console.blame(str(settings.out_dir)):
            settings.out_dir.mkdir(parents=True, exist_ok=True)
    ready = _ready(jobs, settings)
    failures: list[str] = []
    shown = nullcontext(lambda: nullcontext(None))
    if not settings.quiet and sys.stderr.isatty():
        if len(jobs) > 1:
            shown = bars.file_bar(len(ready))
        else:
            work = partial(_showing_tiles, work)
    with closing(_outcomes(work, ready, settings.jobs)) as outcomes, shown as one_more:
        for job, outcome in zip(ready, outcomes, strict=True):
            with one_more():
                failures += _tell(job, outcome, settings)
    for failure in failures:
        console.error(failure)
    failed = len(jobs) - len(ready) + len(failures)
    if failed and len(jobs) > 1:
        console.error(f"{failed} of {len(jobs)} files failed")
    if failed:
        raise click.exceptions.Exit(1)


def _showing_tiles(work: Work, job: Job) -> Done:
    with bars.tile_bar():
        return work(job)


def _not_there(jobs: list[Job], settings: Settings) -> list[Job]:
    """Return the files whose output is still to be made, and tell of the others."""
    left = [job for job in jobs if not os.path.isfile(job.target)]
    if len(left) < len(jobs) and not settings.quiet:
        console.note(f"{len(jobs) - len(left)} of {len(jobs)} outputs exist and are skipped")
    return left


def share_cores(processes: int, threads: int | None) -> None:
    """Say how many threads a process has, where ONNX Runtime and PyTorch look when they load.

    What the environment says already gives way to `threads` alone.

    Raises:
        click.ClickException: what it says is no number; told once, and not for each file.
    """
    from ..bitstream import ArgumentError

    if threads:
        os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    elif processes > 1:
        share = min(max(1, processors() // processes), USUAL_THREADS)
        for name in _THREADS:
            os.environ.setdefault(name, str(share))
    try:
        thread_count()
    except ArgumentError as error:
        raise click.ClickException(str(error)) from error


def _ready(jobs: list[Job], settings: Settings) -> list[Job]:
    """Return the files that can be begun; what is wrong with the others is told at once."""
    ready = []
    for job in jobs:
        error = _attempt(partial(_check, settings), job)
        if isinstance(error, str):
            console.error(error)
        else:
            ready.append(job)
    return ready


def _check(settings: Settings, job: Job) -> None:
    files.check_source(job.source)
    if settings.out_dir:  # below which lie the folders of a tree
        Path(job.target).parent.mkdir(parents=True, exist_ok=True)
    files.check_target(job.target, job.replaces)


def _tell(job: Job, outcome: Done | str, settings: Settings) -> list[str]:
    """Print what was done, and return what failed."""
    if isinstance(outcome, str):
        return [outcome]
    if not settings.quiet:
        console.note(outcome.line)
    if settings.as_json:
        console.result_json(outcome.record)
    return [f"{console.named(job.source)}: {outcome.flaw}"] if outcome.flaw else []


def _attempt(work: Callable[[Job], Result], job: Job) -> Result | str:
    """Do the work for one file, or say what failed: a line, or the traceback of a fault of ours."""
    try:
        with console.blame(job.source):
            return work(job)
    except click.ClickException as error:
        return error.format_message()
    except OSError:
        raise  # a reader that closed its pipe: click ends quietly
    except Exception:
        return f"{console.named(job.source)}: {traceback.format_exc()}"


def _outcomes(work: Work, jobs: list[Job], workers: int) -> Generator[Done | str, None, None]:
    """Yield what became of every file, in their order."""
    from ..codec import processes
    from ..codec.files import discard_parts

    workers = min(workers, len(jobs))
    if workers <= 1:
        yield from (_attempt(work, job) for job in jobs)
    else:
        yield from processes.results(
            partial(_attempt, work),
            jobs,
            workers,
            _killed,
            ahead=4 * workers,
            at_begin=console.silence_libraries,
            before_end=discard_parts,
        )


def _killed(job: Job) -> str:
    name = console.named(job.source)
    return f"{name}: not done, its process was killed (too little memory?)"
