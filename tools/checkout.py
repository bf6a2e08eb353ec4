"""A copy of this checkout, to plant defects in (tools/mutants, tools/mutation-score)."""

import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def copied_to(folder):
    """Makes `folder` again with every file here that git does not ignore, and returns it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, files):
        name = name.decode()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # With the current time, so that cargo does not reuse the build of the last defect.
        shutil.copy(ROOT / name, folder / name)
    (folder / ".tools").symlink_to(ROOT / ".tools")
    return folder
