"""Whatever goes in comes out, and takes the bits that the tables say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvae_codec.bitstream import (
    MAX_PIXELS,
    MAX_SYMBOL,
    MAX_TILES,
    Color,
    Header,
    ImageTooLarge,
    Metadata,
    MetadataKind,
    PmfTables,
    Prior,
    StreamDamaged,
    Tile,
    TileCoder,
    bulk_words,
    check_empty,
    coder_of,
    level_words,
    pack_header,
    part_check,
    pop,
    push,
    read_index,
    read_tile,
    unpack_header,
    words_of,
    write_container,
)

TOTAL = 1 << 24
FEW = settings(max_examples=60)

rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def random_pmf(rng: np.random.Generator, entries: int) -> np.ndarray:
    """Masses >= 1 of sum 2**24, from flat to nearly one-hot."""
    shares = rng.dirichlet(np.full(entries, rng.choice([0.02, 0.3, 5.0])))
    pmf = np.floor(shares * (TOTAL - entries)).astype(np.int64) + 1
    pmf[rng.integers(entries)] += TOTAL - pmf.sum()
    return pmf.astype(np.uint32)


@st.composite
def families(draw: st.DrawFn) -> PmfTables:
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    rng = draw(rngs)
    starts = [draw(st.sampled_from([-MAX_SYMBOL, -3, 0, MAX_SYMBOL - n + 1])) for n in lengths]
    return PmfTables(
        np.concatenate([random_pmf(rng, n + 1) for n in lengths]),
        np.array(starts, np.int32),
        np.array(lengths, np.int32),
    )


@st.composite
def levels(draw: st.DrawFn, pmfs: PmfTables) -> tuple[np.ndarray, np.ndarray]:
    """Indices and symbols: within the support, near it, anywhere."""
    rng, count = draw(rngs), draw(st.integers(0, 80))
    index = rng.integers(0, len(pmfs), count)
    start, length = pmfs.start[index], pmfs.length[index]
    inside = start + rng.integers(0, length)
    near = np.clip(start + rng.integers(-5, length + 5), -MAX_SYMBOL, MAX_SYMBOL)
    anywhere = rng.integers(-MAX_SYMBOL, MAX_SYMBOL, count, endpoint=True)
    kind = rng.choice(3, count, p=draw(st.sampled_from([(1, 0, 0), (0.8, 0.1, 0.1), (0, 0, 1)])))
    return index, np.choose(kind, [inside, near, anywhere])


@given(st.data())
@FEW
def test_ans_round_trip_of_several_levels(data: st.DataObject) -> None:
    pmfs = data.draw(families())
    parts = data.draw(st.lists(levels(pmfs), max_size=4))
    coder, bulk = coder_of(), [0] * len(parts)
    for k in reversed(range(len(parts))):
        bulk[k] = bulk_words(coder)
        push(coder, *parts[k], pmfs)
    words = words_of(coder)
    counts = level_words(bulk, words.size)
    coder = coder_of(words)
    for index, symbols in parts:
        popped = pop(coder, index, pmfs)
        assert popped.dtype == np.int32
        assert np.array_equal(popped, symbols)
    check_empty(coder)
    if parts:  # the words of the first level are enough for it
        prefix = coder_of(words[: counts[0]])
        assert np.array_equal(pop(prefix, parts[0][0], pmfs), parts[0][1])


@given(st.data())
@FEW
def test_ans_takes_the_bits_that_the_tables_say(data: st.DataObject) -> None:
    pmfs = data.draw(families())
    index, symbols = data.draw(levels(pmfs))
    # On an empty stack the first symbols may cost less; below others they cost what they should.
    coder = coder_of(np.array([0x89ABCDEF, 0x12345678, 0xDEADBEEF], np.uint32))
    before = coder.num_valid_bits()
    push(coder, index, symbols, pmfs)
    expected = pmfs.bits(index, symbols).sum()
    # Two bits: a size is rounded up. The state is at least 2**32 after a symbol of 2**-24, so one
    # push is off by 2**-8 of a factor at most; an escape takes three.
    tolerance = 2 + 3 * index.size * np.log2(1 + 2.0**-8)
    assert abs(coder.num_valid_bits() - before - expected) <= tolerance


@given(rngs, st.data())
@FEW
def test_bits_back_is_lossless_on_any_stack(rng: np.random.Generator, data: st.DataObject) -> None:
    words = rng.integers(1, 1 << 32, data.draw(st.integers(0, 30)), dtype=np.uint32)
    pmfs = data.draw(families())
    index = rng.integers(0, len(pmfs), data.draw(st.integers(0, 20)))
    coder = coder_of(words)
    undo = coder.clone()
    try:
        symbols = pop(coder, index, pmfs)
    except StreamDamaged:  # random bits may spell an escape beyond all bounds
        return
    push(coder, index, symbols, pmfs)
    assert np.array_equal(words_of(coder), words_of(undo))


@st.composite
def headers(draw: st.DrawFn) -> Header:
    tile = draw(st.integers(1, 64))
    width = draw(st.integers(1, 1 << 24))
    rows = MAX_TILES // -(-width // (32 * tile))
    return Header(
        width=width,
        height=draw(st.integers(1, min(1 << 24, 32 * tile * rows))) if rows else 1,
        quality=draw(st.integers(0, 100)),
        tile_side=tile if rows else 64,
        weights=draw(st.binary(min_size=4, max_size=4)),
        color=draw(st.sampled_from(Color)),
        bit_depth=draw(st.sampled_from([8, 16])),
        prior=draw(st.sampled_from(Prior)),
        metadata=draw(st.booleans()),
        exact=draw(st.booleans()),
    )


@given(headers(), st.binary(max_size=30))
@FEW
def test_header_round_trip(header: Header, rest: bytes) -> None:
    packed = pack_header(header)
    assert len(packed) <= 25
    if header.width * header.height > MAX_PIXELS:
        with pytest.raises(ImageTooLarge):
            unpack_header(packed + rest)
    else:
        assert unpack_header(packed + rest) == (header, len(packed))


@st.composite
def files(draw: st.DrawFn) -> tuple[Header, Metadata, list[Tile]]:
    kinds = sorted(draw(st.sets(st.sampled_from(MetadataKind))))
    header = Header(
        width=draw(st.integers(1, 200)),
        height=draw(st.integers(1, 200)),
        quality=draw(st.integers(0, 100)),
        tile_side=draw(st.integers(2, 8)),
        weights=draw(st.binary(min_size=4, max_size=4)),
        color=draw(st.sampled_from(Color)),
        metadata=bool(kinds),
        exact=draw(st.booleans()),
    )
    count, rng = draw(st.integers(1, 9)), draw(rngs)
    tiles: list[Tile] = []
    for number in range(header.tile_count):
        coder = TileCoder(int(rng.integers(0, 1 + max(TileCoder))) if header.exact else 0)
        exact = rng.bytes(int(rng.integers(1, 50))) if coder.is_exact else b""
        if not coder.is_learned:
            tiles.append(Tile.exact_tile(number, exact, count))
            continue
        sizes = tuple(int(n) for n in rng.choice([0, 1, 5, 130], count))
        words = rng.integers(0, 1 << 32, sum(sizes), dtype=np.uint32)
        checks = tuple(rng.integers(0, 1 << 32, count).tolist())
        alpha = rng.bytes(int(rng.integers(1, 50))) if header.color.has_alpha else b""
        parts = alpha, part_check(number, alpha), coder, exact, part_check(number, exact)
        tiles.append(Tile(words, sizes, checks, *parts))
    metadata = tuple((k, draw(st.binary(min_size=1, max_size=300))) for k in kinds)
    return header, metadata, tiles


@given(files(), st.data())
@FEW
def test_container_round_trip_and_prefixes(
    wrote: tuple[Header, Metadata, list[Tile]], data: st.DataObject
) -> None:
    packed = write_container(*wrote)
    index = read_index(packed)
    assert (index.header, index.metadata, index.end) == (*wrote[:2], len(packed))
    read = [read_tile(packed, index, n) for n in range(len(wrote[2]))]
    assert write_container(index.header, index.metadata, read) == packed
    cut = packed[: data.draw(st.integers(index.begin, len(packed)))]
    levels = []
    for n, whole in enumerate(wrote[2]):
        part = read_tile(cut, index, n)
        assert np.array_equal(part.words, whole.words[: part.words.size])
        assert part.alpha in (whole.alpha, None)
        assert part.exact in (whole.exact, None)
        assert part.coder is whole.coder
        ends = index.spans[n].sum(axis=1)[2:]
        assert part.whole_levels >= np.count_nonzero(ends <= len(cut))
        levels.append(part.whole_levels)
    with_words = [n for n, t in enumerate(wrote[2]) if all(t.level_words)]
    held = [levels[n] for n in with_words]
    # level by level: a tile is never more than one level ahead of another, and never behind a later
    assert held == sorted(held, reverse=True)
    assert not held or held[0] - held[-1] <= 1
