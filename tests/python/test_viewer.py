"""The bundled viewer is one page that asks no other host, and its parts are all there."""
import base64
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEAFLET = pathlib.Path("/usr/share/javascript/leaflet/leaflet.min.js")
CHROMIUM = shutil.which("chromium")
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


class Answers(http.server.BaseHTTPRequestHandler):
    """A server of two layers and no tiles; its page is what the test bundled."""
    protocol_version = "HTTP/1.1"
    page = b""
    asked = set()  # tiles that were refused once
    layers = [{"id": "old", "title": "Old", "kind": "baseline", "styles": ["plain"], "seasons": []},
              {"id": "new", "title": "New", "kind": "prediction", "styles": ["plain", "margin"], "seasons": []}]

    def do_GET(self):
        path = self.path.split("?")[0]
        known = any(path.startswith(f"/layers/{layer['id']}/") for layer in self.layers)
        if path.startswith("/viewer"):
            self.answer(200, self.page + b'<img src="/late" hidden>', "text/html")
        elif path == "/late":  # the page counts as loaded, and is looked at, when this has come
            time.sleep(5)
            self.answer(200, PIXEL, "image/png")
        elif path == "/layers":
            self.answer(200, {"layers": self.layers})
        elif known and path.endswith("tilejson.json"):
            self.answer(200, {"minzoom": 2, "maxzoom": 9, "bounds": [30, -18, 31, -17], "center": [30.5, -17.5, 8]})
        elif known and path.endswith("legend.json"):
            self.answer(200, {"type": "classes", "classification:classes": [{"value": 7, "name": "maize", "color_hint": "FFCC00"}]})
        elif "/tiles/" in path and path in self.asked:
            self.answer(200, PIXEL, "image/png")
        else:
            self.asked.add(path)
            self.answer(404, {"title": "there is none"})

    def answer(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # a browser that has what it wants goes


@unittest.skipUnless(LEAFLET.exists(), "libjs-leaflet is not installed")
class Viewer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as out:
            subprocess.run([sys.executable, str(ROOT / "tools" / "bundle_viewer.py"), "--out", out], check=True,
                           capture_output=True)
            cls.files = [p.name for p in pathlib.Path(out).rglob("*")]
            cls.page = (pathlib.Path(out) / "index.html").read_text()

    def test_it_is_one_file_with_nothing_to_fetch(self):
        self.assertEqual(self.files, ["index.html"])
        self.assertEqual(re.findall(r"<(?:script|link|img)[^>]*\b(?:src|href)=\"(?!data:)[^\"]*\"", self.page), [])
        styles = "".join(re.findall(r"(?s)<style>.*?</style>", self.page))
        self.assertEqual([u for u in re.findall(r"url\(([^)]+)\)", styles) if not u.startswith(("data:", "#"))], [])

    def test_scripts_are_not_cut_short(self):
        self.assertEqual(self.page.count("<script>"), 2)
        self.assertEqual(self.page.count("</script>"), 2)
        self.assertTrue(self.page.rstrip().endswith("</html>"))

    def test_every_element_that_the_script_asks_for_is_in_the_page(self):
        script = (ROOT / "web" / "viewer" / "viewer.js").read_text()
        page = (ROOT / "web" / "viewer" / "index.html").read_text()
        for name in set(re.findall(r"\$\('([\w-]+)'\)", script)):
            self.assertIn(f'id="{name}"', page)
        for name in set(re.findall(r"this\.part\('([\w-]+)'\)", script)):
            self.assertRegex(page, rf'class="[^"]*\b{name}\b')


@unittest.skipUnless(LEAFLET.exists(), "libjs-leaflet is not installed")
@unittest.skipUnless(CHROMIUM, "chromium is not installed")
class Links(unittest.TestCase):
    """What the page makes of an address, in a browser where there is one."""
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as out:
            subprocess.run([sys.executable, str(ROOT / "tools" / "bundle_viewer.py"), "--out", out], check=True,
                           capture_output=True)
            Answers.page = (pathlib.Path(out) / "index.html").read_bytes()
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        Answers.asked.clear()

    def dump(self, rest):
        """The page as it stands when everything has come."""
        with tempfile.TemporaryDirectory() as profile:
            return subprocess.run(
                [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
                 "--dump-dom", f"http://127.0.0.1:{self.server.server_address[1]}/viewer{rest}"],
                check=True, capture_output=True, text=True, timeout=120).stdout

    def open(self, rest):
        """Which layers are shown, and what the page says of those that there are not."""
        page = self.dump(rest)
        cards = re.findall(r'(?s)<section class="layer".*?</section>', page)
        shown = [re.search(r'class="title">([^<]*)', card)[1] for card in cards
                 if not re.search(r'<div class="settings"[^>]*\bhidden', card)]
        absent, status = (re.search(rf'(?s)<p id="{name}"[^>]*>(.*?)</p>', page)[1] for name in ("absent", "status"))
        self.assertNotIn("did not come:", status)
        return shown, absent

    def test_without_a_wish_the_baseline_and_the_prediction_are_shown(self):
        self.assertEqual(self.open(""), (["New", "Old"], ""))

    def test_an_unknown_layer_is_said_and_the_usual_ones_or_the_known_are_shown(self):
        self.assertEqual(self.open("#l=gone"), (["New"], "This server has no layer gone."))
        self.assertEqual(self.open("?layer=gone"), (["New"], "This server has no layer gone."))
        self.assertEqual(self.open("#l=gone&l=old"), (["Old"], "This server has no layer gone."))

    def test_a_link_that_is_cut_short_still_opens(self):
        self.assertEqual(self.open("#map=8/-17.5/30.5&l=new;h=x,7;s=%E0%A4%A"), (["New"], ""))

    def test_a_tile_that_did_not_come_is_asked_for_again_when_the_map_moves(self):
        link, whole = "#map=8/-17.5/30.5&l=new", Answers.page
        tiles, said = self.tiles(link)
        self.assertEqual((tiles.count(False) > 3, tiles.count(True), "a tile did not come" in said), (True, 0, True))
        Answers.asked.clear()
        try:
            Answers.page = whole + b"<script>setTimeout(() => { location.hash = '#map=8/-17.501/30.501&l=new'; }, 3000)</script>"
            tiles, said = self.tiles(link)
        finally:
            Answers.page = whole
        self.assertEqual((tiles.count(True) > 3, tiles.count(False), said), (True, 0, ""))

    def tiles(self, rest):
        """Of each tile whether it has come, and what is said below the map's layers."""
        page = self.dump(rest)
        return ["leaflet-tile-loaded" in classes for classes in re.findall(r'<img[^>]*class="(leaflet-tile[^"]*)"', page)], \
            re.search(r'(?s)<p id="status"[^>]*>(.*?)</p>', page)[1]


if __name__ == "__main__":
    unittest.main()
