"""Unpacks the entries of a zip archive (a wheel) whose names start with one of some prefixes.

Usage: unpack.py ARCHIVE FOLDER PREFIX...
"""

import sys
import zipfile

archive, folder, *prefixes = sys.argv[1:]
with zipfile.ZipFile(archive) as wheel:
    names = [name for name in wheel.namelist() if name.startswith(tuple(prefixes))]
    wheel.extractall(folder, names)
