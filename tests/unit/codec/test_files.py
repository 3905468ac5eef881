"""Files that are there whole or not at all, and the images of a folder."""

import stat
from pathlib import Path

import pytest

from hvae_codec.codec.files import discard_parts, evenly_chosen, find_images, part_beside, replacing


def test_a_file_is_replaced_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a"
    for content in (b"first", b"second"):
        with replacing(path) as part:
            part.write_bytes(content)
            assert not path.exists() or path.read_bytes() == b"first"
        assert path.read_bytes() == content
    assert [*path.parent.iterdir()] == [path]


def test_the_old_file_stays_where_a_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.write_bytes(b"half of the n")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_what_is_being_written_can_be_discarded(tmp_path: Path) -> None:
    with part_beside(tmp_path / "a") as part:
        part.write_bytes(b"half")
        assert [*tmp_path.iterdir()] == [part]
        discard_parts()
        assert not [*tmp_path.iterdir()]


def test_a_read_only_part_is_deleted_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows the mode of a file counts, and not that of its folder."""
    unlink = Path.unlink

    def as_on_windows(path: Path, missing_ok: bool = False) -> None:
        if path.exists() and not path.stat().st_mode & stat.S_IWRITE:
            raise PermissionError(13, "Access is denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", as_on_windows)
    with pytest.raises(RuntimeError), part_beside(tmp_path / "a") as part:
        part.write_bytes(b"half")
        part.chmod(stat.S_IREAD)
        raise RuntimeError
    assert not [*tmp_path.iterdir()]


def test_images_are_found_in_a_folder_and_below(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for name in ("b.png", "a.JPG", "notes.txt", "c/d.tif"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(tmp_path)] == ["a.JPG", "b.png"]
    assert [path.name for path in find_images(tmp_path, deep=True)] == ["a.JPG", "b.png", "d.tif"]


@pytest.mark.parametrize("deep", [False, True])
def test_a_folder_without_images_is_refused(tmp_path: Path, deep: bool) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match="no images in this folder"):
        find_images(tmp_path, deep=deep)
    with pytest.raises(OSError):
        find_images(tmp_path / "absent", deep=deep)


def test_an_error_names_the_file_and_not_the_hidden_one(tmp_path: Path) -> None:
    path, folder = tmp_path / "a", tmp_path / "folder"
    with pytest.raises(FileNotFoundError) as caught, part_beside(tmp_path / "none" / "a") as part:
        part.write_bytes(b"new")
    assert caught.value.filename == str(tmp_path / "none" / "a")
    folder.mkdir()
    with pytest.raises(IsADirectoryError) as caught, replacing(folder) as part:
        part.write_bytes(b"new")
    assert (caught.value.filename, caught.value.filename2) == (str(folder), None)
    with pytest.raises(FileNotFoundError) as caught, replacing(path) as part:
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


@pytest.mark.parametrize(
    ("there", "count", "chosen"),
    [(19, 3, [0, 6, 12]), (19, 10, [0, 1, 3, 5, 7, 9, 11, 13, 15, 17]), (2, 9, [0, 1])],
)
def test_what_is_chosen_lies_over_all_of_it(there: int, count: int, chosen: list[int]) -> None:
    paths = [Path(str(number)) for number in range(there)]
    assert evenly_chosen(paths, count) == [paths[number] for number in chosen]
