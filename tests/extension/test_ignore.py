"""What .gitignore and .batchaiignore leave out, held against git itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from azext_batchai.jobs.ignore import files_of

pytestmark = pytest.mark.invented
FILES = [
    "a.py",
    "b.pyc",
    "data/x",
    "data/y.txt",
    "src/data/z",
    "src/main.py",
    "src/build/out",
    "build",
    "logs/1.log",
    "logs/keep.log",
    "deep/a/b/c.txt",
    "docs/x.md",
    "docs/sub/y.md",
    "#hash",
    "!bang",
    "trail\\",
    "x[1].txt",
    "x1.txt",
    "tmp1",
    "tmp22",
    "end/in/here.tmp",
    "other.tmp",
]
RULES = [
    "*.pyc",
    "data/",
    "/data/",
    "build",
    "build/",
    "logs/*\n!logs/keep.log",
    "logs/\n!logs/keep.log",
    "**/b/",
    "deep/**",
    "deep/**/c.txt",
    "docs/*.md",
    "/*.md",
    "\\#hash\n\\!bang",
    "# a comment\n\n   \n*.txt   ",
    "x[[]1].txt",
    "x[0-9].txt\ntmp?",
    "tmp[!1]*",
    "*.tmp\n!other.tmp",
    "*\n!*/\n!*.py",
    "src/*\n!src/main.py",
    "x[z-a]*",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("folder", ["", "src", "deep/a"])
def test_as_git_does(tree: Path, rules: str, folder: str) -> None:
    (tree / folder / ".gitignore").write_text(rules)
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    git = ("git", "-C", str(tree), "-c", "core.quotePath=false", "-c", "core.excludesFile=")
    subprocess.run([*git, "init", "-q"], check=True, env=environment)
    command = [*git, "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout
    assert sorted(files_of(tree)) == sorted(listed.split("\0")[:-1])


def test_our_own_file_comes_last(tree: Path) -> None:
    (tree / ".gitignore").write_text("*.py\ndata/\n")
    (tree / ".batchaiignore").write_text("!a.py\ndocs/\n")
    (tree / ".git").mkdir()
    (tree / ".git" / "config").write_text("")
    os.mkfifo(tree / "pipe")
    (tree / "nowhere").symlink_to("gone")
    (tree / "loop").symlink_to(tree)
    found = set(files_of(tree))
    assert "a.py" in found
    assert not {name for name in found if name.startswith(("docs/", ".git/", "data/", "pipe", "nowhere", "loop"))}
    assert "src/main.py" not in found
