"""The bundled viewer is one page that asks no other host, and its parts are all there."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEAFLET = pathlib.Path("/usr/share/javascript/leaflet/leaflet.min.js")


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


if __name__ == "__main__":
    unittest.main()
