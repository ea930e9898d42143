"""S3 for tests, in the standard library alone: SigV4, bucket and object calls, a MinIO to talk to.

As a module (end-to-end tests):

    with s3.minio() as store:                  # None when there is no MinIO: skip
        store.create_bucket("demo")
        store.put("demo", "a.tif", data)
        ... store.endpoint, store.access_key, store.secret_key, store.region

As a program (tests in C), until its standard input ends:

    python3 s3.py minio BUCKET KEY=FILE...     prints "ready PORT ACCESS SECRET", or "none"

MinIO is looked for in $TILTH_MINIO, on PATH and in ~/.cache/tilth/bin/minio.
"""
import contextlib
import datetime
import hashlib
import hmac
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

ALGORITHM = "AWS4-HMAC-SHA256"


def encode_path(key):
    """RFC 3986: what S3 signs and expects in the request line."""
    return urllib.parse.quote(key, safe="/-._~")


def canonical_query(query):
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    quoted = [(urllib.parse.quote(k, safe="-._~"), urllib.parse.quote(v, safe="-._~")) for k, v in pairs]
    return "&".join(f"{k}={v}" for k, v in sorted(quoted))


def signature(secret_key, scope, stamp, canonical_request):
    """Hex signature; `scope` is "day/region/service/aws4_request"."""
    key = ("AWS4" + secret_key).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    text = "\n".join((ALGORITHM, stamp, scope, digest))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def canonical_request(method, path, query, headers, signed, payload_hash):
    """`headers` by lower-case name; `signed` the names in order; `path` encoded."""
    lines = [method, path, canonical_query(query)]
    lines += [f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed]
    return "\n".join(lines + ["", ";".join(signed), payload_hash])


def sign(method, host, path, query="", body=b"", *, access_key, secret_key, region="us-east-1", token=""):
    """The headers of a signed request."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    payload_hash = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": payload_hash, "x-amz-date": stamp}
    if token:
        headers["x-amz-security-token"] = token
    signed = sorted(headers)
    request = canonical_request(method, path, query, headers, signed, payload_hash)
    headers["authorization"] = (
        f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={';'.join(signed)}, "
        f"Signature={signature(secret_key, scope, stamp, request)}")
    return headers


class Failure(Exception):
    def __init__(self, status, body):
        super().__init__(f"HTTP {status}: {body[:300]!r}")
        self.status = status


class Store:
    """One S3 service, path style."""

    def __init__(self, endpoint, access_key="", secret_key="", region="us-east-1"):
        self.endpoint, self.access_key, self.secret_key, self.region = endpoint, access_key, secret_key, region
        self.host = urllib.parse.urlsplit(endpoint).netloc

    def call(self, method, path, body=b"", headers=None, query=""):
        """Returns (status, headers, body); `path` is not encoded yet."""
        path = encode_path(path)
        extra = dict(headers or {})
        if self.access_key:
            extra.update(sign(method, self.host, path, query, body, access_key=self.access_key,
                              secret_key=self.secret_key, region=self.region))
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path + ("?" + query if query else ""), body or None, extra)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def expect(self, *args, **kwargs):
        status, headers, body = self.call(*args, **kwargs)
        if status >= 300:
            raise Failure(status, body)
        return headers, body

    def create_bucket(self, bucket):
        self.expect("PUT", f"/{bucket}")

    def put(self, bucket, key, body, content_type="application/octet-stream"):
        """Returns the ETag, with its quotes."""
        return self.expect("PUT", f"/{bucket}/{key}", body, {"content-type": content_type})[0]["ETag"]

    def get(self, bucket, key):
        return self.expect("GET", f"/{bucket}/{key}")[1]

    def delete(self, bucket, key):
        self.expect("DELETE", f"/{bucket}/{key}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_minio():
    """Path of a MinIO server, or None."""
    installed = pathlib.Path.home() / ".cache/tilth/bin/minio"
    for path in (os.environ.get("TILTH_MINIO"), shutil.which("minio"), str(installed)):
        if path and os.access(path, os.X_OK):
            return path
    return None


def _wait_until_ready(process, store):
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"minio ended with status {process.returncode}")
        # Signed: the health address answers before the store does.
        with contextlib.suppress(OSError, http.client.HTTPException):
            if store.call("GET", "/")[0] == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("minio was not ready within 30 s")


@contextlib.contextmanager
def minio():
    """A MinIO with an empty data folder on free loopback ports, gone afterwards; None without one."""
    binary = find_minio()
    if not binary:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tilth-minio-") as folder:
        port, console = free_port(), free_port()
        store = Store(f"http://127.0.0.1:{port}", "tilthadmin", "tilthsecret")
        environment = dict(os.environ, MINIO_ROOT_USER=store.access_key, MINIO_ROOT_PASSWORD=store.secret_key,
                           MINIO_UPDATE="off", MINIO_BROWSER="off", HOME=folder)
        process = subprocess.Popen(
            [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}", "--console-address",
             f"127.0.0.1:{console}", os.path.join(folder, "data")],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_until_ready(process, store)
            yield store
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main(arguments):
    if len(arguments) < 2 or arguments[0] != "minio":
        sys.exit(__doc__)
    with minio() as store:
        if store is None:
            print("none", flush=True)
            return
        store.create_bucket(arguments[1])
        for pair in arguments[2:]:
            key, _, path = pair.partition("=")
            store.put(arguments[1], key, pathlib.Path(path).read_bytes())
        print("ready", urllib.parse.urlsplit(store.endpoint).port, store.access_key, store.secret_key, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main(sys.argv[1:])
