"""A headless Chromium, driven over the DevTools protocol: pages are tested as a user's browser runs them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

WAIT_SECONDS = 60
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


def chromium() -> str | None:
    """Where the browser is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """One tab; `problems` and `requested` grow with what its console and its network tell."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0
        self.problems: list[str] = []
        self.requested: list[str] = []
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(timeout=WAIT_SECONDS))
            if said.get("id") == self._last:
                assert "error" not in said, said
                return dict(said["result"])
            self._note(said["method"], said.get("params", {}))

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.problems.append(told["exceptionDetails"].get("exception", {}).get("description", str(told)))
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.problems.append(str(told["args"]))
        elif event == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif event == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])

    def go(self, url: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Opens an address in a window of that size in CSS pixels; a narrow one is a phone."""
        phone = width < 600
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme, still])
        self.ask("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def tell(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The first value of an expression that is true."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not (value := self.tell(expression)):
            assert time.monotonic() < deadline, f"{expression}: {self.tell('document.body.innerText')} {self.problems}"
            time.sleep(0.03)
        return value

    def press(self, key: str, code: int, text: str = "") -> None:
        """Presses and releases a key."""
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed)

    def click(self, selector: str) -> None:
        """Clicks the middle of the first element that a selector finds, as a mouse would."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.tell(f"{place}.scrollIntoView({{block: 'center'}})")
        x, y = self.tell(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({place}.getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, file: Path) -> None:
        """Writes a PNG of the whole page."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Callable[[], Page]]:
    """Starts the browser with an empty profile; yields what opens a tab, and ends all its processes."""
    program = chromium()
    assert program is not None
    process = subprocess.Popen(
        [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    sockets: list[ClientConnection] = []
    try:
        port = _port(profile, process)

        def open_tab() -> Page:
            wanted = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
            with urllib.request.urlopen(wanted, timeout=WAIT_SECONDS) as answer:
                address = json.load(answer)["webSocketDebuggerUrl"]
            sockets.append(connect(address, max_size=None))
            return Page(sockets[-1])

        yield open_tab
    finally:
        for socket in sockets:
            socket.close()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    file, deadline = profile / "DevToolsActivePort", time.monotonic() + WAIT_SECONDS
    while not (file.exists() and (lines := file.read_text().split())):
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.05)
    return int(lines[0])
