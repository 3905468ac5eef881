"""The house's rules: who may import whom, what works without PyTorch, and what is packed."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BELOW = {
    "bitstream": set(),
    "codec": {"bitstream"},
    "models": {"bitstream", "codec"},
    "benchmarks": {"bitstream", "codec", "models"},
    "cli": {"bitstream", "codec", "models", "benchmarks"},
}
BESIDE = {
    "images": {"images"},
    "quality": {"quality"},
    "symbols": {"quality", "symbols"},
    "networks": {"networks", "quality", "symbols"},
    "tiles": {"images", "networks", "quality", "symbols", "tiles"},
    "rate_control": {"images", "networks", "quality", "rate_control", "tiles"},
    "batch": {"batch", "images", "networks", "quality", "rate_control", "tiles"},
}
"""The rooms of the codec, and which of them a room may import from."""

FOR_IMAGES = (
    "hvae_codec.bitstream.",
    "hvae_codec.codec.errors.",
    "hvae_codec.codec.images.",
    "hvae_codec.codec.locks.",
    "hvae_codec.codec.sources.",
)
TORCH_SIDE = {"torch", "onnx", "onnxscript"}
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


def own_floors(path: Path) -> set[str]:
    """Which folders of the house a module imports from."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("hvae_codec.")}


def imports_at_once(path: Path) -> set[str]:
    """Libraries that are imported with a module, and not only when a function is called."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def uses(path: Path, library: str) -> bool:
    return any(name.split(".")[0] == library for name in imports(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    floor = path.relative_to(ROOT).parts[0]
    assert (own_floors(path) & BELOW.keys()) <= BELOW[floor] | {floor}


def test_rooms_of_the_codec_do_not_know_who_uses_them() -> None:
    users = {"decode", "decoder", "encode", "encoder", "sampling", "verify"}
    rooms = {path.parent.name for path in (ROOT / "codec").glob("*/__init__.py")}
    assert rooms == BESIDE.keys()
    for room in ("images", "quality", "symbols", "networks", "tiles"):
        for path in sorted((ROOT / "codec" / room).glob("*.py")):
            own = {name.split(".")[2] for name in imports(path) if ".codec." in name}
            assert not own & users, path
    for room, allowed in BESIDE.items():
        for path in sorted((ROOT / "codec" / room).glob("*.py")):
            own = {name.split(".")[2] for name in imports(path) if ".codec." in name}
            assert own & BESIDE.keys() <= allowed, path


def test_exact_layers_do_not_know_what_is_built_of_them() -> None:
    for path in sorted((ROOT / "models/integer").glob("*.py")):
        own = {name for name in imports(path) if name.startswith("hvae_codec.models.")}
        assert {name.split(".")[2] for name in own} <= {"integer", "qualities"}, path


def test_one_place_alone_asks_for_the_side_that_needs_pytorch() -> None:
    """At run time and by name, where no import statement tells."""
    asking = {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        if path.relative_to(ROOT).parts[0] in ("bitstream", "codec")
        and any(
            isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
        )
    }
    assert asking == {"codec/networks/runtime.py"}


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
        if room[0] in ("bitstream", "codec"):
            assert not any(uses(path, library) for library in TORCH_SIDE), path
        if room[0] == "cli":
            assert not imports_at_once(path) & TORCH_SIDE, path
        if room[:2] != ("codec", "networks") or not room[2].startswith("onnx_"):
            assert not uses(path, "onnxruntime"), path
        if room[:2] == ("codec", "images"):
            own = {name for name in imports(path) if name.startswith("hvae_codec.")}
            assert all(name.startswith(FOR_IMAGES) for name in own), path
        if room[0] != "bitstream":
            assert not uses(path, "constriction"), path
        if room[0] == "models":
            assert room[1] == "training" or not uses(path, "PIL"), path
        if room[0] != "cli":
            assert not uses(path, "click"), path


WITHOUT_TORCH = """
import sys
from importlib import import_module


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "onnxscript"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
for name in sys.argv[1:]:
    import_module(name)
"""


def run_without_torch(program: str, *modules: str) -> subprocess.CompletedProcess[str]:
    """Run a program where PyTorch is not installed, once modules are imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + program, *modules], capture_output=True, text=True
    )


def test_what_codes_can_be_imported_without_pytorch() -> None:
    modules = ["hvae_codec", "hvae_codec.pillow"]
    for path in MODULES:
        room = path.relative_to(ROOT).with_suffix("").parts
        if room[0] in ("bitstream", "codec", "cli"):
            modules.append(".".join(("hvae_codec", *room)).removesuffix(".__init__"))
    done = run_without_torch("", *modules)
    assert done.returncode == 0, done.stderr


CODING = """
import numpy as np
from hvae_codec.codec import api
from hvae_codec.codec.errors import TorchMissing

rows, columns = np.mgrid[:40, :72]
pixels = np.stack([3 * rows + columns, 255 - 2 * rows - columns, rows], axis=2).astype(np.uint8)
data = api.encode(pixels, 90)
error = np.asarray(api.decode(data)).astype(float) - pixels
assert np.square(error).mean() < 30, np.square(error).mean()
assert api.verify(data).differing == 0
assert api.sample((1, 1)).size == (32, 32)
for wish in ({"device": "cuda"}, {"effort": 1, "tune": "psnr"}, {"prior": "mixture"}):
    try:
        api.encode(pixels, **wish)
    except TorchMissing as error:
        print(error)
try:
    api.decode(data, device="cuda")
except TorchMissing as error:
    print(error)
assert "torch" not in sys.modules
"""


def test_pictures_are_coded_without_pytorch_and_the_rest_names_it(shipped: Path) -> None:
    done = run_without_torch(CODING)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    wishes = ("device cuda", "effort 1", "the prior mixture", "device cuda")
    for line, wish in zip(lines, wishes, strict=True):
        assert line.startswith(f"{wish} needs PyTorch"), line
        assert line.endswith("pip install 'hvae-codec[torch]'"), line


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
