"""The client for browsers and Node.js: its rules one by one, the scenarios that every client is held to, its types, its
package."""

import json
import re
import subprocess
import tarfile

import pytest

from support import node
from support.certs import Certificate
from support.javascript import MODULE, environment, play_all, program
from support.scenario import Runner, scenarios

pytestmark = pytest.mark.release_only  # the client is the same in all builds


def run(*command, cwd=None, timeout=60):
    done = subprocess.run(command, cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


def test_rules():
    """In a world without a network, with a clock of the test's."""
    said = run(node.NODE, "--test", *map(str, sorted((node.CLIENTS / "unit").glob("*.test.mjs"))))
    assert int(re.search(r"^# pass (\d+)$", said, re.M).group(1)) >= 60
    assert re.search(r"^# (skipped|todo|cancelled) [1-9]", said, re.M) is None, said


# The scenarios


def player(figure, door="ws", how={}, **more):
    def play(scenario, begin, where):
        settings = {"HEARTBEAT_MIN": "50ms", "WORKERS": 1, **more, **scenario.get("settings", {})}
        server = begin(LISTEN=f"{door}://127.0.0.1:0,unix://{where}/sock", **settings)
        Runner(scenario, server, server.url(door), lambda name: program(name, where, **how),
               again=lambda: begin(LISTEN=",".join(server.urls), **settings), ca_file=settings.get("TLS_CERT"),
               tell=lambda text: figure(f"{scenario['name']}: {text}")).play()

    return play


@pytest.mark.tight  # all of them at the same time
def test_every_scenario(start, tmp, figure):
    play_all([s for s in scenarios("doors") if "ws" in s.get("over", ["ws"])], player(figure), start, tmp)


def test_scenario_over_tls(start, tmp, figure):
    play_all(scenarios("doors")[:1], player(figure, "wss", **Certificate(tmp, "clients").settings()), start, tmp)


def test_scenario_with_the_websocket_of_node_itself(start, tmp, figure):
    """A global from version 22 on, and behind a flag before."""
    flags = ["--experimental-websocket"] if int(run(node.NODE, "-p", "process.versions.node.split('.')[0]")) < 22 else []
    if subprocess.run([node.NODE, *flags, "-e", "new WebSocket"], capture_output=True).returncode == 9:
        pytest.skip("this Node.js has none, not even behind a flag")
    play_all(scenarios("doors")[:1], player(figure, how={"flags": flags, "websocket": "global"}), start, tmp)


# What is packed


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """As npm packs it, and unpacked where a program finds it."""
    where = tmp_path_factory.mktemp("npm")
    packed = json.loads(run("npm", "pack", "--json", "--silent", "--pack-destination", str(where), cwd=MODULE))[0]
    into = where / "node_modules"
    with tarfile.open(where / packed["filename"]) as tar:
        names = sorted(member.name for member in tar.getmembers())
        tar.extractall(into)
    (into / "package").rename(into / packed["name"])
    return where, packed, names


def test_package_has_what_it_needs_and_no_more(package):
    where, packed, names = package
    assert names == ["package/README.md", "package/package.json", "package/presence.d.ts", "package/presence.js"]
    about = json.loads((where / "node_modules/presenced/package.json").read_text())
    assert not {"dependencies", "peerDependencies", "scripts", "bin"} & set(about)
    version = re.search(r"^VERSION := (.+)$", (node.ROOT / "Makefile").read_text(), re.M).group(1)
    assert about["version"] == packed["version"] == version
    assert f'VERSION = "{version}"' in (MODULE / "presence.js").read_text().replace("'", '"')


def test_package_is_found_by_its_name(package):
    where, _, _ = package
    (where / "use.mjs").write_text("import * as all from 'presenced'; console.log(Object.keys(all).sort().join(' '));")
    assert run(node.NODE, "use.mjs", cwd=where).split() == ["Presence", "PresenceError", "VERSION", "isFinal"]


def test_module_has_no_dependency():
    """Nothing is imported, and nothing of Node.js is named: a page takes the file as it is."""
    code = (MODULE / "presence.js").read_text()
    assert not re.search(r"^\s*import\b|\bimport\(|\brequire\(|\bprocess\.|\bBuffer\b", code, re.M)


# Types


def declared():
    """The exports and the class's members that presence.d.ts declares."""
    types = re.sub(r"/\*.*?\*/", "", (MODULE / "presence.d.ts").read_text(), flags=re.S)
    exports = set(re.findall(r"^export declare (?:class|function|const) (\w+)", types, re.M))
    body = re.search(r"^export declare class Presence .*?^\}", types, re.M | re.S).group(0)
    members = set(re.findall(r"^\t(?:readonly )?(\w+)(?:\(|: )", body, re.M))
    return exports, members - {"constructor", "addEventListener", "removeEventListener"}


def test_types_are_those_of_the_module():
    script = ("import * as m from %s; console.log(JSON.stringify([Object.keys(m),"
              "Object.getOwnPropertyNames(m.Presence.prototype).filter((n) => n !== 'constructor')]))"
              % json.dumps(str(MODULE / "presence.js")))
    exports, members = json.loads(run(node.NODE, "--input-type=module", "-e", script))
    assert (set(exports), set(members)) == declared()


@pytest.mark.parametrize("document", ["README.md", "src/client/js/README.md"])
def test_examples_use_what_there_is(document, tmp):
    _, members = declared()
    text = (node.ROOT / document).read_text()
    blocks = [b for b in re.findall(r"^```js\n(.*?)^```", text, re.M | re.S) if "resence" in b and "new WebSocket" not in b]
    assert blocks
    for block in blocks:
        (tmp / "example.mjs").write_text(block)
        run(node.NODE, "--check", str(tmp / "example.mjs"))
        assert set(re.findall(r"\bpresence\.(\w+)\(", block)) <= members | {"addEventListener"}


def test_types_compile(package):
    """A program in strict TypeScript that uses all of it; and what must be an error is one."""
    try:
        compiler = node.from_debian("node-typescript", "typescript")
    except node.Unavailable as error:
        pytest.skip(str(error))
    where, _, _ = package
    for name in ("good.ts", "bad.ts"):
        (where / name).write_text((node.CLIENTS / "types" / name).read_text())
    (where / "package.json").write_text('{"type": "module"}')
    (where / "tsconfig.json").write_text(json.dumps({"compilerOptions": {
        "noEmit": True, "strict": True, "target": "es2022", "module": "nodenext", "lib": ["es2022", "dom"], "types": []}}))
    done = subprocess.run([node.NODE, f"{compiler}/typescript/lib/tsc.js", "--project", "."], cwd=where,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    found = re.findall(r"^([\w./]+)\((\d+),", done.stdout, re.M)
    wrong = enumerate((where / "bad.ts").read_text().splitlines(), 1)
    assert found == [("bad.ts", str(n)) for n, line in wrong if "// error" in line], done.stdout
