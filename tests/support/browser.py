"""A Chromium without a window, driven over a pipe (the DevTools protocol), and what a page of it does.

    with Browser(profile) as browser:
        page = browser.page("http://127.0.0.1:7402/", width=390, height=844)
        page.wait("document.title === 'x'")

Each page keeps what it asked for, what its console said, and what it threw. No port is opened."""

import base64
import contextlib
import itertools
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from support.mode import PATIENCE

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-pings",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--disable-default-apps", "--disable-extensions", "--no-proxy-server", "--hide-scrollbars",
         "--force-color-profile=srgb", "--remote-debugging-pipe"]
WORDS = 4 * PATIENCE  # until the browser has started and answers


class Navigated(AssertionError):
    """The page went elsewhere while it was asked."""


class Browser:
    def __init__(self, profile, *flags):
        self._numbers, self._answers, self._pages = itertools.count(1), {}, {}
        self._changed = threading.Condition()
        self._is_over = False
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        profile = pathlib.Path(profile)
        with open(profile / "stderr", "wb") as words:
            # The browser's ends of the pipes are its descriptors 3 and 4.
            self.process = subprocess.Popen(
                ["bash", "-c", 'exec "${@:3}" 3<&"$1" 4>&"$2"', "-", str(to_read), str(to_write), CHROMIUM, *FLAGS, *flags,
                 f"--user-data-dir={profile}", "about:blank"],
                env={**os.environ, "HOME": str(profile)}, start_new_session=True, pass_fds=(to_read, to_write),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words)
        os.close(to_read)
        os.close(to_write)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """What it started goes with its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(PATIENCE)
        os.close(self._to)
        os.close(self._from)

    def _read(self):
        rest = b""
        while data := os.read(self._from, 1 << 16):
            *messages, rest = (rest + data).split(b"\0")
            with self._changed:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._answers[message["id"]] = message
                    elif message.get("sessionId") in self._pages:
                        self._pages[message["sessionId"]].notice(message["method"], message["params"])
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def call(self, method, session=None, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._answers or self._is_over, WORDS), method
            answer = self._answers.pop(number, None)
        if answer and "navigated" in answer.get("error", {}).get("message", ""):
            raise Navigated(method)
        assert answer and "error" not in answer, (method, answer)
        return answer["result"]

    def page(self, url, width=1440, height=900, is_dark=False, scale=1, beside=None):
        """A tab of its own, opened there; with storage that no other tab of this browser shares, but that beside it."""
        context = beside.context if beside else self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        page = self._attach(target, context)
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=width < 500)
        page.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"}])
        page.call("Page.navigate", url=url)
        return page

    def opened_by(self, opener):
        """The tab that a script of that page has opened."""
        end = time.monotonic() + WORDS
        while True:
            for target in self.call("Target.getTargets")["targetInfos"]:
                if target.get("openerId") == opener.target and not target["attached"]:
                    return self._attach(target["targetId"], opener.context)
            assert time.monotonic() < end
            time.sleep(0.05)

    def _attach(self, target, context):
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session, target, context)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        return page


class Page:
    def __init__(self, browser, session, target, context):
        self._browser, self._session, self.target, self.context = browser, session, target, context
        self.asked, self.complaints = [], []

    def notice(self, method, params):
        """Called by the thread that reads."""
        if method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append([arg.get("value", arg.get("description")) for arg in params["args"]])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"])

    def call(self, method, **params):
        return self._browser.call(method, self._session, **params)

    def run(self, script):
        """The value of an expression; a promise is waited for."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def _is_true(self, script):
        with contextlib.suppress(Navigated):
            return self.call("Runtime.evaluate", expression=f"Boolean({script})")["result"].get("value") is True

    def wait(self, script, patience=WORDS):
        """Until the expression is true; while the page is loaded it may throw."""
        end = time.monotonic() + patience
        while not self._is_true(script):
            assert time.monotonic() < end, (script, self.text()[:2000], self.complaints)
            time.sleep(0.05)

    def text(self, selector="body"):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **({"text": key} if len(key) == 1 else {}),
                      **({"text": "\r", "windowsVirtualKeyCode": 13} if key == "Enter" else {}))

    def type(self, text):
        self.call("Input.insertText", text=text)

    def shot(self, path, is_whole=True):
        """Of the whole page, however long it is."""
        what = {"captureBeyondViewport": True} if is_whole else {}
        if is_whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            what["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        pathlib.Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **what)["data"]))
