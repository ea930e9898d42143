#!/usr/bin/env python3
"""A scripted S3 in the standard library: ranges, ETags, If-Match, SigV4 - and faults on demand.

    fake_s3.py [--port 0] [--root DIR] [--access-key K --secret-key S [--region R] [--token T]]
               [--latency-ms N] [--clock-skew S] [--until-eof]

prints "listening PORT" and serves on 127.0.0.1 until SIGTERM (--until-eof: or until standard input ends).
Objects are the files below --root (/bucket/key is DIR/bucket/key) and what was PUT, which stays in memory.
With keys every request but the control ones must be signed; without, anything goes.

Control, never signed:
    PUT  /_fake/put/BUCKET/KEY        stores the body; a new ETag each time the bytes differ
    POST /_fake/faults/BUCKET/KEY     JSON list of faults; they apply in order, each `times` GETs long
    GET  /_fake/log                   JSON: one entry per GET: path, range, status, bytes, port of the client
    POST /_fake/reset                 forgets faults and log, keeps objects

A fault: {"kind": KIND, "times": 1, ...}; times -1 is for ever.
    pass                              answers well: the way to fault the second GET
    status         status, headers, body      an error document of your own
    ignore_range                      200 and the whole object
    short          bytes              the head promises all, the body ends early, the connection closes
    extra          bytes              the body and the Content-Length are longer than the range
    chunked_extra  bytes              the same without a Content-Length
    chunked_short  bytes              only so many, without a Content-Length
    content_range  value              that Content-Range; "" sends none
    etag           value              that ETag; "" sends none
    header         name, value        one more header
    gather         count              waits until so many GETs, of any path, wait together; drops what waits 5 s
    stall          seconds            silence before the first byte, then a good answer
    trickle        rate               a good head, then `rate` bytes a second
    reset                             the connection is reset before the answer
    drop                              the connection is closed before the answer
    close_after                       a good answer, then the connection closes without a word
    html                              200, an HTML page
    redirect       location           302
"""
import argparse
import datetime
import email.utils
import hashlib
import json
import os
import pathlib
import signal
import socket
import struct
import sys
import threading
import time
import urllib.parse

import s3

REASONS = {200: "OK", 206: "Partial Content", 302: "Found", 304: "Not Modified", 403: "Forbidden", 404: "Not Found",
           412: "Precondition Failed", 416: "Range Not Satisfiable", 503: "Service Unavailable"}


class Object:
    def __init__(self, data):
        self.data = data
        self.etag = '"' + hashlib.md5(data, usedforsecurity=False).hexdigest() + '"'


class Drop(Exception):
    """Ends the connection."""


class World:
    """Everything the connections share."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.objects, self.faults, self.log, self.files = {}, {}, [], {}
        self.gathered, self.crowd = 0, threading.Condition(self.lock)

    def find(self, path):
        with self.lock:
            if path in self.objects:
                return self.objects[path]
        return self.find_file(path) if self.options.root else None

    def find_file(self, path):
        """Files are read once and kept while they do not change."""
        name = pathlib.Path(self.options.root, path.lstrip("/"))
        if ".." in name.parts or not name.is_file():
            return None
        stat = name.stat()
        version = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        kept = self.files.get(path)
        if not kept or kept[0] != version:
            kept = self.files[path] = (version, Object(name.read_bytes()))
        return kept[1]

    def next_fault(self, path):
        with self.lock:
            faults = self.faults.get(path, [])
            while faults and faults[0].get("times", 1) == 0:
                faults.pop(0)
            if not faults:
                return {"kind": "pass"}
            fault = faults[0]
            if fault.setdefault("times", 1) > 0:
                fault["times"] -= 1
            return fault

    def note(self, entry):
        with self.lock:
            self.log.append(entry)


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.headers, self.body = method, headers, body
        self.raw_path, _, self.query = target.partition("?")
        self.path = urllib.parse.unquote(self.raw_path)


def read_request(stream):
    """One request, or None at the end of the connection."""
    line = stream.readline(65536)
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = {}
    while (line := stream.readline(65536)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


def s3_error(code, message):
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
            f"<Message>{message}</Message></Error>").encode()


def parse_range(text, size):
    """(first, last) inside the object; None for no usable range; "bad" when it starts past the end."""
    if not text or not text.startswith("bytes=") or "," in text:
        return None
    first, _, last = text[6:].partition("-")
    if not first.isdigit() or not (last.isdigit() or not last):
        return None
    if int(first) >= size:
        return "bad"
    return int(first), min(int(last) if last else size - 1, size - 1)


class Connection:
    def __init__(self, world, sock):
        self.world, self.sock = world, sock
        self.stream = sock.makefile("rb")
        self.port = sock.getpeername()[1]
        self.request = None

    def serve(self):
        try:
            while request := read_request(self.stream):
                self.handle(request)
        except (Drop, OSError, ValueError):
            pass
        finally:
            self.stream.close()
            self.sock.close()

    def send(self, status, headers, body=b""):
        """Notes a GET first, so that who has the answer finds it in the log."""
        self.note(status, len(body) if status < 300 else 0)
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join(lines + ["", ""]).encode("latin-1") + body)

    def note(self, status, size):
        request = self.request
        if request.method == "GET" and not request.path.startswith("/_fake/"):
            self.world.note({"path": request.path, "range": request.headers.get("range", ""), "status": status,
                             "bytes": size, "port": self.port, "if_match": request.headers.get("if-match", "")})

    def answer(self, status, body=b"", content_type="application/xml", headers=None):
        date = email.utils.formatdate(time.time() + self.world.options.clock_skew, usegmt=True)
        self.send(status, {"Date": date, "Content-Type": content_type, "Content-Length": str(len(body)),
                           **(headers or {})}, body)

    def handle(self, request):
        self.request = request
        if request.path.startswith("/_fake/"):
            self.control(request)
            return
        refusal = self.check_signature(request)
        if refusal:
            self.answer(403, s3_error(refusal, "refused"))
        elif request.method == "PUT":
            self.put(request, request.path)
        elif request.method == "GET":
            self.get(request)
        else:
            self.answer(405, s3_error("MethodNotAllowed", request.method))

    def put(self, request, path):
        thing = Object(request.body)
        with self.world.lock:
            self.world.objects[path] = thing
        self.answer(200, headers={"ETag": thing.etag})

    def control(self, request):
        what, _, rest = request.path[len("/_fake/"):].partition("/")
        world = self.world
        if what == "put":
            self.put(request, "/" + rest)
            return
        with world.lock:
            body = json.dumps(world.log).encode() if what == "log" else b""
            if what == "faults":
                world.faults["/" + rest] = json.loads(request.body)
            elif what == "reset":
                world.faults.clear()
                world.log.clear()
                world.gathered = 0
        self.answer(200, body, "application/json")

    def check_signature(self, request):
        """The S3 code of a refusal, or None."""
        options = self.world.options
        if not options.access_key:
            return None
        text = request.headers.get("authorization", "")
        if not text.startswith(s3.ALGORITHM + " "):
            return "AccessDenied"
        fields = dict(field.strip().split("=", 1) for field in text[len(s3.ALGORITHM):].split(","))
        access_key, _, scope = fields["Credential"].partition("/")
        stamp, payload = request.headers.get("x-amz-date", ""), request.headers.get("x-amz-content-sha256")
        signed = fields["SignedHeaders"].split(";")
        if access_key != options.access_key:
            return "InvalidAccessKeyId"
        if scope != f"{stamp[:8]}/{options.region}/s3/aws4_request":
            return "AuthorizationHeaderMalformed"
        if request.headers.get("x-amz-security-token", "") != options.token:
            return "InvalidToken"
        if not payload or not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed):
            return "AccessDenied"
        if any(name.startswith("x-amz-") and name not in signed for name in request.headers):
            return "AccessDenied"
        path = s3.encode_path(request.path)
        canonical = s3.canonical_request(request.method, path, request.query, request.headers, signed, payload)
        wanted = s3.signature(options.secret_key, scope, stamp, canonical)
        if path != request.raw_path or wanted != fields["Signature"]:
            return "SignatureDoesNotMatch"
        when = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        return "RequestTimeTooSkewed" if abs(time.time() + options.clock_skew - when) > 900 else None

    def get(self, request):
        fault = self.world.next_fault(request.path)
        if self.world.options.latency_ms:
            time.sleep(self.world.options.latency_ms / 1000)
        getattr(self, "fault_" + fault["kind"])(request, fault)

    def plan(self, request, changed=None):
        """(status, headers, body) of a well-behaved answer; `changed` overrides headers, None removes."""
        thing = self.world.find(request.path)
        if not thing:
            return 404, {"Content-Type": "application/xml"}, s3_error("NoSuchKey", "The key does not exist.")
        headers = {"ETag": thing.etag, "Accept-Ranges": "bytes", "Content-Type": "image/tiff", **(changed or {})}
        headers = {name: value for name, value in headers.items() if value != ""}
        wanted, none_of = request.headers.get("if-match"), request.headers.get("if-none-match")
        if wanted and wanted != thing.etag:
            return 412, {"Content-Type": "application/xml"}, s3_error("PreconditionFailed", "changed")
        if none_of and none_of == thing.etag:
            return 304, headers, b""
        span = parse_range(request.headers.get("range"), len(thing.data))
        if span is None:
            return 200, headers, thing.data
        if span == "bad":
            return 416, {"Content-Range": f"bytes */{len(thing.data)}"}, s3_error("InvalidRange", "past the end")
        headers.setdefault("Content-Range", f"bytes {span[0]}-{span[1]}/{len(thing.data)}")
        return 206, headers, thing.data[span[0]:span[1] + 1]

    def well(self, request, changed=None):
        status, headers, body = self.plan(request, changed)
        if status != 304:
            headers["Content-Length"] = str(len(body))
        self.send(status, headers, body)

    def fault_pass(self, request, _):
        self.well(request)

    def fault_status(self, _, fault):
        status = fault["status"]
        body = fault.get("body", "").encode() or s3_error("SlowDown" if status == 503 else "InternalError", "scripted")
        self.answer(status, body, headers=fault.get("headers"))

    def fault_ignore_range(self, request, _):
        request.headers.pop("range", None)
        self.well(request)

    def fault_short(self, request, fault):
        status, headers, body = self.plan(request)
        self.send(status, {**headers, "Content-Length": str(len(body))}, body[:fault["bytes"]])
        raise Drop

    def fault_extra(self, request, fault):
        status, headers, body = self.plan(request)
        body += b"x" * fault["bytes"]
        self.send(status, {**headers, "Content-Length": str(len(body))}, body)

    def send_chunked(self, status, headers, body):
        self.send(status, {**headers, "Transfer-Encoding": "chunked"}, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def fault_chunked_extra(self, request, fault):
        status, headers, body = self.plan(request)
        self.send_chunked(status, headers, body + b"x" * fault["bytes"])

    def fault_chunked_short(self, request, fault):
        status, headers, body = self.plan(request)
        self.send_chunked(status, headers, body[:fault["bytes"]])

    def fault_content_range(self, request, fault):
        status, headers, body = self.plan(request)
        headers["Content-Range"] = fault["value"]
        if not fault["value"]:
            del headers["Content-Range"]
        self.send(status, {**headers, "Content-Length": str(len(body))}, body)

    def fault_etag(self, request, fault):
        self.well(request, {"ETag": fault["value"]})

    def fault_header(self, request, fault):
        self.well(request, {fault["name"]: fault["value"]})

    def fault_gather(self, request, fault):
        """Passes only when the GETs are on their way together."""
        world = self.world
        with world.crowd:
            world.gathered += 1
            world.crowd.notify_all()
            if not world.crowd.wait_for(lambda: world.gathered >= fault["count"], 5):
                world.gathered -= 1
                raise Drop
        self.well(request)

    def fault_stall(self, request, fault):
        time.sleep(fault["seconds"])
        self.well(request)

    def fault_trickle(self, request, fault):
        status, headers, body = self.plan(request)
        self.send(status, {**headers, "Content-Length": str(len(body))})
        for at in range(len(body)):
            self.sock.sendall(body[at:at + 1])
            time.sleep(1 / fault["rate"])

    def fault_reset(self, _, __):
        self.note(0, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Drop

    def fault_drop(self, _, __):
        self.note(0, 0)
        raise Drop

    def fault_close_after(self, request, _):
        self.well(request)
        raise Drop

    def fault_html(self, _, __):
        self.answer(200, b"<html><body>Please log in</body></html>", "text/html; charset=utf-8")

    def fault_redirect(self, _, fault):
        self.answer(302, headers={"Location": fault["location"]})


def accept_for_ever(world, listener):
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Connection(world, sock).serve, daemon=True).start()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--root", default="")
    parser.add_argument("--access-key", default="")
    parser.add_argument("--secret-key", default="")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--token", default="")
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--clock-skew", type=float, default=0)
    parser.add_argument("--until-eof", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.create_server(("127.0.0.1", options.port), backlog=256)
    print("listening", listener.getsockname()[1], flush=True)
    world = World(options)
    if not options.until_eof:
        accept_for_ever(world, listener)
    threading.Thread(target=accept_for_ever, args=(world, listener), daemon=True).start()
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
