"""A library that a server is started with, for what no test can bring about from outside: see meddle.c."""

import mmap
import pathlib
import struct
import subprocess

from support.mode import ROOT

SECOND_NS = 1_000_000_000


class Meddler:
    def __init__(self, folder, refuse=0):
        library, page = pathlib.Path(folder) / "meddle.so", pathlib.Path(folder) / "suspended"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, ROOT / "tests/support/meddle.c"], check=True)
        page.write_bytes(b"\0" * 8)
        with open(page, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "MEDDLE_SUSPEND": str(page), "MEDDLE_REFUSE": str(refuse)}

    def suspend(self, seconds):
        """The machine was asleep for so long, as the server's clocks say from now on."""
        before = struct.unpack("Q", self.page[:8])[0]
        self.page[:8] = struct.pack("Q", before + seconds * SECOND_NS)
