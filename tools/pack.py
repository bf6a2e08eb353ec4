"""Packs the files of a release so that the same content gives the same bytes (tools/release).

  pack.py zip BUILT.zip PACKED.zip                     a Lambda zip, with fixed times
  pack.py tar FOLDER PACKED.tar.gz                     a folder under its own name
  pack.py template FILE ARCHITECTURE VERSION PACKED    a SAM template that takes the zips beside it
  pack.py bom FILE...                                  bills of materials without random values
"""

import gzip
import hashlib
import json
import os
import pathlib
import re
import sys
import tarfile
import uuid
import zipfile

TIME = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
FUNCTIONS = ("hook", "provision", "schedule")


def fail(text):
    sys.exit(f"pack: {text}")


def pack_zip(built, packed):
    with zipfile.ZipFile(built) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name in sorted(source.namelist()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100755 << 16
            target.writestr(entry, source.read(name))


def pack_tar(folder, packed):
    folder = pathlib.Path(folder)

    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = TIME
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with open(packed, "wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for path in [folder, *sorted(folder.rglob("*"))]:
            archive.add(path, path.relative_to(folder.parent).as_posix(), recursive=False, filter=plain)


def once(pattern, by, text):
    """Replaces a text that must occur exactly once."""
    text, times = re.subn(pattern, by, text, flags=re.MULTILINE)
    if times != 1:
        fail(f"the template has {times} places like {pattern!r}, not one")
    return text


def pack_template(source, architecture, version, packed):
    text = pathlib.Path(source).read_text()
    found = re.search(r"^    SemanticVersion: (\S+)$", text, re.MULTILINE)
    if not found or found[1] != version:
        fail(f"SemanticVersion in the template is {found and found[1]}, the package's version is {version}")
    text = once(r"^    CodeUri: \.\n", "", text)
    for function in FUNCTIONS:
        built = rf"^      BuildMethod: rust-cargolambda\n      BuildProperties: {{ Binary: {function} }}\n"
        resource = f"{function.capitalize()}Function"
        text = once(built, "", text)
        text = once(rf"^  {resource}:\n((?:    .*\n)*?)    Properties:\n",
                    rf"  {resource}:\n\g<1>    Properties:\n      CodeUri: {function}-{architecture}.zip\n", text)
    text = once(r"^    AllowedValues: \[arm64, x86_64\]$", f"    AllowedValues: [{architecture}]", text)
    if architecture != "arm64":
        text = once(r"^(  Architecture:\n(?:    .*\n)*?    Default:) arm64$", rf"\1 {architecture}", text)
    text = re.sub(r"^    Metadata:\n(?=  \S|\n|      $)", "", text, flags=re.MULTILINE)
    pathlib.Path(packed).write_text(text)


def pack_bom(files):
    for name in files:
        path = pathlib.Path(name)
        bom = json.loads(path.read_text())
        bom.pop("serialNumber", None)
        digest = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).hexdigest()
        bom["serialNumber"] = f"urn:uuid:{uuid.UUID(digest[:32], version=5)}"
        path.write_text(json.dumps(bom, indent=1) + "\n")


def main():
    match sys.argv[1:]:
        case ["zip", built, packed]:
            pack_zip(built, packed)
        case ["tar", folder, packed]:
            pack_tar(folder, packed)
        case ["template", source, architecture, version, packed]:
            pack_template(source, architecture, version, packed)
        case ["bom", *files]:
            pack_bom(files)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
