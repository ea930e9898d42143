"""What the end-to-end tests share: a tilth on a free port, an object server with faults, a
raster to serve, and HTTP without a library between the test and the wire. MinIO: tests/support/s3.py.

Only the standard library; Pillow for looking into tiles. TILTH names the program under test.
Everything listens on loopback and is stopped by its process id.
"""
import contextlib
import hashlib
import http.client
import http.server
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
PATIENCE = 30  # seconds before a test gives up on something that should happen at once


def wait_until(condition, what, patience=PATIENCE):
    """Polls until `condition()` is true; fails the test with `what` when it never is."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.02)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# HTTP

class Reply:
    """Status, headers (lower case names) and body of one answer."""

    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers}

    def json(self):
        return json.loads(self.body)

    def image(self):
        return decode_image(self.body)


def decode_image(body):
    try:
        import PIL.Image
    except ImportError:
        raise unittest.SkipTest("Pillow (python3-pil) is not installed")
    image = PIL.Image.open(io.BytesIO(body))
    image.load()
    return image


def request(base, path, method="GET", headers=None, body=None, timeout=PATIENCE):
    """One request on a connection of its own. `path` goes out as it is."""
    host = urllib.parse.urlsplit(base).netloc
    connection = http.client.HTTPConnection(host, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Reply(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


class Wire:
    """A raw connection: what is sent is what the test wrote."""

    def __init__(self, base, timeout=PATIENCE):
        url = urllib.parse.urlsplit(base)
        self.sock = socket.create_connection((url.hostname, url.port), timeout=timeout)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def _fill(self):
        piece = self.sock.recv(65536)
        self.pending += piece
        return bool(piece)

    def reply(self, head=False):
        """The next answer on the connection, or None at its end. `head`: it has no body."""
        while b"\r\n\r\n" not in self.pending:
            if not self._fill():
                return None
        text, self.pending = self.pending.split(b"\r\n\r\n", 1)
        lines = text.decode("latin-1").split("\r\n")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        status = int(lines[0].split()[1])
        length = int(dict((n.lower(), v) for n, v in headers).get("content-length", 0))
        if head or status in (204, 304):
            length = 0
        while len(self.pending) < length and self._fill():
            pass
        body, self.pending = self.pending[:length], self.pending[length:]
        return Reply(status, headers, body)

    def is_closed(self):
        """Waits for the other end to close. Bytes before that are dropped."""
        try:
            while self._fill():
                pass
        except ConnectionError:
            pass
        except socket.timeout:
            return False
        return True


# A raster

def write_geotiff(path, width, height, value_at, west, north, pixel, epsg=4326, block=256):
    """A tiled GeoTIFF of one byte per pixel, deflated; `value_at(col, row)` -> 0..255.

    Large values compress little, so that the file is larger than what is fetched at once.
    """
    across, down = -(-width // block), -(-height // block)
    blocks = []
    for tile_row in range(down):
        for tile_col in range(across):
            rows = (bytes(value_at(min(tile_col * block + c, width - 1),
                                   min(tile_row * block + r, height - 1))
                          for c in range(block)) for r in range(block))
            blocks.append(zlib.compress(b"".join(rows), 1))
    geographic = epsg == 4326
    keys = [1, 1, 0, 3, 1024, 0, 1, 2 if geographic else 1, 1025, 0, 1, 1,
            2048 if geographic else 3072, 0, 1, epsg]
    longs = lambda values: struct.pack(f"<{len(values)}I", *values)
    doubles = lambda values: struct.pack(f"<{len(values)}d", *values)
    shorts = lambda values: struct.pack(f"<{len(values)}H", *values)
    tags = [(256, 4, 1, longs([width])), (257, 4, 1, longs([height])), (258, 3, 1, shorts([8])),
            (259, 3, 1, shorts([8])), (262, 3, 1, shorts([1])), (277, 3, 1, shorts([1])),
            (322, 3, 1, shorts([block])), (323, 3, 1, shorts([block])),
            (324, 4, len(blocks), None), (325, 4, len(blocks), longs([len(b) for b in blocks])),
            (339, 3, 1, shorts([1])), (33550, 12, 3, doubles([pixel, pixel, 0])),
            (33922, 12, 6, doubles([0, 0, 0, west, north, 0])),
            (34735, 3, len(keys), shorts(keys))]
    at = 8 + 2 + 12 * len(tags) + 4
    sizes = {tag: 4 * len(blocks) if data is None else len(data) for tag, _, _, data in tags}
    extra_at = {}
    for tag, _, _, _ in tags:
        if sizes[tag] > 4:
            extra_at[tag] = at
            at += sizes[tag] + sizes[tag] % 2
    offsets = []
    for data in blocks:
        offsets.append(at)
        at += len(data)
    with open(path, "wb") as file:
        file.write(b"II*\0" + longs([8]) + shorts([len(tags)]))
        payload = {tag: longs(offsets) if data is None else data for tag, _, _, data in tags}
        for tag, kind, count, _ in tags:
            data = payload[tag]
            value = longs([extra_at[tag]]) if tag in extra_at else data.ljust(4, b"\0")
            file.write(struct.pack("<HHI", tag, kind, count) + value)
        file.write(longs([0]))
        for tag, _, _, _ in tags:
            if tag in extra_at:
                file.write(payload[tag] + b"\0" * (sizes[tag] % 2))
        for data in blocks:
            file.write(data)


LAND = {"width": 1024, "height": 1024, "west": 30.0, "north": -17.0, "pixel": 1 / 1024}


def land_value(col, row):
    """Classes 10 to 100 in fields of 8 x 8 pixels that no pattern repeats."""
    seed = (col // 8 * 73856093) ^ (row // 8 * 19349663)
    return (seed >> 5) % 10 * 10 + 10


def write_land(path):
    """One degree of made-up land cover east of 30 and south of -17, values of ESA WorldCover."""
    write_geotiff(path, LAND["width"], LAND["height"], land_value, LAND["west"], LAND["north"],
                  LAND["pixel"])


def land_layer(href, layer_id="land", **more):
    return {"id": layer_id, "title": "Made-up land", "kind": "raster", "role": "baseline",
            "classes": True, "source": {"href": str(href), "bands": {"map": 1}},
            "styles": ["esa-worldcover"], **more}


# tilth

def program():
    path = os.environ.get("TILTH")
    if not path:
        raise unittest.SkipTest("TILTH does not name the program to test")
    return path


class Tilth:
    """`tilth serve` in a folder of its own. Settings are keys of the configuration file.

    with Tilth([land_layer(path)], workers=1) as tilth: tilth.get("/layers")
    """

    def __init__(self, layers=(), folder=None, environment=None, before_start=None, program=None, **settings):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="tilth-e2e-"))
        self.own_folder = folder is None
        self.environment = environment or {}
        self.before_start = before_start
        self.program = program
        (self.folder / "layers").mkdir(exist_ok=True)
        for layer in layers:
            (self.folder / "layers" / f"{layer['id']}.json").write_text(json.dumps(layer))
        values = {"listen": "127.0.0.1:0", "layers_dir": self.folder / "layers",
                  "styles_dir": ROOT / "styles", "cache_dir": self.folder / "cache",
                  "cache_size": "64 MiB", "access_log": self.folder / "access.log",
                  "block_pool": "32 MiB", "cache_ram": "16 MiB", **settings}
        (self.folder / "tilth.conf").write_text(
            "".join(f"{key} = {value}\n" for key, value in values.items()))
        self.process, self.base, self.errors = None, None, []

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("TILTH_", "AWS_"))}
        environment.update(self.environment)
        self.process = subprocess.Popen(
            [str(self.program or program()), "serve", "--config", str(self.folder / "tilth.conf")],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
            preexec_fn=self.before_start)
        for line in self.process.stderr:
            self.errors.append(line)
            found = re.search(r"serving \d+ layers at (http://\S+?)/?$", line)
            if found:
                self.base = found[1]
                break
        else:
            raise AssertionError("tilth did not start: " + "".join(self.errors))
        # Nobody else reads the pipe; a full one must not stop the program.
        self.reader = threading.Thread(target=lambda: self.errors.extend(self.process.stderr),
                                       daemon=True)
        self.reader.start()
        return self

    def stop(self, how=signal.SIGTERM, patience=60):
        """Ends it and returns its exit status; a test fails when it does not end."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("tilth did not end: " + "".join(self.errors))
        finally:
            self.reader.join(PATIENCE)
            self.process.stderr.close()
            self.process = None
        return status

    def get(self, path, **more):
        return request(self.base, path, **more)

    def wire(self, **more):
        return Wire(self.base, **more)

    def metric(self, name):
        """The value of a metric, 0 where it has none; give the labels as Prometheus prints them."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def troubles(self):
        """What was told on standard error, as objects; it arrives a moment after it happened."""
        return [json.loads(line) for line in list(self.errors) if line.startswith("{")]

    def access_log(self):
        """Lines of the access log, as objects; they arrive a moment after their answers."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]


# An object server with faults

class ObjectServer:
    """Serves bytes by path with ranges and ETags, counts, and misbehaves on request.

    `fault(path, first, last)` may return None (serve), a status, or a callable that gets the
    handler. hold() makes every request wait until release().
    """

    def __init__(self, objects=None):
        self.objects = dict(objects or {})
        self.fault = None
        self.requests = []  # (path, first byte, last byte)
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = 0
        self.lock = threading.Lock()

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                with contextlib.suppress(ConnectionError):
                    outer._serve(self)

            do_HEAD = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def hold(self):
        self.gate.clear()

    def release(self):
        self.gate.set()

    def _serve(self, handler):
        path = urllib.parse.unquote(handler.path.split("?")[0])
        data = self.objects.get(path)
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
        first, last = (int(found[1]), int(found[2])) if found else (0, len(data or b"") - 1)
        with self.lock:
            self.requests.append((path, first, last))
            self.waiting += 1
        self.gate.wait(PATIENCE)
        with self.lock:
            self.waiting -= 1
        wish = self.fault(path, first, last) if self.fault else None
        if callable(wish):
            wish(handler)
        elif wish or data is None or first >= len(data):
            self._answer(handler, wish or (404 if data is None else 416), b"", {})
        else:
            last = min(last, len(data) - 1)
            tag = '"' + hashlib.md5(data).hexdigest() + '"'
            if handler.headers.get("If-Match", tag) != tag:
                self._answer(handler, 412, b"", {"ETag": tag})
            elif found:
                self._answer(handler, 206, data[first:last + 1], {
                    "ETag": tag, "Content-Range": f"bytes {first}-{last}/{len(data)}"})
            else:
                self._answer(handler, 200, data, {"ETag": tag})

    @staticmethod
    def _answer(handler, status, body, headers):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
