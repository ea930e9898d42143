"""Starts tilth and its peers on loopback, and says what they cost."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

# What TiTiler's performance tuning guide recommends, as environment variables (GDAL_CACHEMAX set
# in code is taken as bytes).
TITILER_ENV = {
    "GDAL_CACHEMAX": "200",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2",
    "GDAL_BAND_BLOCK_CACHE": "HASHSET",
    "CPL_VSIL_CURL_CACHE_SIZE": "200000000",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "5000000",
    "OTEL_SDK_DISABLED": "true",
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_up(url, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2).read()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{url} did not come up in {seconds} s")


def children(pid):
    """The process and all that it started."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += children(int(child))
    return found


class Server:
    """One running server: its base URL, its processes, their CPU time and memory."""

    def __init__(self, argv, port, health, env=None, cpus=None, log=None):
        if cpus is not None:
            argv = ["taskset", "-c", cpus] + argv
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.log = open(log or os.devnull, "wb")
        self.process = subprocess.Popen(argv, env={**os.environ, **(env or {})}, cwd=ROOT,
                                        stdout=self.log, stderr=subprocess.STDOUT)
        wait_until_up(self.url + health, self.process)

    def cpu_seconds(self):
        total = 0
        for pid in children(self.process.pid):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def resident_bytes(self):
        total = 0
        for pid in children(self.process.pid):
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        return total

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=120) as reply:
            return reply.read()

    def stop(self):
        pids = children(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def tilth(binary, layers, work, cpus=None, env=None, **settings):
    port = free_port()
    argv = [str(binary), "serve", "--listen", f"127.0.0.1:{port}", "--layers-dir", str(layers),
            "--styles-dir", str(ROOT / "styles"), "--cache-dir", str(work / "cache"),
            "--access-log", str(work / "access.log")]
    for key, value in settings.items():
        argv += ["--" + key.replace("_", "-"), str(value)]
    return Server(argv, port, "/readyz", env=env, cpus=cpus, log=work / "tilth.log")


def titiler(work, workers=2, cpus=None, env=None):
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "titiler.application.main:app", "--host", "127.0.0.1",
            "--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "error"]
    return Server(argv, port, "/healthz", env={**TITILER_ENV, **(env or {})}, cpus=cpus,
                  log=work / "titiler.log")


def nginx(folder, work, cpus=None):
    """nginx's best configuration for small static files: no log, open file cache, sendfile off."""
    port = free_port()
    conf = work / "nginx.conf"
    conf.write_text(f"""
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.err;
events {{ worker_connections 4096; multi_accept on; }}
http {{
  access_log off; sendfile off; tcp_nopush off; keepalive_requests 1000000;
  client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f;
  uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
  open_file_cache max=10000 inactive=600s; open_file_cache_valid 600s;
  types {{ image/png png; }}
  server {{ listen 127.0.0.1:{port}; root {folder}; location = /up {{ return 200; }} }}
}}
""")
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    return Server([binary, "-c", str(conf), "-p", str(work)], port, "/up", cpus=cpus)


@contextlib.contextmanager
def work_folder():
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as name:
        yield pathlib.Path(name)
