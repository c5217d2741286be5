#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the C files of a compile_commands.json, each once, save the explorer's: the analyser cannot follow its memory."""
import json
import os
import sys

with open(sys.argv[1], encoding="utf-8") as commands:
    files = {os.path.relpath(os.path.join(c["directory"], c["file"])) for c in json.load(commands)}
print("\n".join(sorted(f for f in files if f.endswith(".c") and "tests/model/" not in f)))
