"""Bars on a terminal: files of many, or tiles of a large one."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from ..codec.progress import reporting

_PATIENCE_S = 2.0
"""A file whose tiles take less is not worth a bar."""

# tqdm is imported when a bar is due: a small file does not wait for it


@contextmanager
def file_bar(count: int) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Show how many files of `count` are done; yield the context in which one more is told of."""
    from tqdm import tqdm

    with tqdm(total=count, unit="file", leave=False) as bar:

        @contextmanager
        def one_more() -> Iterator[None]:
            with bar.external_write_mode(sys.stderr):
                yield
            bar.update()

        yield one_more


@contextmanager
def tile_bar() -> Iterator[None]:
    """Show how many tiles of the file at hand are done, where it has several."""
    with ExitStack() as shown:
        bar = None

        def report(done: int, tiles: int) -> None:
            nonlocal bar
            if tiles == 1:
                return
            if bar is None:
                from tqdm import tqdm

                bar = tqdm(unit="tile", leave=False, mininterval=0, delay=_PATIENCE_S)
                shown.enter_context(bar)
            bar.total = tiles
            bar.update(done - bar.n)

        with reporting(report):
            yield
