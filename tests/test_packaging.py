"""The wheel, installed where the repository is out of reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGED = ("assets", "core", "explorer", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it.

    Attributes:
        wheel: The wheel that was built.
        scripts: Folder of the environment's commands.
        elsewhere: An empty folder to run them in.
    """

    wheel: Path
    scripts: Path
    elsewhere: Path

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [self.scripts / command, *arguments],
            cwd=self.elsewhere,
            env=clean,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def python(self, code: str) -> str:
        finished = self.run("python", "-c", code)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.strip()


def build_wheel(folder: Path) -> Path:
    """Build from a copy, so that nothing is left in the repository and no old build is picked up."""
    source = folder / "source"
    source.mkdir()
    for name in PACKAGED:
        origin = REPOSITORY / name
        if origin.is_dir():
            shutil.copytree(origin, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("packaging")
    wheel = build_wheel(folder)
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    # A copy of the wheel's own packages comes first on the path, then what is installed here; the .pth file
    # is read for its folder only, so that an editable install of the repository stays out of reach.
    (purelib / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    install = [sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--no-deps"]
    subprocess.run([*install, "--no-index", wheel], check=True, capture_output=True, text=True)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return Installation(wheel, scripts, elsewhere)


def test_the_packages_come_from_the_wheel_and_not_from_the_repository(installed: Installation) -> None:
    for package in ("core", "explorer", "assets"):
        place = installed.python(f"import prunescope.{package} as p; print(p.__path__[0])")
        assert Path(place).is_relative_to(installed.scripts.parent)


def test_every_file_under_assets_is_found_as_a_resource(installed: Installation) -> None:
    code = """
from importlib.resources import files
print(*(asset.name for asset in files("prunescope.assets").iterdir()))
"""
    shipped = {file.name for file in (REPOSITORY / "assets").iterdir() if file.suffix in {".css", ".js"}}
    assert shipped <= set(installed.python(code).split())


def test_the_gallery_opens_from_the_wheel(installed: Installation) -> None:
    code = """
from prunescope.explorer.gallery import GALLERY, open_model
for name in GALLERY:
    opened = open_model(name)
    print(name, opened.evaluate(opened.model) > 0.9)
"""
    assert installed.python(code).splitlines() == ["digits-resnet True", "digits-vit True"]


def test_the_wheel_has_type_markers_and_nothing_but_the_package(installed: Installation) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {"prunescope/core/py.typed", "prunescope/explorer/py.typed"} <= set(names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"prunescope"}
    assert "prunescope/__init__.py" not in names


def test_the_wheel_holds_every_module_of_the_repository(installed: Installation) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    modules = [file for folder in ("core", "explorer", "assets") for file in (REPOSITORY / folder).rglob("*.py")]
    assert {f"prunescope/{file.relative_to(REPOSITORY).as_posix()}" for file in modules} <= names


def test_the_wheel_is_a_few_megabytes(installed: Installation) -> None:
    assert installed.wheel.stat().st_size < 4_000_000


def test_the_core_imports_neither_the_explorer_nor_dash_nor_plotly(installed: Installation) -> None:
    code = """
import pkgutil, sys, importlib, prunescope.core
for module in pkgutil.walk_packages(prunescope.core.__path__, "prunescope.core."):
    importlib.import_module(module.name)
roots = ("dash", "dash_cytoscape", "dash_mantine_components", "plotly", "flask", "prunescope.explorer")
print(*(name for name in sys.modules if name.startswith(roots)))
"""
    assert installed.python(code) == ""


def test_the_command_explains_itself(installed: Installation) -> None:
    finished = installed.run("prunescope", "--help")
    assert finished.returncode == 0, finished.stderr
    assert "prunescope" in finished.stdout
    assert "--no-browser" in finished.stdout
