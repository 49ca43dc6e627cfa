"""Unpacks the entries of a zip archive (a wheel) whose names start with one of some prefixes.

Usage: unpack.py ARCHIVE FOLDER PREFIX...
"""

import os
import sys
import zipfile

archive, folder, *prefixes = sys.argv[1:]
with zipfile.ZipFile(archive) as wheel:
    entries = [entry for entry in wheel.infolist() if entry.filename.startswith(tuple(prefixes))]
    wheel.extractall(folder, entries)
    for entry in entries:
        # Programs stay programs; zipfile leaves that out.
        mode = entry.external_attr >> 16
        if mode & 0o100:
            os.chmod(os.path.join(folder, entry.filename), 0o755)
