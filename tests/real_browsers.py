"""Chromium, Firefox and WebKit, headless, running the cases of ``cases.py`` in a page.

No driver program takes part. A browser is started on a page of our own, the page asks the server for cases, runs
them, and posts what came of them; the console is read where the browser writes it: Chromium to stderr, WebKit's
MiniBrowser to stdout, Firefox by Marionette, its built-in remote control. What the network tab of the developer tools
shows is read by the protocol that each browser has for them. Everything stays on loopback.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import re
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
import websocket
from cases import Case, Outcome, Server, cached, url_of, watched
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Self

SECONDS_TO_START = 60
SECONDS_FOR_A_BATCH = 110
JOBS_IN_A_BATCH = 500

PAGE = """<!doctype html><meta charset="utf-8"><title>cases</title><link rel="icon" href="data:,"><script>
function xhr({url, method, headers, body}) {
  return new Promise(done => {
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", () => {});
    request.open(method, url);
    for (const header of headers) request.setRequestHeader(...header);
    request.onloadend = () => done({status: request.status || null});
    request.send(body);
  });
}
function socket(url) {
  return new Promise(done => {
    try {
      const socket = new WebSocket(url);
      socket.onclose = done;
      socket.onopen = () => socket.close();
    } catch (error) {
      done();
    }
  });
}
async function one({url, init, request}) {
  if (request === "xhr") return xhr({url, ...init});
  if (request === "websocket") return socket(url);
  try {
    const response = await fetch(url, {...init, signal: AbortSignal.timeout(20000)});
    const {status, type, redirected} = response;
    return {status, type, redirected, headers: [...response.headers]};
  } catch (error) {
    return {status: null, error: String(error)};
  }
}
</script><script>
const frame = document.createElement("iframe");
const waiting = new Map();
frame.sandbox = "allow-scripts";
frame.srcdoc = "<script>" + one + `
  addEventListener("message", async ({data}) => parent.postMessage([data.key, await one(data.fetch)], "*"));
  parent.postMessage(["ready", null], "*");
<` + "/script>";
addEventListener("message", ({data: [key, result]}) => waiting.get(key)(result));
function framed(fetch) {
  const key = Math.random();
  frame.contentWindow.postMessage({key, fetch}, "*");
  return new Promise(done => waiting.set(key, done));
}
async function run({id, opaque, fetches, marks}) {
  const results = [];
  for (const fetch of fetches) {
    results.push(await (opaque ? framed : one)(fetch));
    if (marks) await window.fetch("/mark/" + id, {method: "POST"});
  }
  return {id, results};
}
function submit({action, method, enctype, fields}) {
  const form = Object.assign(document.createElement("form"), {action, method, enctype});
  for (const [name, value] of fields) form.append(Object.assign(document.createElement("textarea"), {name, value}));
  document.documentElement.append(form);
  form.submit();
}
(async () => {
  const ready = new Promise(done => waiting.set("ready", done));
  document.documentElement.append(frame);
  await ready;
  let finished = [];
  for (;;) {
    const response = await fetch("/next", {method: "POST", body: JSON.stringify(finished)});
    const {cases, workers, page, open, method, form} = await response.json();
    if (page) return location.assign(page);
    if (open) {
      const form = Object.assign(document.createElement("form"), {action: open, method});
      document.documentElement.append(form);
      method === "POST" ? form.submit() : location.assign(open);  // browsers warn of forms that lead from https to http
      return;
    }
    if (form) return submit(form);
    finished = [];
    const work = async () => { while (cases.length) finished.push(await run(cases.shift())); };
    await Promise.all(Array.from({length: workers}, work));
  }
})();
</script>"""


# ---------------------------------------------------------------------------------------
# Servers
# ---------------------------------------------------------------------------------------


class Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


@contextmanager
def serving(app: WSGIApplication) -> Iterator[int]:
    """*app* on a free port of loopback, which is yielded."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy behind which every name that `NAMES` matches is the server on *port*, over ``http`` and ``https``.

    Browsers ask it for all hosts but loopback. It ends the encryption itself, and knows no other host.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.port = port
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("names.example").configure_cert(self.tls)

    def handle_error(self, request: Any, client_address: Any) -> None: ...  # browsers close connections as they like


NAMES = re.compile(r"(?:[a-z0-9]+\.)*site[0-9]+\.[a-z.]+")


class ProxyHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Proxy)
        client: socket.socket = self.request
        client.settimeout(SECONDS_TO_START)
        head = read_head(client)
        method, url, *_ = head.decode("latin-1").split(" ", 2)
        host = url if method == "CONNECT" else url.removeprefix("http://").partition("/")[0]
        if not NAMES.fullmatch(host.partition(":")[0]):
            return
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with self.server.tls.wrap_socket(client, server_side=True) as encrypted:
                self.pass_on(encrypted, self.server.port, read_head(encrypted))
        else:
            with client:
                self.pass_on(client, self.server.port, head)

    @staticmethod
    def pass_on(client: socket.socket, port: int, head: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            server.sendall(head + read_body(client, head))
            while data := server.recv(65536):
                client.sendall(data)


def read_head(client: socket.socket) -> bytes:
    """The head of a request, and what came with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        if not data:
            raise ConnectionResetError
        head += data
    return head


def read_body(client: socket.socket, head: bytes) -> bytes:
    """The rest of a request's body."""
    length = re.search(rb"(?i)\r\ncontent-length: ([0-9]+)\r\n", head)
    missing = int(length[1]) - len(head.partition(b"\r\n\r\n")[2]) if length else 0
    body = b""
    while len(body) < missing and (data := client.recv(65536)):
        body += data
    return body


@contextmanager
def proxying(port: int) -> Iterator[int]:
    """A `Proxy` for the server on *port*; its own port is yielded."""
    with Proxy(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy.server_address[1]
        finally:
            proxy.shutdown()
            thread.join()


class Desk:
    """The page's origin: hands out batches of cases and takes the results; everything else is the app's."""

    def __init__(self, app: WSGIApplication, mark: Callable[[str], None]) -> None:
        self.app = app
        self.mark = mark
        self.batches: queue.Queue[dict[str, Any]] = queue.Queue()
        self.results: queue.Queue[list[dict[str, Any]]] = queue.Queue()
        self.host = ""
        """Of the page that asked last."""
        self.pages: list[str] = []
        """The cookies with which pages were opened."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        path = environ["PATH_INFO"]
        if path == "/page":
            self.pages.append(environ.get("HTTP_COOKIE", "none"))
            start_response("200 OK", [("Content-Type", "text/html")])
            return [PAGE.encode()]
        if path == "/next":
            start_response("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
            self.host = environ["HTTP_HOST"]
            return [self.next(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))]
        if path.startswith("/mark/"):
            self.mark(path.removeprefix("/mark/"))
            start_response("204 No Content", [])
            return []
        return self.app(environ, start_response)

    def next(self, finished: list[dict[str, Any]]) -> bytes:
        self.results.put(finished)
        try:
            return json.dumps(self.batches.get(timeout=2)).encode()
        except queue.Empty:
            return b'{"cases": [], "workers": 0}'


MARK = "|"


# ---------------------------------------------------------------------------------------
# Engines
# ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Engine:
    name: str
    needs: tuple[str, ...]
    """Programs that must be on the PATH."""
    command: Callable[[Path, str, int], list[str]]
    """Its command line for a profile's folder, a page and the port of a proxy."""
    workers: int
    """How many cases run at once."""

    def __str__(self) -> str:
        return self.name

    @property
    def is_installed(self) -> bool:
        return all(shutil.which(program) for program in self.needs) and (self.name != "WebKit" or mini_browser() != "")


def chromium(profile: Path, url: str, proxy: int) -> list[str]:
    flags = f"""
        --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run
        --no-default-browser-check --disable-background-networking --disable-component-update --disable-sync
        --disable-default-apps --disable-extensions --disable-breakpad --metrics-recording-only
        --password-store=basic --use-mock-keychain --proxy-server=http://127.0.0.1:{proxy} --enable-logging=stderr
        --ignore-certificate-errors
        --disable-features=HttpsUpgrades,HttpsFirstBalancedMode,HttpsFirstBalancedModeAutoEnable
    """
    # Debian's Chromium blocks third-party cookies, which Chrome does not.
    (profile / "Default").mkdir(parents=True)
    preferences = {"profile": {"cookie_controls_mode": 0}}
    (profile / "Default" / "Preferences").write_text(json.dumps(preferences), encoding="utf-8")
    return ["chromium", *flags.split(), f"--user-data-dir={profile}", url]


FIREFOX_PREFERENCES = {
    "marionette.port": 0,
    # A proxy for all but loopback, and no look-ups of names.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.ssl": "127.0.0.1",
    "network.dns.disabled": True,
    "app.normandy.enabled": False,
    "dom.security.https_first": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "termsofuse.bypassNotification": True,
    "toolkit.telemetry.enabled": False,
}


def firefox(profile: Path, url: str, proxy: int) -> list[str]:
    preferences = {**FIREFOX_PREFERENCES, "network.proxy.http_port": proxy, "network.proxy.ssl_port": proxy}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
    (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
    flags = "--headless --no-remote --marionette --remote-allow-system-access --profile"
    return ["firefox-esr", *flags.split(), str(profile), url]


def mini_browser() -> str:
    """The path of WebKitGTK's test browser, which Debian keeps off the PATH."""
    return next((str(path) for path in sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))), "")


def webkit(profile: Path, url: str, proxy: int) -> list[str]:
    flags = f"""
        --enable-write-console-messages-to-stdout=true --ignore-tls-errors --proxy=http://127.0.0.1:{proxy}
        --ignore-host=localhost --ignore-host=*.localhost --ignore-host=127.0.0.1
    """
    return [mini_browser(), *flags.split(), url]


CHROMIUM = Engine("Chromium", ("chromium",), chromium, workers=4)
FIREFOX = Engine("Firefox", ("firefox-esr",), firefox, workers=4)
WEBKIT = Engine("WebKit", ("Xvfb",), webkit, workers=1)
ENGINES = (CHROMIUM, FIREFOX, WEBKIT)


class Session:
    """One running browser and the servers that it talks to."""

    def __init__(self, engine: Engine, app: WSGIApplication | None = None) -> None:
        self.engine = engine
        self.origins: dict[str, str] = {}
        self.server = Server(self.origins)
        self._desk = Desk(app or self.server, lambda case_id: self.server.log.setdefault(case_id, []).append(MARK))
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            a = exits.enter_context(serving(self._desk))
            b = exits.enter_context(serving(self._desk.app))
            self.origins.update(A=f"http://127.0.0.1:{a}", B=f"http://127.0.0.1:{b}", C=f"http://localhost:{b}")
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            self._output = folder / "output"
            environment = {**clean_environment(folder), **exits.enter_context(display(self.engine))}
            profile = folder / "profile"
            profile.mkdir()
            self._proxy = exits.enter_context(proxying(a))
            exits.enter_context(self._browser(profile, environment))
            try:
                self._desk.results.get(timeout=SECONDS_TO_START)
            except queue.Empty:
                raise TimeoutError(f"{self.engine} did not open the page: {self._output.read_text()[-2000:]}") from None
            self._listen(profile, exits)
            self._exits = exits.pop_all()
        self._warm_up()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _browser(self, profile: Path, environment: dict[str, str]) -> AbstractContextManager[None]:
        return running(
            self.engine.command(profile, f"{self.origins['A']}/page", self._proxy), environment, self._output
        )

    def _listen(self, profile: Path, exits: ExitStack) -> None:
        self._console: Console = MarionetteConsole(profile) if self.engine is FIREFOX else OutputConsole(self._output)
        exits.callback(self._console.close)

    def _warm_up(self) -> None:
        # The first use of a new Firefox's preflight cache loses what is in it.
        if self.engine is FIREFOX:
            self.run([cached("warm-up", "200 [PUT]")])

    def fetch_all(self, jobs: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Let the page do all *jobs*; what came of each, by id."""
        results: dict[str, list[dict[str, Any]]] = {}
        for start in range(0, len(jobs), JOBS_IN_A_BATCH):
            results |= self._fetch_batch(jobs[start : start + JOBS_IN_A_BATCH])
        return results

    def _fetch_batch(self, jobs: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        self._desk.batches.put({"cases": list(jobs), "workers": self.engine.workers})
        deadline = time.monotonic() + SECONDS_FOR_A_BATCH
        while time.monotonic() < deadline:
            results = self._desk.results.get(timeout=SECONDS_FOR_A_BATCH)
            if results:
                return {result["id"]: result["results"] for result in results}
        raise TimeoutError(f"{self.engine} did not finish {len(jobs)} cases")

    def open_page(self, origin: str, method: str = "GET") -> None:
        """Go on with a page on *origin*, to which a form leads if the *method* is POST."""
        self._desk.batches.put({"open": f"{origin}/page", "method": method})

    def submit(self, form: dict[str, Any]) -> None:
        """Let the page send a form. What comes back must lead to a page again."""
        self._desk.batches.put({"form": form})
        self.fetch_all([{"id": "submitted", "fetches": []}])

    def said(self) -> list[str]:
        """All that the console said since the last call."""
        return self._console.read_all()

    def opened_with(self) -> str:
        """The cookies with which the last page was opened."""
        return self._desk.pages[-1]

    def run(self, cases: Sequence[Case]) -> dict[str, list[Outcome]]:
        """What the engine makes of *cases*, by id."""
        self.server.cases.update({case.id: case for case in cases})
        results = self.fetch_all([self._job(case) for case in cases])
        return {case.id: self._outcomes(case, results[case.id]) for case in cases}

    def _job(self, case: Case) -> dict[str, Any]:
        return {
            "id": case.id,
            "opaque": case.opaque,
            "marks": len(case.fetches) > 1,
            "fetches": [
                {
                    "url": url_of(case, fetch, self.origins),
                    "init": {
                        "method": fetch.method,
                        "headers": fetch.headers,
                        "credentials": fetch.credentials,
                        "redirect": fetch.redirect,
                        **({"body": fetch.body} if fetch.body is not None else {}),
                    },
                }
                for fetch in case.fetches
            ],
        }

    def _outcomes(self, case: Case, results: list[dict[str, Any]]) -> list[Outcome]:
        log = self.server.take_log(case.id)
        parts = " ".join(log).split(MARK) if len(case.fetches) > 1 else [" ".join(log)]
        return [outcome(result, tuple(part.split())) for result, part in zip(results, parts, strict=False)]

    def console(self) -> dict[str, list[str]]:
        """What the console said about CORS since the last call, in order, by the case in the URL."""
        said: dict[str, list[str]] = {}
        before = ""
        for line in self._console.read():
            # WebKit gives the reason first and the URL on the next line; the others have both on one.
            about = _WEBKIT_URL.match(line) if self.engine is WEBKIT else _URL.search(line)
            if about:
                said.setdefault(about[1], []).append(before if self.engine is WEBKIT else line)
            before = line
        return said


class InspectedSession(Session):
    """A session with the developer tools open. What it listens to is their network tab, not the console."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.network_tab = {CHROMIUM: ChromiumTab, FIREFOX: FirefoxTab, WEBKIT: WebKitTab}[engine]()

    def _browser(self, profile: Path, environment: dict[str, str]) -> AbstractContextManager[None]:
        command = [*self.engine.command(profile, f"{self.origins['A']}/page", self._proxy), *self.network_tab.flags]
        return running(command, {**environment, **self.network_tab.environment}, self._output)

    def _listen(self, profile: Path, exits: ExitStack) -> None:
        self.network_tab.open(profile)
        exits.callback(self.network_tab.close)

    def move_to(self, host: str) -> None:
        """Open the page under another name of this machine, and so with another origin. It must not be there yet."""
        port = self.origins["A"].rpartition(":")[2]
        self.origins["A"] = f"http://{host}:{port}"
        self._desk.batches.put({"page": f"{self.origins['A']}/page"})
        while self._desk.host != f"{host}:{port}":
            self._desk.results.get(timeout=SECONDS_TO_START)
        self.network_tab.follow()


_URL = re.compile("https?://[^/]+/([0-9A-Za-z_-]+)")
_WEBKIT_URL = re.compile(f"Fetch API cannot load {_URL.pattern}.* due to access control checks")


def outcome(result: dict[str, Any], requests: tuple[str, ...]) -> Outcome:
    if result["status"] is None:
        return Outcome(None, requests=requests)
    return Outcome(result["status"], result["type"], result["redirected"], watched(result["headers"]), requests)


# ---------------------------------------------------------------------------------------
# Processes
# ---------------------------------------------------------------------------------------


def clean_environment(home: Path) -> dict[str, str]:
    """Nothing of the user's profile, proxies or desktop."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**inherited, "HOME": str(home), "TMPDIR": str(home), "XDG_RUNTIME_DIR": str(home)}


@contextmanager
def running(command: list[str], environment: dict[str, str], output: Path) -> Iterator[None]:
    """*command* and its children, in a process group of their own, so that all of them can be ended."""
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def display(engine: Engine) -> Iterator[dict[str, str]]:
    """An X server where the engine cannot do without; what its environment needs for it."""
    if engine is not WEBKIT:
        yield {}
        return
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            number = process.stdout.readline().decode().strip()
            yield {
                "DISPLAY": f":{number}",
                "GDK_BACKEND": "x11",
                "NO_AT_BRIDGE": "1",
                "GTK_A11Y": "none",
                "GSETTINGS_BACKEND": "memory",
                "LIBGL_ALWAYS_SOFTWARE": "1",
            }
        finally:
            process.terminate()


# ---------------------------------------------------------------------------------------
# Consoles
# ---------------------------------------------------------------------------------------


class Console:
    def read(self) -> list[str]:
        """What is about CORS."""
        raise NotImplementedError

    def read_all(self) -> list[str]:
        raise NotImplementedError

    def close(self) -> None: ...


class OutputConsole(Console):
    """Chromium's stderr, WebKit's stdout."""

    _CHROMIUM = re.compile(r'CONSOLE:\d+\] "(.*)", source: ')
    _WEBKIT = re.compile(r"^CONSOLE \w+ \w+ (.*)")

    def __init__(self, output: Path) -> None:
        self._output = output
        self._read = 0

    def read(self) -> list[str]:
        found = (self._CHROMIUM.search(line) or self._WEBKIT.search(line) for line in self.read_all())
        return [match[1] for match in found if match]

    def read_all(self) -> list[str]:
        time.sleep(0.5)  # it is written by another process
        lines = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
        new, self._read = lines[self._read :], len(lines)
        return new


class MarionetteConsole(Console):
    """https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html"""

    _CORS = re.compile(r'Cross-Origin Request Blocked: .*(?="\])')

    def __init__(self, profile: Path) -> None:
        port = int(wait_for(profile / "MarionetteActivePort"))
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._socket.makefile("rb")
        self._receive()
        self._send("WebDriver:NewSession", {"acceptInsecureCerts": True})
        self._send("Marionette:SetContext", {"value": "chrome"})
        self._script("""
            window.heard = [];
            window.ear = {
                observe: message => window.heard.push(message.message),
                QueryInterface: ChromeUtils.generateQI(["nsIConsoleListener"]),
            };
            Services.console.registerListener(window.ear);
        """)

    def read(self) -> list[str]:
        found = (self._CORS.search(message) for message in self.read_all())
        return [match[0] for match in found if match]

    def read_all(self) -> list[str]:
        time.sleep(1)  # messages come late
        heard: list[str] = self._script("return window.heard.splice(0)")["value"]
        return heard

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def _script(self, script: str) -> Any:
        return self._send("WebDriver:ExecuteScript", {"script": script, "args": [], "sandbox": "system"})

    def _send(self, command: str, parameters: dict[str, Any]) -> Any:
        message = json.dumps([0, 1, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(error)
        return result

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._file.read(1)
        return json.loads(self._file.read(int(length[:-1])))


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text(encoding="ascii").strip()):
            return text
        time.sleep(0.1)
    raise TimeoutError(f"{path.name} did not appear")


# ---------------------------------------------------------------------------------------
# Network tabs
# ---------------------------------------------------------------------------------------


@dataclass
class Row:
    """A request as the network tab lists it."""

    method: str = ""
    url: str = ""
    headers: dict[str, str] | None = None
    """Of the response; None if the tab shows no response."""
    error: str = ""


class NetworkTab:
    """Listens to the events that the developer tools make their network tab of."""

    flags: tuple[str, ...] = ("--remote-debugging-port=0",)
    ping: tuple[str, dict[str, Any]]
    """A command that changes nothing."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self._rows: dict[str, Row] = {}
        self._numbers = itertools.count(1)
        self._unanswered: set[int] = set()

    def open(self, profile: Path) -> None:
        self._socket = websocket.create_connection(self._address(profile), SECONDS_TO_START, suppress_origin=True)
        self._start()
        self._settle()

    def follow(self) -> None:
        """Listen to the page that was opened last too. It was announced before a command now is answered."""
        self._send(*self.ping)
        self._settle()

    def close(self) -> None:
        self._socket.close()

    def rows(self, urls: Collection[str]) -> dict[str, list[Row]]:
        """The rows of each of *urls*, once it is known what came of the requests that reached the server."""
        deadline = time.monotonic() + SECONDS_FOR_A_BATCH
        while missing := set(urls) - {row.url for row in self._rows.values() if self._is_over(row)}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the network tab does not say what came of {missing}")
            self._receive()
        return {url: [row for row in self._rows.values() if row.url == url] for url in urls}

    def _address(self, profile: Path) -> str:
        raise NotImplementedError

    def _start(self) -> None:
        raise NotImplementedError

    def _hear(self, event: str, about: dict[str, Any]) -> None:
        raise NotImplementedError

    def _is_over(self, row: Row) -> bool:
        return row.headers is not None

    def _row(self, request: str) -> Row:
        """Of the request with that identifier. What is said first differs from time to time."""
        return self._rows.setdefault(request, Row())

    def _command(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        self._unanswered.add(number)
        return {"id": number, "method": method, "params": parameters}

    def _send(self, method: str, parameters: dict[str, Any], **rest: str) -> None:
        self._socket.send(json.dumps({**self._command(method, parameters), **rest}))

    def _settle(self) -> None:
        while self._unanswered:
            self._receive()

    def _receive(self) -> None:
        self._take(json.loads(self._socket.recv()))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" not in message:
            self._hear(message["method"], message["params"])
            return
        self._unanswered.remove(message["id"])
        if "error" in message:
            raise RuntimeError(message)


class ChromiumTab(NetworkTab):
    """https://chromedevtools.github.io/devtools-protocol/tot/Network/"""

    ping = ("Network.enable", {})

    def _address(self, profile: Path) -> str:
        port = int(wait_for(profile / "DevToolsActivePort").split()[0])
        targets = json.loads(download(port, "/json/list"))
        return next(str(target["webSocketDebuggerUrl"]) for target in targets if target["url"].endswith("/page"))

    def _start(self, **session: str) -> None:
        # Sandboxed frames have processes and so sessions of their own.
        frames = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True}
        self._send("Target.setAutoAttach", frames, **session)
        self._send("Network.enable", {}, **session)

    def _hear(self, event: str, about: dict[str, Any]) -> None:
        if event == "Target.attachedToTarget":
            self._start(sessionId=about["sessionId"])
        elif event == "Network.requestWillBeSent":
            row = self._row(about["requestId"])
            row.method, row.url = about["request"]["method"], about["request"]["url"]
        elif event == "Network.responseReceivedExtraInfo":  # the others leave out responses that are blocked
            self._row(about["requestId"]).headers = about["headers"]
        elif event == "Network.loadingFailed":
            self._row(about["requestId"]).error = about["errorText"]


class FirefoxTab(NetworkTab):
    """https://w3c.github.io/webdriver-bidi/#module-network"""

    ping = ("session.status", {})

    def _address(self, profile: Path) -> str:
        port = json.loads(wait_for(profile / "WebDriverBiDiServer.json"))["ws_port"]
        return f"ws://127.0.0.1:{port}/session"

    def _start(self) -> None:
        self._send("session.new", {"capabilities": {}})
        self._send("session.subscribe", {"events": ["network"]})

    def _hear(self, event: str, about: dict[str, Any]) -> None:
        row = self._row(about["request"]["request"])
        row.method, row.url = about["request"]["method"], about["request"]["url"]
        if event == "network.responseStarted":
            row.headers = {header["name"]: header["value"]["value"] for header in about["response"]["headers"]}
        elif event == "network.fetchError":
            row.error = about["errorText"]


class WebKitTab(NetworkTab):
    """https://github.com/WebKit/WebKit/blob/main/Source/JavaScriptCore/inspector/protocol/Network.json"""

    flags = ("--enable-developer-extras=true",)
    ping = ("Target.setPauseOnStart", {"pauseOnStart": False})

    def __init__(self) -> None:
        super().__init__()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.environment = {"WEBKIT_INSPECTOR_HTTP_SERVER": f"127.0.0.1:{self._port}"}

    def _address(self, profile: Path) -> str:
        found = re.search("/socket/[0-9]+/[0-9]+/WebPage", download(self._port, "/"))
        assert found, "MiniBrowser lists no page"
        return f"ws://127.0.0.1:{self._port}{found[0]}"

    def _start(self) -> None:
        while not self._unanswered:  # the page is announced
            self._receive()

    def _hear(self, event: str, about: dict[str, Any]) -> None:
        if event == "Target.targetCreated":
            message = json.dumps(self._command("Network.enable", {}))
            target = about["targetInfo"]["targetId"]
            self._send("Target.sendMessageToTarget", {"targetId": target, "message": message})
        elif event == "Target.dispatchMessageFromTarget":
            self._take(json.loads(about["message"]))
        elif event == "Network.requestWillBeSent":
            # Each target counts from the start.
            self._rows[about["requestId"]] = Row(about["request"]["method"], about["request"]["url"])
        elif event == "Network.responseReceived":
            self._row(about["requestId"]).headers = about["response"]["headers"]
        elif event == "Network.loadingFailed":
            self._row(about["requestId"]).error = about["errorText"]

    def _is_over(self, row: Row) -> bool:
        return row.headers is not None or row.error != ""


def download(port: int, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS_TO_START)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
