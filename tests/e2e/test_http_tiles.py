"""Tiles and documents over HTTP: conditional requests, parking, coalescing, cancelling, errors."""
import json
import pathlib
import tempfile
import threading
import unittest

from support import (LAND, ObjectServer, Tilth, land_layer, land_value, wait_until, write_land)

TILE = "/tiles/land/10/597/561.png"  # inside the made-up land
LONG = "/layers/land/tiles/WebMercatorQuad/10/597/561"


def land(cls):
    folder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(folder.cleanup)
    path = pathlib.Path(folder.name) / "land.tif"
    write_land(path)
    return path


class Served(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tilth = Tilth([land_layer(land(cls))])
        cls.addClassCleanup(cls.tilth.__exit__, None, None, None)
        cls.tilth.start()

    def get(self, path, **more):
        return self.tilth.get(path, **more)

    def problem(self, path, status, *words, **more):
        answer = self.get(path, **more)
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        document = answer.json()
        self.assertEqual(document["status"], status)
        self.assertEqual(document["request_id"], answer.headers["x-request-id"])
        for word in words:
            self.assertIn(word, document["detail"])
        return document


class Tiles(Served):
    def test_a_tile_is_rendered_once_and_then_a_hit(self):
        first, second = self.get(TILE + "?classes=10"), self.get(TILE + "?classes=10")
        self.assertEqual((first.status, second.status), (200, 200))
        self.assertEqual(second.headers["x-cache"], "HIT")
        self.assertEqual(first.body, second.body)
        self.assertEqual(first.headers["content-type"], "image/png")
        self.assertEqual(first.headers["cache-control"], "public, max-age=300")
        self.assertIn("total;dur=", first.headers["server-timing"])
        self.assertNotIn("x-tilth-exact", first.headers)

    def test_every_form_of_the_address_is_the_same_tile(self):
        tile = self.get(TILE)
        for path in (LONG, LONG + ".png", "/tiles/land/10/597/561"):
            self.assertEqual(self.get(path).body, tile.body)

    def test_the_pixels_are_the_land(self):
        size = self.get(TILE).image().size
        self.assertEqual(size, (256, 256))
        self.assertEqual(self.get("/tiles/land/10/597/561@2x.png").image().size, (512, 512))
        style = json.loads((self.tilth.folder / "layers" / "land.json").read_text())["styles"][0]
        colors = {c["value"]: c["color_hint"] for c in self.classes(style)}
        image = self.get("/tiles/land/16/38320/36005.png").image().convert("RGBA")
        lon, lat = self.lonlat(16, 38320, 36005, 128, 128)
        col = int((lon - LAND["west"]) / LAND["pixel"])
        row = int((LAND["north"] - lat) / LAND["pixel"])
        value = land_value(col, row)
        self.assertEqual(self.point(lon, lat)["class"]["value"], value)
        wanted = colors[value].lstrip("#")
        self.assertEqual("%02x%02x%02x" % image.getpixel((128, 128))[:3], wanted.lower()[:6])

    def classes(self, style):
        return self.get(f"/styles/{style}").json()["classification:classes"]

    def point(self, lon, lat):
        return self.get(f"/layers/land/point/{lon:.9f},{lat:.9f}").json()

    @staticmethod
    def lonlat(z, x, y, px, py):
        import math
        n = 2 ** z
        lon = (x + (px + 0.5) / 256) / n * 360 - 180
        lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (y + (py + 0.5) / 256) / n))))
        return lon, lat

    def test_the_formats_are_what_they_say(self):
        for end, kind in (("png", "PNG"), ("webp", "WEBP"), ("jpg", "JPEG"), ("jpeg", "JPEG")):
            answer = self.get(f"{LONG}.{end}")
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["content-type"], "image/" + kind.lower())
            self.assertEqual(answer.image().format, kind)

    def test_an_etag_is_answered_304(self):
        tile = self.get(TILE)
        etag = tile.headers["etag"]
        for tags in (etag, "W/" + etag, f'"other", {etag}', "*", f'"a" ,W/{etag} , "b"'):
            answer = self.get(TILE, headers={"If-None-Match": tags})
            self.assertEqual((answer.status, answer.body), (304, b""), tags)
            self.assertEqual(answer.headers["etag"], etag)
        for tags in ('"other"', etag.strip('"'), etag[:-2] + '"', "W/", ""):
            self.assertEqual(self.get(TILE, headers={"If-None-Match": tags}).status, 200, tags)

    def test_another_look_has_another_etag(self):
        tags = {self.get(path).headers["etag"] for path in
                (TILE, TILE + "?classes=10", TILE + "?classes=20", LONG + ".webp",
                 "/tiles/land/10/597/561@2x.png", "/tiles/land/10/598/562.png")}
        self.assertEqual(len(tags), 6)

    def test_head_is_get_without_the_body(self):
        get, head = self.get(TILE), self.get(TILE, method="HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        for name in ("content-length", "content-type", "etag", "cache-control"):
            self.assertEqual(head.headers[name], get.headers[name])

    def test_a_tile_far_away_is_empty_and_quick(self):
        answer = self.get("/tiles/land/10/0/0.png")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.image().convert("RGBA").getextrema()[3], (0, 0))

    def test_another_origin_may_read_the_headers(self):
        answer = self.get(TILE, headers={"Origin": "http://map.example"})
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(answer.headers["access-control-expose-headers"], "*")

    def test_wrong_wishes_say_what_is_wrong(self):
        self.problem("/tiles/nope/1/0/0.png", 404, "nope")
        self.problem("/tiles/land/1/2/0.png", 404, "column 2")
        self.problem("/tiles/land/1/0/2.png", 404, "row 2")
        self.problem("/tiles/land/25/0/0.png", 404, "25")
        self.problem("/tiles/land/24/0/0.png", 404, "zoom")
        self.problem("/tiles/land/1/0/4294967296.png", 400, "y")
        self.problem("/tiles/land/a/0/0.png", 400, "z")
        self.problem("/tiles/land/1/-1/0.png", 400, "x")
        self.problem("/tiles/land/1/0/0.gif", 404, "gif", "webp")
        self.problem("/tiles/land/1/0/0@3x.png", 404, "@2x")
        self.problem("/tiles/land/1/0/0.", 404, "known formats")
        self.problem("/layers/land/tiles/Other/1/0/0", 404, "WebMercatorQuad")
        self.problem(TILE + "?stile=x", 400, "did you mean", "style")
        self.problem(TILE + "?style=nope", 404, "nope")
        self.problem(TILE + "?season=2031", 404)
        self.problem(TILE + "?season=a&date=b", 400, "not both")
        self.problem(TILE + "?season=" + "a" * 40, 400, "31")
        self.problem(TILE + "?classes=10,unicorns", 400, "unicorns")
        self.problem(TILE + "?style=a&style=b", 400, "twice")
        self.problem(LONG + ".webp?classes=10", 400, "png")
        self.problem("/nowhere", 404)

    def test_every_request_is_one_line_of_the_log(self):
        self.get(TILE + "?classes=30", headers={"X-Request-Id": "find-me-1"})
        lines = []
        wait_until(lambda: lines.extend(line for line in self.tilth.access_log()
                                        if line["id"] == "find-me-1") or lines, "the line is there")
        self.assertEqual(len(lines), 1)
        line = lines[0]
        self.assertEqual((line["method"], line["path"], line["status"], line["route"]),
                         ("GET", TILE + "?classes=30", 200, "tile"))
        self.assertRegex(line["ts"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(line["peer"], "127.0.0.1")
        self.assertGreater(line["bytes"], 100)


class Documents(Served):
    def test_the_landing_page_is_html_for_a_browser_and_json_for_a_program(self):
        page = self.get("/", headers={"Accept": "text/html,application/xhtml+xml;q=0.9"})
        self.assertTrue(page.headers["content-type"].startswith("text/html"))
        self.assertIn(b"Made-up land", page.body)
        links = {link["rel"]: link["href"] for link in self.get("/").json()["links"]}
        self.assertEqual(links["data"], self.tilth.base + "/layers")
        self.assertTrue(self.get("/?f=html").headers["content-type"].startswith("text/html"))

    def test_layers_are_listed_and_described(self):
        layers = self.get("/layers").json()["layers"]
        self.assertEqual([(l["id"], l["kind"]) for l in layers], [("land", "baseline")])
        self.assertEqual(self.get("/layers/land").json()["id"], "land")
        self.problem("/layers/nope", 404, "nope")

    def test_a_tilejson_leads_to_tiles_that_keep_the_wish(self):
        document = self.get("/layers/land/tilejson.json?classes=10,20").json()
        url = document["tiles"][0]
        self.assertTrue(url.startswith(self.tilth.base))
        self.assertTrue(url.endswith("?classes=10,20"))
        self.assertEqual([round(b) for b in document["bounds"]], [30, -18, 31, -17])
        path = url[len(self.tilth.base):].format(z=10, x=597, y=561)
        self.assertEqual(self.get(path).body, self.get(TILE + "?classes=10,20").body)

    def test_addresses_follow_the_proxy_in_front(self):
        headers = {"Host": "tiles.example.org", "X-Forwarded-Proto": "https"}
        url = self.get("/layers/land/tilejson.json", headers=headers).json()["tiles"][0]
        self.assertTrue(url.startswith("https://tiles.example.org/layers/land/"))
        odd = self.get("/layers/land/tilejson.json", headers={"Host": "a\"><script>"}).json()
        self.assertTrue(odd["tiles"][0].startswith("http://localhost:"))

    def test_legends_come_as_json_and_as_a_picture(self):
        self.assertGreater(len(self.get("/layers/land/legend.json").json()["classification:classes"]), 5)
        picture = self.get("/layers/land/legend.png")
        self.assertEqual(picture.headers["content-type"], "image/png")
        self.assertEqual(picture.image().format, "PNG")
        self.problem("/layers/land/legend.json?style=nope", 404, "nope")

    def test_a_point_knows_its_class(self):
        lon, lat = 30.5 + LAND["pixel"] / 2, -17.5 - LAND["pixel"] / 2
        document = self.get(f"/layers/land/point/{lon},{lat}").json()
        self.assertEqual(document["class"]["value"], land_value(512, 512))
        self.assertTrue(document["inside"])
        outside = self.get("/layers/land/point/0,0").json()
        self.assertFalse(outside["inside"])
        self.assertEqual(self.get(f"/layers/land/point/{lon}%2C{lat}").json(), document)

    def test_points_that_are_none_are_refused(self):
        for point in ("1", "1,", ",1", "a,b", "nan,0", "1e3,0", "181,0", "0,91", "1,2,3", "0x1,0",
                      "inf,0", "--1,0", "1 ,2"):
            self.problem("/layers/land/point/" + point.replace(" ", "%20"), 400)

    def test_styles_are_listed_and_shown(self):
        ids = [style["id"] for style in self.get("/styles").json()["styles"]]
        self.assertIn("esa-worldcover", ids)
        self.assertEqual(self.get("/styles/esa-worldcover").json()["id"], "esa-worldcover")
        self.problem("/styles/nope", 404, "nope")

    def test_a_document_has_an_etag_too(self):
        etag = self.get("/layers").headers["etag"]
        self.assertEqual(self.get("/layers", headers={"If-None-Match": etag}).status, 304)

    def test_metrics_count_what_was_answered(self):
        before = self.tilth.metric('tilth_http_requests_total{code="404"}')
        self.get("/nowhere")
        self.assertEqual(self.tilth.metric('tilth_http_requests_total{code="404"}'), before + 1)
        self.assertGreater(self.tilth.metric("process_resident_memory_bytes"), 1 << 20)
        self.assertEqual(self.tilth.metric("tilth_log_dropped_total"), 0)


class Viewer(unittest.TestCase):
    def test_the_page_and_its_files_are_served_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "index.html").write_text("<title>map</title>")
            (root / "leaflet.js").write_text("L = {}")
            (root / "secret.conf").write_text("no")
            (root / ".hidden.html").write_text("no")
            (root / "images").mkdir()
            (root / "images" / "layers.png").write_bytes(b"png")
            with Tilth(viewer_dir=folder) as tilth:
                moved = tilth.get("/viewer")
                self.assertEqual((moved.status, moved.headers["location"]), (301, "viewer/"))
                moved = tilth.get("/viewer?layer=a%20b")
                self.assertEqual(moved.headers["location"], "viewer/?layer=a%20b")
                self.assertEqual(tilth.get("/viewer/").body, b"<title>map</title>")
                self.assertEqual(tilth.get("/viewer/?layer=land").status, 200)
                script = tilth.get("/viewer/leaflet.js")
                self.assertEqual(script.headers["content-type"], "text/javascript; charset=utf-8")
                self.assertEqual(script.headers["x-content-type-options"], "nosniff")
                self.assertEqual(tilth.get("/viewer/images/layers.png").body, b"png")
                for path in ("secret.conf", ".hidden.html", "images", "images/", "nope.js"):
                    self.assertEqual(tilth.get("/viewer/" + path).status, 404, path)

    def test_without_a_viewer_the_page_says_so(self):
        with tempfile.TemporaryDirectory() as folder, Tilth(viewer_dir=folder) as tilth:
            answer = tilth.get("/viewer/")
            self.assertEqual(answer.status, 404)
            self.assertIn("viewer_dir", answer.json()["detail"])


class Parked(unittest.TestCase):
    """Requests that wait for a source that the test holds."""

    def setUp(self):
        self.store = self.enterContext(ObjectServer())
        with tempfile.NamedTemporaryFile() as raster:
            write_land(raster.name)
            self.store.objects["/land.tif"] = raster.read()

    def serve(self, **settings):
        layer = land_layer(self.store.base + "/land.tif")
        return self.enterContext(Tilth([layer], **{"workers": 1, **settings}))

    def ask(self, tilth, path):
        wire = tilth.wire()
        self.addCleanup(wire.sock.close)
        wire.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
        return wire

    def begin(self, tilth):
        """Opens the layer, then holds a first tile in the only worker."""
        self.assertEqual(tilth.get("/layers/land/tilejson.json").status, 200)
        self.store.hold()
        first = self.ask(tilth, "/tiles/land/10/597/562.png")
        wait_until(lambda: self.store.waiting > 0, "the first tile waits for its source")
        return first

    def test_a_queued_tile_whose_client_leaves_is_never_rendered(self):
        tilth = self.serve()
        first = self.begin(tilth)
        second = self.ask(tilth, "/tiles/land/10/598/562.png")
        wait_until(lambda: tilth.metric("tilth_http_connections") == 3, "the second is there")
        second.sock.close()
        wait_until(lambda: tilth.metric("tilth_http_client_gone_total") == 1, "it is noticed")
        self.store.release()
        self.assertEqual(first.reply().status, 200)
        wait_until(lambda: tilth.metric("tilth_renders_skipped_total") == 1, "it is skipped")
        self.assertEqual(tilth.metric("tilth_render_seconds_count"), 1)
        wait_until(lambda: [(line["status"], line.get("aborted")) for line in tilth.access_log()
                            if line["path"].endswith("/598/562.png")] == [(499, True)],
                   "the log says that it left")

    def test_one_render_answers_everyone_who_asked(self):
        tilth = self.serve()
        first = self.begin(tilth)
        wires = [self.ask(tilth, "/tiles/land/10/597/562.png") for _ in range(50)]
        wait_until(lambda: tilth.metric("tilth_http_connections") == 52, "all are there")
        self.store.release()
        answers = [wire.reply() for wire in [first, *wires]]
        self.assertEqual({a.status for a in answers}, {200})
        self.assertEqual(len({a.body for a in answers}), 1)
        self.assertEqual([a.headers["x-cache"] for a in answers].count("MISS"), 1)
        self.assertEqual({a.headers["x-cache"] for a in answers[1:]}, {"COALESCED"})
        self.assertEqual(tilth.metric("tilth_render_seconds_count"), 1)

    def test_one_of_many_leaving_hurts_no_other(self):
        tilth = self.serve()
        first = self.begin(tilth)
        stays = self.ask(tilth, "/tiles/land/10/597/562.png")
        wait_until(lambda: tilth.metric("tilth_http_connections") == 3, "both are there")
        first.sock.close()
        wait_until(lambda: tilth.metric("tilth_http_client_gone_total") == 1, "it is noticed")
        self.store.release()
        self.assertEqual(stays.reply().status, 200)

    def test_past_the_deadline_the_answer_is_504(self):
        tilth = self.serve(render_deadline="1 s")
        first = self.begin(tilth)
        queued = self.ask(tilth, "/tiles/land/10/598/562.png")
        for wire in (first, queued):
            answer = wire.reply()
            self.assertEqual(answer.status, 504)
            self.assertEqual(answer.headers["cache-control"], "no-store")
        self.store.release()
        self.assertEqual(tilth.get("/tiles/land/10/597/562.png").status, 200)

    def test_a_full_queue_is_503_with_retry_after(self):
        tilth = self.serve(lane_queue=2)
        first = self.begin(tilth)
        queued = [self.ask(tilth, f"/tiles/land/12/2389/{y}.png") for y in (2247, 2248)]
        wait_until(lambda: tilth.metric("tilth_http_connections") == 4, "the queue is full")
        refused = tilth.get("/tiles/land/12/2390/2247.png")
        self.assertEqual(refused.status, 503)
        self.assertIn("retry-after", refused.headers)
        self.assertIn("lane_queue", refused.json()["detail"])
        self.store.release()
        self.assertEqual([wire.reply().status for wire in [first, *queued]], [200, 200, 200])

    def test_hits_are_answered_while_every_worker_hangs(self):
        tilth = self.serve()
        self.assertEqual(tilth.get(TILE).status, 200)
        self.begin(tilth)
        for _ in range(20):
            self.assertEqual(tilth.get(TILE).headers["x-cache"], "HIT")
        self.store.release()

    def test_a_failing_source_is_502_and_never_cached(self):
        tilth = self.serve(fetch_retries=0)
        self.assertEqual(tilth.get("/layers/land/tilejson.json").status, 200)
        self.store.fault = lambda path, first, last: 500
        failed = tilth.get("/tiles/land/10/597/562.png")
        self.assertEqual(failed.status, 502)
        self.assertEqual(failed.headers["cache-control"], "no-store")
        self.store.fault = None
        self.assertEqual(tilth.get("/tiles/land/10/597/562.png").status, 200)

    def test_many_clients_that_come_and_go_leave_nothing_behind(self):
        tilth = self.serve(workers=2, loops=2)

        def pan(seed):
            for i in range(30):
                with tilth.wire() as wire:
                    x, y = 9552 + (seed * 7 + i) % 40, 8982 + i % 40
                    wire.send(f"GET /tiles/land/14/{x}/{y}.png HTTP/1.1\r\nHost: h\r\n\r\n")
                    if i % 3 == 0:
                        self.assertEqual(wire.reply().status, 200)

        threads = [threading.Thread(target=pan, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: tilth.metric("tilth_http_connections") == 1, "only the scraper is left")
        self.assertEqual(tilth.stop(), 0)


if __name__ == "__main__":
    unittest.main()
