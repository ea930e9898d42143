"""HTTP/1.1 as it goes over the wire: framing, limits, clients that misbehave, connections.

The classes that start no tilth of their own also run against TILTH_URL=http://host:port.
"""
import os
import resource
import signal
import socket
import tempfile
import time
import unittest

from support import ObjectServer, Tilth, Wire, land_layer, request, wait_until, write_land

GET = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
EVIL = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n"


class OneServer(unittest.TestCase):
    """One tilth without layers for a class of tests."""
    settings = {"idle_timeout": "5 s"}

    @classmethod
    def setUpClass(cls):
        cls.base = os.environ.get("TILTH_URL")
        if not cls.base:
            cls.tilth = Tilth(**cls.settings)
            cls.addClassCleanup(cls.tilth.__exit__, None, None, None)
            cls.base = cls.tilth.start().base

    def wire(self):
        wire = Wire(self.base)
        self.addCleanup(wire.sock.close)
        return wire


class Framing(OneServer):
    def test_pipelined_requests_are_answered_in_order(self):
        wire = self.wire()
        wire.send(GET + EVIL + GET.replace("GET", "HEAD") + EVIL + GET)
        answers = [wire.reply(), wire.reply(), wire.reply(head=True), wire.reply(), wire.reply()]
        self.assertEqual([a.status for a in answers], [200, 404, 200, 404, 200])
        self.assertEqual(answers[2].headers["content-length"], str(len(answers[0].body)))

    def test_a_thousand_pipelined_requests_get_a_thousand_answers(self):
        wire = self.wire()
        wire.send(GET * 1000)
        self.assertEqual({wire.reply().status for _ in range(1000)}, {200})

    def test_a_request_cut_in_pieces_is_one_request(self):
        wire = self.wire()
        for byte in GET:
            wire.send(byte)
        self.assertEqual(wire.reply().status, 200)

    def test_http_1_0_closes_unless_asked_to_stay(self):
        wire = self.wire()
        wire.send("GET /healthz HTTP/1.0\r\n\r\n")
        self.assertEqual(wire.reply().status, 200)
        self.assertTrue(wire.is_closed())

    def test_no_body_ever_becomes_a_second_request(self):
        bodies = {
            "content-length": "Content-Length: %d\r\n\r\n" % len(EVIL) + EVIL,
            "chunked": "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(EVIL), EVIL),
            "CL then TE": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL,
            "TE then CL": "Transfer-Encoding: chunked\r\nContent-Length: 90\r\n\r\n0\r\n\r\n" + EVIL,
            "two lengths": "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + EVIL,
            "two lengths, longer first": "Content-Length: 44\r\nContent-Length: 0\r\n\r\n" + EVIL,
            "length of nothing": "Content-Length: 0\r\n\r\n" + EVIL,
            "unknown coding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + EVIL,
            "gzip, chunked": "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + EVIL,
            "signed length": "Content-Length: +44\r\n\r\n" + EVIL,
            "negative length": "Content-Length: -1\r\n\r\n" + EVIL,
            "folded": "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + EVIL,
            "space before the colon": "Content-Length : 44\r\n\r\n" + EVIL,
            "bare line feeds": "Content-Length: 44\n\n" + EVIL,
        }
        for name, body in bodies.items():
            for method in ("POST", "GET", "PUT"):
                with self.subTest(name, method=method):
                    wire = self.wire()
                    wire.send(f"{method} /healthz HTTP/1.1\r\nHost: h\r\n{body}")
                    answer = wire.reply()
                    self.assertIsNone(wire.reply(), "the body was read as a request")
                    if answer:
                        self.assertIn(answer.status, (200, 400, 405, 413))
                        self.assertEqual(answer.headers.get("connection"), "close")

    def test_a_get_with_a_body_is_refused(self):
        wire = self.wire()
        wire.send("GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
        answer = wire.reply()
        self.assertEqual(answer.status, 400)
        self.assertIn("no body", answer.json()["detail"])
        self.assertTrue(wire.is_closed())

    def test_bad_heads_are_refused_or_closed(self):
        for head in ("GET /healthz HTTP/1.1\r\nHost : h\r\n\r\n",
                     "GET /healthz HTTP/1.1\r\nHo\0st: h\r\n\r\n",
                     "GET /healthz HTTP/1.1\r\nX: a\0b\r\n\r\n",
                     "GET /healthz\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET / HTTP/3.0 x\r\n\r\n"):
            with self.subTest(head):
                wire = self.wire()
                wire.send(head)
                wire.sock.shutdown(socket.SHUT_WR)
                answer = wire.reply()
                self.assertTrue(answer is None or answer.status == 400)

    def test_http_1_1_without_a_host_is_400_and_1_0_needs_none(self):
        wire = self.wire()
        for line in ("GET /healthz", "GET http://h/healthz"):
            wire.send(f"{line} HTTP/1.1\r\n\r\n")
            answer = wire.reply()
            self.assertEqual((answer.status, answer.json()["detail"]), (400, "HTTP/1.1 asks for a Host header"))
        wire.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertIn("http://localhost:", wire.reply().body.decode())
        wire.send("GET /healthz HTTP/1.1\r\nHost:\r\n\r\n")
        self.assertEqual(wire.reply().status, 200)

    def test_more_than_one_host_is_400(self):
        wire = self.wire()
        for version in ("1.1", "1.0"):
            for heads in ("Host: h\r\nhOST:h\r\n", "Host: h\r\nX: y\r\nHost: evil\r\nX: y\r\n"):
                wire.send(f"GET / HTTP/{version}\r\nConnection: keep-alive\r\n{heads}\r\n")
                answer = wire.reply()
                self.assertEqual((answer.status, answer.json()["detail"]), (400, "more than one Host header"))
        wire.send("GET /healthz HTTP/1.1\r\nHost: h\r\nX-Host: h\r\n\r\n" * 2)  # of two requests each has its own
        self.assertEqual([wire.reply().status for _ in range(2)], [200, 200])

    def test_http_2_is_not_spoken(self):
        wire = self.wire()
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        answer = wire.reply()
        self.assertTrue(answer is None or answer.status >= 400)
        wire = self.wire()
        wire.send("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                  "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
        self.assertEqual(wire.reply().status, 200)


class Paths(OneServer):
    def status(self, path):
        wire = self.wire()
        wire.send(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = wire.reply()
        return answer.status if answer else None

    def test_paths_that_climb_or_hide_are_refused(self):
        for path in ("/%2e%2e/%2e%2e/etc/passwd", "/../etc/passwd", "/viewer/..%2f..%2fetc/passwd",
                     "/viewer/%2e%2e/layers", "/healthz%00", "/healthz%00.png", "/%2fhealthz",
                     "//healthz", "/layers//x", "/healthz/.", "/./healthz", "/%25%32%65",
                     "/healthz%0d%0aX:%20y", "/\\healthz", "/..;/healthz", "/%c0%ae%c0%ae/x",
                     "/%zz", "/%", "http://h/healthz", "*", "healthz", "/" + "a" * 3000,
                     "/healthz?" + "a" * 5000):
            with self.subTest(path[:40]):
                self.assertEqual(self.status(path), 414 if len(path) > 2048 else 400)

    def test_ten_thousand_bad_paths_never_hurt(self):
        pieces = ["..", "%2e", "%00", "layers", "tiles", "{z}", "-1", "999999999999", "@2x", ".png",
                  "WebMercatorQuad", "%ff", "a" * 200, "", "point", "nan,nan", "1e309,0", "viewer"]
        wire, state = self.wire(), 1
        for _ in range(10000):
            path = ""
            for _ in range(state % 6 + 1):
                state = (state * 1103515245 + 12345) % 2**31
                path += "/" + pieces[(state >> 8) % len(pieces)]
            wire.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = wire.reply()
            self.assertIsNotNone(answer, path)
            self.assertLess(answer.status, 500, path)
        self.assertEqual(request(self.base, "/healthz").status, 200)


class Limits(OneServer):
    settings = {"idle_timeout": "1 s"}

    def test_a_body_past_the_limit_is_413(self):
        for length in (1 << 20) + 1, 1 << 40:
            wire = self.wire()
            wire.send(f"POST /layers HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
            self.assertEqual(wire.reply().status, 413)
            self.assertTrue(wire.is_closed())

    def test_a_chunked_body_past_the_limit_is_413(self):
        wire = self.wire()
        wire.send("POST /layers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(40):
                wire.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except ConnectionError:
            pass
        try:
            answer = wire.reply()
        except ConnectionError:
            answer = None
        self.assertTrue(answer is None or answer.status == 413)

    def test_a_head_that_trickles_is_cut_off(self):
        wire = self.wire()
        with self.assertRaises(ConnectionError):
            for byte in "GET /healthz HTTP/1.1\r\nHost: h\r\n" + "X: y\r\n" * 200:
                wire.send(byte)
                time.sleep(0.05)

    def test_a_body_that_trickles_is_cut_off(self):
        wire = self.wire()
        wire.send("POST /layers HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        with self.assertRaises(ConnectionError):
            for _ in range(1000):
                wire.send("x")
                time.sleep(0.05)

    def test_a_silent_connection_is_closed(self):
        self.assertTrue(self.wire().is_closed())

    def test_an_idle_connection_is_closed(self):
        wire = self.wire()
        wire.send(GET)
        self.assertEqual(wire.reply().status, 200)
        self.assertTrue(wire.is_closed())

    def test_a_head_without_end_is_cut_off(self):
        wire = self.wire()
        try:
            wire.send("GET /healthz HTTP/1.1\r\nHost: h\r\nX-Long: " + "a" * 400000)
            self.assertTrue(wire.is_closed())
        except ConnectionError:
            pass
        self.assertEqual(request(self.base, "/healthz").status, 200)

    def test_too_many_headers_are_refused(self):
        wire = self.wire()
        wire.send("GET /healthz HTTP/1.1\r\nHost: h\r\n" + "X: y\r\n" * 200 + "\r\n")
        answer = wire.reply()
        self.assertTrue(answer is None or answer.status == 400)


class Methods(OneServer):
    def test_other_methods_are_405_with_what_is_allowed(self):
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"):
            answer = request(self.base, "/layers", method)
            self.assertEqual(answer.status, 405, method)
            self.assertEqual(answer.headers["allow"], "GET, HEAD, OPTIONS")
            self.assertEqual(answer.headers["content-type"], "application/problem+json")

    def test_options_answers_a_preflight(self):
        answer = request(self.base, "/layers", "OPTIONS", {"Origin": "http://map.example",
                         "Access-Control-Request-Method": "GET"})
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertIn("GET", answer.headers["access-control-allow-methods"])

    def test_a_request_id_is_echoed_or_made(self):
        given = request(self.base, "/healthz", headers={"X-Request-Id": "abc-1.2_3"})
        self.assertEqual(given.headers["x-request-id"], "abc-1.2_3")
        for odd in ("a b", "x" * 65, "<script>", "a\"b"):
            made = request(self.base, "/healthz", headers={"X-Request-Id": odd})
            self.assertRegex(made.headers["x-request-id"], "^[0-9a-f]{16}$")


class Connections(unittest.TestCase):
    """Each test starts its own tilth."""

    def test_what_is_refused_before_it_is_read_is_in_the_log_too(self):
        with Tilth() as tilth:
            with tilth.wire() as wire:
                wire.send("POST /too-large HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n")
                self.assertEqual(wire.reply().status, 413)
            wait_until(lambda: [(line["path"], line["status"], line["route"])
                                for line in tilth.access_log()] == [("/too-large", 413, "none")],
                       "the line is there")

    def test_whatever_is_asked_is_a_line_of_json_in_the_log(self):
        with Tilth() as tilth:
            with tilth.wire() as wire:
                wire.send(b'GET /a"b\\c\xff","status":200,"x":" HTTP/1.1\r\nHost: h\r\n\r\n')
                status = wire.reply().status
            self.assertIn(status, (400, 404))
            wait_until(tilth.access_log, "the line is there")
            line, = tilth.access_log()
            self.assertEqual(line["status"], status)
            self.assertEqual(line["path"], '/a"b\\c\xff","status":200,"x":"')

    def test_at_the_cap_connections_wait_and_are_served_later(self):
        with Tilth(max_connections=16) as tilth:
            held = [tilth.wire() for _ in range(16)]
            for wire in held:
                wire.send(GET)
                self.assertEqual(wire.reply().status, 200)
            with tilth.wire() as waiting:
                waiting.send(GET)
                waiting.sock.settimeout(0.5)
                with self.assertRaises(socket.timeout):
                    waiting.sock.recv(1)
                for wire in held:
                    wire.sock.close()
                waiting.sock.settimeout(30)
                self.assertEqual(waiting.reply().status, 200)

    def test_without_descriptors_it_neither_spins_nor_falls(self):
        with Tilth() as tilth:
            self.assertEqual(tilth.get("/healthz").status, 200)
            pid = tilth.process.pid
            last = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (last + 5, last + 5))
            wires = [tilth.wire() for _ in range(40)]
            for wire in wires:
                wire.send(GET)
            self.assertEqual(wires[0].reply().status, 200)
            before, start = self.cpu_seconds(pid), time.monotonic()
            time.sleep(1.5)
            busy = (self.cpu_seconds(pid) - before) / (time.monotonic() - start)
            self.assertLess(busy, 0.5, "a listener that cannot accept must not spin")
            served = 1
            while served < 40:  # whoever is served makes room for the next
                wires.pop(0).sock.close()
                self.assertEqual(wires[0].reply().status, 200)
                served += 1
            wires[0].sock.close()

    @staticmethod
    def cpu_seconds(pid):
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_a_client_that_never_reads_is_closed(self):
        with Tilth() as tilth:
            with tilth.wire() as wire:
                wire.sock.setblocking(False)
                sent = 0
                try:  # answers of /metrics pile up until both sides' buffers are full
                    while sent < 64 << 20:
                        sent += wire.sock.send(
                            b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 1000)
                        time.sleep(0.001)
                except BlockingIOError:
                    pass
                time.sleep(0.5)
                self.assertEqual(tilth.metric("tilth_http_connections"), 2)
                wait_until(lambda: tilth.metric("tilth_http_connections") == 1,
                           "the connection that does not read is closed", 60)

    def test_sigterm_answers_what_was_asked_and_ends(self):
        tilth = Tilth(idle_timeout="60 s")
        with tilth:
            with tilth.wire() as idle:
                idle.send(GET)
                self.assertEqual(idle.reply().status, 200)
                tilth.process.send_signal(signal.SIGTERM)
                self.assertTrue(idle.is_closed())
            self.assertEqual(tilth.stop(), 0)

    def test_new_connections_are_refused_while_it_drains(self):
        with ObjectServer() as store, tempfile.NamedTemporaryFile() as raster:
            write_land(raster.name)
            store.objects["/land.tif"] = raster.read()
            with Tilth([land_layer(store.base + "/land.tif")]) as tilth:
                store.hold()
                with tilth.wire() as parked, tilth.wire() as half:
                    half.send("GET /readyz HTTP/1.1\r\nHost: h\r\n")
                    parked.send("GET /tiles/land/10/597/561.png HTTP/1.1\r\nHost: h\r\n\r\n")
                    wait_until(lambda: store.waiting > 0, "the tile waits for its source")
                    tilth.process.send_signal(signal.SIGTERM)
                    wait_until(lambda: not self.listens(tilth.base), "the listener is closed")
                    half.send("\r\n")
                    answer = half.reply()
                    self.assertEqual((answer.status, answer.json()["status"]), (503, "draining"))
                    store.release()
                    answer = parked.reply()
                    self.assertEqual(answer.status, 200)
                    self.assertEqual(answer.headers["connection"], "close")
                self.assertEqual(tilth.stop(), 0)

    @staticmethod
    def listens(base):
        try:
            Wire(base).sock.close()
        except ConnectionError:
            return False
        return True

    def test_a_second_signal_ends_it_at_once(self):
        with ObjectServer() as store, tempfile.NamedTemporaryFile() as raster:
            write_land(raster.name)
            store.objects["/land.tif"] = raster.read()
            with Tilth([land_layer(store.base + "/land.tif")], fetch_timeout="2 s",
                       fetch_retries=0) as tilth:
                store.hold()
                with tilth.wire() as parked:
                    parked.send("GET /tiles/land/10/597/561.png HTTP/1.1\r\nHost: h\r\n\r\n")
                    wait_until(lambda: store.waiting > 0, "the tile waits for its source")
                    tilth.process.send_signal(signal.SIGTERM)
                    wait_until(lambda: not self.listens(tilth.base), "it drains")
                    tilth.process.send_signal(signal.SIGTERM)
                    self.assertTrue(parked.is_closed())
                self.assertEqual(tilth.stop(), 0)

    def test_a_stuck_log_reader_stops_no_tile(self):
        with tempfile.TemporaryDirectory() as folder:
            pipe = os.path.join(folder, "log")
            os.mkfifo(pipe)
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            with Tilth(access_log=pipe) as tilth:
                with tilth.wire() as wire:
                    long = f"GET /{'a' * 1500} HTTP/1.1\r\nHost: h\r\n\r\n"
                    for _ in range(60):
                        wire.send(long * 50)
                        self.assertEqual({wire.reply().status for _ in range(50)}, {404})
                self.assertGreater(tilth.metric("tilth_log_dropped_total"), 0)
                self.assertEqual(tilth.stop(), 0)
            os.close(reader)


if __name__ == "__main__":
    unittest.main()
