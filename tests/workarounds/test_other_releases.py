"""With another release of kafka-python the scripts run without the workarounds, and say so."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.process import PROJECT


def copy_of_kafka(directory: Path, release: str) -> Path:
    """The installed kafka-python under the name of another release."""
    package = directory / "kafka"
    installed = find_spec("kafka")
    assert installed and installed.origin, "kafka-python is not installed"
    compiled = shutil.ignore_patterns("*.pyc")
    shutil.copytree(Path(installed.origin).parent, package, ignore=compiled)
    (package / "version.py").write_text(f"__version__ = '{release}'\n")
    return package


def rename_modules(package: Path, modules: set[str]) -> None:
    """Give modules of a package other names, everywhere in the package."""
    for file in package.rglob("*.py"):
        text = file.read_text()
        for module in modules:
            *above, name = module.split(".")
            full = re.escape(".".join(["kafka", *above]))
            text = re.sub(rf"\b({full}\.){name}\b", rf"\1{name}_", text)
            if file.parent == package.joinpath(*above):
                text = re.sub(rf"\bfrom \.{name} import", f"from .{name}_ import", text)
        file.write_text(text)
    for module in modules:
        file = package.joinpath(*module.split("."))
        file = file if file.is_dir() else file.with_suffix(".py")
        file.rename(file.with_stem(f"{file.stem}_"))


def patched_modules() -> set[str]:
    """The inner modules of kafka-python that the workarounds import, as in `net.manager`."""
    texts = (file.read_text() for file in (PROJECT / "client" / "workarounds").glob("*.py"))
    found = re.findall(r"^from kafka\.(\S+) import", "\n".join(texts), re.M)
    return {name for name in found if "." in name or name == "cluster"}


@pytest.mark.parametrize("gone", [False, True], ids=["unchanged", "patched modules gone"])
def test_another_release_is_used_as_it_is_and_one_line_says_so(run, tmp_path, gone):
    package = copy_of_kafka(tmp_path, "3.1.0")
    if gone:
        rename_modules(package, patched_modules())
    path = {"PYTHONPATH": str(package.parent)}
    a, c = run("producer_a.py", **path), run("consumer_c.py", **path)
    c.said("A: 2")
    for one in (a, c):
        assert one.stop() == 0, one
        assert re.match(r"kafka-python is 3\.1\.0: the workarounds .* are left out\.$", one.err[0])
        assert not any("kafka-python" in line for line in one.err[1:]), one
