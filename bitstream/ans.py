"""Push symbols onto a stack of words, and pop them off again (ANS, Duda 2013; constriction).

`pop` undoes `push` exactly, so what was pushed last is popped first: an encoder pushes its levels
from fine to coarse, and a decoder meets them from coarse to fine.

    coder = coder_of()                                words = words_of(coder)
    for level in reversed(range(levels)):             coder = coder_of(words)
        bulk[level] = bulk_words(coder)               for level in range(levels):
        push(coder, index, symbols, pmfs)                 symbols = pop(coder, index, pmfs)
    words = words_of(coder)                           check_empty(coder)
    counts = level_words(bulk, words.size)

Words stand in the order in which they are popped: the first sum(counts[:k + 1]) words are enough
to decode levels 0...k exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from . import escape
from .errors import ArgumentError, StreamDamaged
from .escape import MAX_SYMBOL, TOTAL
from .tables import PmfTables, checked_index, checked_symbols


class EntropyCoder(Protocol):
    """What is used of `constriction.stream.stack.AnsCoder`."""

    def encode_reverse(
        self, symbols: NDArray[np.int32], model: object, *params: NDArray[Any]
    ) -> None:
        """Push symbols, the last one first."""
        ...

    def decode(self, model: object, *params: int | NDArray[Any]) -> Any:  # noqa: ANN401
        """Pop symbols: one without `params`, else an array of int32."""
        ...

    def get_compressed(self) -> NDArray[np.uint32]:
        """Copy all words, the top of the stack last."""
        ...

    def pos(self) -> tuple[int, int]:
        """Return the number of words below the state, and the state."""
        ...

    def num_words(self) -> int:
        """Return the number of words, those of the state included."""
        ...

    def num_valid_bits(self) -> int:
        """Return the number of bits."""
        ...

    def is_empty(self) -> bool:
        """Tell whether nothing is left."""
        ...

    def clone(self) -> EntropyCoder:
        """Return a copy that goes its own way."""
        ...


_CHANCE_UNIT = np.uint32(TOTAL // 128)  # chances are 128ths


@cache
def _stream() -> Any:  # noqa: ANN401 - constriction ships no type stubs
    """Load the coders when first needed: looking into a file does without them."""
    import constriction

    return cast(Any, constriction).stream


def _exact_model(pmf: NDArray[np.uint32]) -> object:
    """Return a model of exactly the integer masses `pmf`, `(n,)`, n >= 2, of sum 2**24.

    `Categorical(p, perfect=False)` takes floor(c * (2**24 - n) / sum(p)) + i for the left side of
    entry i, c being the sum of the entries before it. With p = pmf - 1 the quotient is exactly
    one, all sums are integers below 2**53, and the left side is the cumulative sum of pmf. (With
    p = pmf it is off nearly everywhere.)
    """
    return _stream().model.Categorical(pmf.astype(np.float64) - 1.0, perfect=False)


@cache
def _any_masses() -> object:
    return _stream().model.Categorical(perfect=False)


@cache
def _uniform() -> object:
    return _stream().model.Uniform()


@cache
def _escape_length() -> object:
    return _exact_model(escape.LENGTH_PMF)


@cache
def _bit_model(chance: int) -> object:
    return _exact_model(np.array([128 - chance, chance], np.uint32) * _CHANCE_UNIT)


# Models are built when first needed. They live beside the tables and not in them, because they
# cannot be pickled.
_MODELS: WeakKeyDictionary[PmfTables, list[object]] = WeakKeyDictionary()


def _models(pmfs: PmfTables, groups: list[tuple[int, int, int]]) -> list[object]:
    """Return the models of all tables by number; those of `groups` are there."""
    models = _MODELS.get(pmfs)
    if models is None:
        models = _MODELS.setdefault(pmfs, [None] * len(pmfs))
    for table, _, _ in groups:
        if models[table] is None:
            models[table] = _exact_model(pmfs.table(table))
    return models


def _groups(
    index: NDArray[np.integer], pmfs: PmfTables
) -> tuple[NDArray[np.intp], list[tuple[int, int, int]]]:
    """Gather equal indices, for one call to constriction each.

    Returns:
        The stable order that sorts `index`, `(n,)`, and a list of (table, begin, end) in it.
    """
    # Of 16 bits numpy sorts by radix, 20 times as fast as of 64.
    keys = index.astype(np.uint16 if len(pmfs) <= 1 << 16 else np.int64)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    if not keys.size:
        return order, []
    begins = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    ends = [*begins[1:].tolist(), keys.size]
    return order, list(zip(keys[begins].tolist(), begins.tolist(), ends, strict=True))


def push(
    coder: EntropyCoder, index: NDArray[np.integer], symbols: NDArray[np.integer], pmfs: PmfTables
) -> None:
    """Push symbols, each under the table that its index names.

    On the stack, from the top: the symbols of the lowest index in their order, those of the next,
    ..., and below them the escaped values in the order of their symbols there.

    Args:
        coder: the stack; grows by `pmfs.bits(index, symbols).sum()` bits, unless popped dry.
        index: integers `(n,)` in 0...len(pmfs) - 1.
        symbols: integers `(n,)` in -2**20...2**20.
        pmfs: of the symbols.

    Raises:
        ArgumentError: shape, dtype or an index is wrong; nothing was pushed.
        SymbolOutOfRange: a symbol is outside its range; nothing was pushed.
    """
    index = checked_index(index, pmfs)
    symbols = checked_symbols(symbols, index.size)
    order, groups = _groups(index, pmfs)
    index, symbols = index[order], symbols[order]
    start, length = pmfs.start[index].astype(np.int64), pmfs.length[index].astype(np.int64)
    entries = symbols - start
    escaped = np.flatnonzero((entries < 0) | (entries >= length))
    if escaped.size:
        entries[escaped] = length[escaped]
        first = start[escaped]
        _push_values(coder, escape.fold(symbols[escaped], first, first + length[escaped]))
    entries = entries.astype(np.int32)
    models = _models(pmfs, groups)
    for table, begin, end in reversed(groups):
        coder.encode_reverse(entries[begin:end], models[table])


def pop(coder: EntropyCoder, index: NDArray[np.integer], pmfs: PmfTables) -> NDArray[np.int32]:
    """Pop what `push` pushed with the same index and pmfs; int32 `(n,)`.

    A stack that holds something else gives other symbols, an empty one gives made-up symbols: it
    takes `check_empty` and a checksum to notice.

    Raises:
        ArgumentError: shape, dtype or a value of `index` is wrong; nothing was popped.
        StreamDamaged: an escaped symbol is outside -2**20...2**20.
    """
    index = checked_index(index, pmfs)
    order, groups = _groups(index, pmfs)
    index = index[order]
    entries = np.empty(index.size, np.int32)
    models = _models(pmfs, groups)
    for table, begin, end in groups:
        if end - begin == 1:
            entries[begin] = coder.decode(models[table])  # half the time of an array of one
        else:
            entries[begin:end] = coder.decode(models[table], end - begin)
    start, length = pmfs.start[index], pmfs.length[index]
    escaped = np.flatnonzero(entries == length)
    values = start + entries
    if escaped.size:
        first = start[escaped].astype(np.int64)
        far = escape.unfold(_pop_values(coder, escaped.size), first, first + length[escaped])
        if np.abs(far).max() > MAX_SYMBOL:
            raise StreamDamaged(f"an escaped symbol is outside -{MAX_SYMBOL}...{MAX_SYMBOL}")
        values[escaped] = far
    symbols = np.empty(index.size, np.int32)
    symbols[order] = values
    return symbols


def _push_values(coder: EntropyCoder, values: NDArray[np.int64]) -> None:
    """Push integers `(n,)`, 1...2**23 - 1, in Elias' gamma code."""
    k = escape.bit_lengths(values)
    size = 1 << k[k > 0]  # a Uniform of size 1 panics, and codes nothing anyway
    coder.encode_reverse((values[k > 0] - size).astype(np.int32), _uniform(), size.astype(np.int32))
    coder.encode_reverse(k.astype(np.int32), _escape_length())


def _pop_values(coder: EntropyCoder, count: int) -> NDArray[np.int64]:
    """Pop what `_push_values` pushed; int64 `(count,)`."""
    k = coder.decode(_escape_length(), count).astype(np.int64)
    values = 1 << k
    values[k > 0] += coder.decode(_uniform(), values[k > 0].astype(np.int32))
    return values


def push_under(coder: EntropyCoder, pmf: NDArray[np.integer], symbols: NDArray[np.integer]) -> None:
    """Push symbols, each under masses of its own; the first of them ends on top.

    Args:
        coder: the stack.
        pmf: integers `(n, K)`, each >= 1, of sum 2**24 in a row; `(1, K)` serves all symbols.
        symbols: integers `(n,)` in 0...K - 1.

    Raises:
        ArgumentError: shape, dtype, a mass or a symbol is wrong; nothing was pushed.
    """
    pmf, symbols = _checked_masses(pmf), np.asarray(symbols)
    count, alphabet = pmf.shape
    if symbols.ndim != 1 or symbols.dtype.kind not in "iu" or count not in (1, symbols.size):
        raise ArgumentError(
            f"symbols are {symbols.dtype} of shape {symbols.shape} under {count} rows of masses"
        )
    if symbols.size and not 0 <= symbols.min() <= symbols.max() < alphabet:
        raise ArgumentError(
            f"symbols {symbols.min()}...{symbols.max()} are outside 0...{alphabet - 1}"
        )
    entries = symbols.astype(np.int32)
    if alphabet == 1 or not entries.size:
        return  # codes nothing
    if count == 1:
        coder.encode_reverse(entries, _exact_model(pmf[0]))
    else:
        coder.encode_reverse(entries, _any_masses(), pmf.astype(np.float64) - 1.0)


def pop_under(coder: EntropyCoder, pmf: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    """Pop `count` symbols that `push_under` pushed under the same masses; int32 `(count,)`.

    Raises:
        ArgumentError: shape, dtype or a mass is wrong; nothing was popped.
    """
    pmf = _checked_masses(pmf)
    rows, alphabet = pmf.shape
    if rows not in (1, count):
        raise ArgumentError(f"{count} symbols under {rows} rows of masses")
    if alphabet == 1 or not count:
        return np.zeros(count, np.int32)
    if rows == 1:
        return coder.decode(_exact_model(pmf[0]), count)
    return coder.decode(_any_masses(), pmf.astype(np.float64) - 1.0)


def push_bits(coder: EntropyCoder, bits: NDArray[np.int32], chances: NDArray[np.integer]) -> None:
    """Push bits (n,), each set with a chance (n,) of 1...127 in 128; the first ends on top."""
    if bits.size:
        push_under(coder, np.stack([128 - chances, chances], axis=1) * _CHANCE_UNIT, bits)


def pop_bit(coder: EntropyCoder, chance: int) -> bool:
    """Pop a bit that was pushed with a chance in 128."""
    return bool(coder.decode(_bit_model(chance)))


def _checked_masses(pmf: NDArray[np.integer]) -> NDArray[np.integer]:
    pmf = np.asarray(pmf)
    if pmf.ndim != 2 or pmf.dtype.kind not in "iu":
        raise ArgumentError(f"masses are {pmf.dtype} of shape {pmf.shape}, not integers (n, K)")
    if pmf.size and (pmf.min() < 1 or np.any(pmf.sum(axis=1, dtype=np.int64) != TOTAL)):
        raise ArgumentError(f"masses are below 1, or do not sum to {TOTAL}")
    return pmf


def words_of(coder: EntropyCoder) -> NDArray[np.uint32]:
    """Return what lies on the stack, uint32 `(n,)`, what is popped first standing first."""
    return coder.get_compressed()[::-1].copy()


def coder_of(words: NDArray[np.uint32] | None = None) -> EntropyCoder:
    """Return a stack on which `words` lie, as `words_of` gave them; an empty one without.

    Any prefix of what `words_of` gave will do; the stack is then shorter at its bottom.

    Raises:
        ArgumentError: not uint32 `(n,)`.
        StreamDamaged: the first word is 0, which the top of a stack never is.
    """
    if words is None:
        return _stream().stack.AnsCoder()
    words = np.asarray(words)
    if words.ndim != 1 or words.dtype != np.uint32:
        raise ArgumentError(f"words are {words.dtype} of shape {words.shape}, not uint32 (n,)")
    if words.size and words[0] == 0:
        raise StreamDamaged("the first word of a tile is 0")
    return _stream().stack.AnsCoder(words[::-1].copy())


def check_empty(coder: EntropyCoder) -> None:
    """Refuse a stack on which something is left, once everything was popped.

    Raises:
        StreamDamaged: there is.
    """
    if not coder.is_empty():
        raise StreamDamaged(f"words left over behind the last symbol: {coder.num_words()}")


def bulk_words(coder: EntropyCoder) -> int:
    """Return how many words popping will not touch until it has undone all that is pushed later.

    The rest, up to 64 bits, is the state that every push changes.
    """
    return coder.pos()[0]


def level_words(bulk: Sequence[int], total: int) -> tuple[int, ...]:
    """Return how many words each level adds to those that the levels before it need.

    Args:
        bulk: `bulk_words` just before each level was pushed, in the order of popping; the
            smallest one on the way, where bits-back pops in between.
        total: number of words at the end.

    Raises:
        ArgumentError: the numbers do not fall from `total` on, as they do on a stack.
    """
    needed = [0, *(total - below for below in bulk)]
    counts = tuple(after - before for before, after in pairwise(needed))
    if any(count < 0 for count in counts):
        raise ArgumentError(f"words before each level {list(bulk)} do not fall from {total} on")
    return counts
