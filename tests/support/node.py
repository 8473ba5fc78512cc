"""Node.js and the WebSocket clients that run in it: Debian's packages, and what is taken from npm at a pinned version.

Debian's Node.js is in the list of the Makefile. Where another one is installed in its place, node-websocket,
which is built for Debian's, can't be installed beside it: its files are unpacked under build/ then."""

import glob
import json
import os
import pathlib
import shutil
import subprocess

from support.mode import ROOT

NODE = "/usr/bin/node"
CLIENTS = ROOT / "tests" / "clients"
BUILD = ROOT / "build" / "clients"
DEBIAN = ["/usr/share/nodejs", "/usr/lib/nodejs", *glob.glob("/usr/lib/*/nodejs")]
NETWORK_SECONDS = 60


class Unavailable(Exception):
    """What a client needs is not to be had here, and why."""


def _run(*command, cwd):
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=NETWORK_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command[:2])}: {done.stdout.strip()[-300:]}")


def _is_whole(folder, lock):
    """Whether the folder has what the lock file names."""
    for path, entry in lock["packages"].items():
        about = folder / path / "package.json"
        if path and (not about.exists() or json.loads(about.read_text())["version"] != entry["version"]):
            return False
    return True


def from_npm():
    """The folder of modules that package-lock.json names, by `npm ci` where they are not there yet."""
    lock = json.loads((CLIENTS / "package-lock.json").read_text())
    if not _is_whole(BUILD, lock):
        BUILD.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(CLIENTS / name, BUILD)
        _run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=BUILD)
        if not _is_whole(BUILD, lock):
            raise Unavailable("npm ci: not what the lock file says")
    return str(BUILD / "node_modules")


def from_debian(package, module):
    """The folder in which the package's module is."""
    for folder in DEBIAN:
        if pathlib.Path(folder, module, "package.json").exists():
            return folder
    root = BUILD / package
    if not root.exists():
        part = BUILD / f"{package}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _run("apt-get", "download", package, cwd=part)
        _run("dpkg", "-x", *map(str, part.glob("*.deb")), str(part), cwd=part)
        part.rename(root)
    return str(next(root.glob(f"usr/**/nodejs/{module}/package.json")).parents[1])


def environment(*folders, trusted=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith("NODE_")}
    env["NODE_PATH"] = ":".join([*folders, *DEBIAN])
    if trusted:
        env["NODE_EXTRA_CA_CERTS"] = str(trusted)
    return env
