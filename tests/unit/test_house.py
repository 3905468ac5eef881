"""The house's rules: who may import whom, and that everything is packed."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BELOW = {
    "bitstream": set(),
    "models": set(),
    "codec": {"bitstream", "models"},
    "benchmarks": {"bitstream", "models", "codec"},
    "cli": {"bitstream", "models", "codec", "benchmarks"},
}
FOR_IMAGES = ("hvae_codec.bitstream.", "hvae_codec.codec.errors.", "hvae_codec.codec.images.")
MODULES = [path for folder in BELOW for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Full names of all that a module imports, also inside functions."""
    package = ("hvae_codec", *path.relative_to(ROOT).parts[:-1])
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def uses(path: Path, library: str) -> bool:
    return any(name.split(".")[0] == library for name in imports(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    floor = path.relative_to(ROOT).parts[0]
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("hvae_codec.")}
    assert (inner & BELOW.keys()) <= BELOW[floor] | {floor}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_inside_the_package_are_relative(path: Path) -> None:
    absolute = {
        node.module or ""
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert not {name.split(".")[0] for name in absolute} & {"hvae_codec", *BELOW}
    # `import bitstream` would find a second copy of every class
    assert not any(uses(path, folder) for folder in BELOW)


def test_libraries_stay_in_their_rooms() -> None:
    for path in MODULES:
        room = path.relative_to(ROOT).parts
        if room[0] == "bitstream":
            assert not uses(path, "torch"), path
        if room[:2] == ("codec", "images"):
            assert not uses(path, "torch"), path
            own = {name for name in imports(path) if name.startswith("hvae_codec.")}
            assert all(name.startswith(FOR_IMAGES) for name in own), path
        if room[0] == "models":
            assert not uses(path, "constriction"), path
            assert room[1] == "training" or not uses(path, "PIL"), path
        if room[0] != "cli":
            assert not uses(path, "click"), path


def test_tests_import_the_installed_package() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        assert not any(uses(path, folder) for folder in BELOW), path


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {"hvae_codec": "src/hvae_codec"}
    for path in MODULES:
        folder = path.relative_to(ROOT).parent
        folders[".".join(("hvae_codec", *folder.parts))] = folder.as_posix()
    assert settings["package-dir"] == folders
    assert set(settings["packages"]) == set(folders)
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders.values())
