#!/usr/bin/python3
"""Bundles the viewer into one page: scripts, styles and pictures inside, nothing fetched but the API.

    /usr/bin/python3 tools/bundle_viewer.py --out build/viewer [--leaflet /usr/share/javascript/leaflet]

Needs libjs-leaflet. Writes OUT/index.html.
"""
import argparse
import base64
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "web" / "viewer"


def inline_pictures(css, folder):
    """url(images/x.png) -> data: URLs; other urls that would leave the page are refused."""
    def picture(match):
        name = match[1].strip("'\"")
        if name.startswith(("data:", "#")):
            return match[0]
        data = base64.b64encode((folder / name).read_bytes()).decode()
        return f"url(data:image/png;base64,{data})"
    return re.sub(r"url\(([^)]*)\)", picture, css)


def bundle(leaflet):
    files = {"leaflet.css": inline_pictures((leaflet / "leaflet.css").read_text(), leaflet),
             "leaflet.js": (leaflet / "leaflet.min.js").read_text(),
             "viewer.css": (SOURCE / "viewer.css").read_text(), "viewer.js": (SOURCE / "viewer.js").read_text()}
    page = (SOURCE / "index.html").read_text()
    for name, text in files.items():
        text = re.sub(r"(?m)^//# sourceMappingURL=.*$|/\*# sourceMappingURL=.*?\*/", "", text).strip()
        if name.endswith(".js"):
            tag = f'<script src="{name}"></script>'
            inside = "<script>\n" + text.replace("</script", "<\\/script") + "\n</script>"
        else:
            tag, inside = f'<link rel="stylesheet" href="{name}">', f"<style>\n{text}\n</style>"
        if page.count(tag) != 1:
            sys.exit(f"bundle_viewer: index.html must have {tag} once")
        page = page.replace(tag, inside)
    notice = "<!-- Contains Leaflet, (c) Vladimir Agafonkin and others, BSD-2-Clause, https://leafletjs.com -->\n"
    return page.replace("<html", notice + "<html", 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--leaflet", type=pathlib.Path, default=pathlib.Path("/usr/share/javascript/leaflet"))
    args = parser.parse_args()
    if not (args.leaflet / "leaflet.min.js").exists():
        sys.exit(f"bundle_viewer: {args.leaflet}/leaflet.min.js is missing: apt-get install libjs-leaflet")
    args.out.mkdir(parents=True, exist_ok=True)
    page = bundle(args.leaflet)
    (args.out / "index.html").write_text(page)
    print(f"{args.out / 'index.html'}: {len(page.encode())} bytes")


if __name__ == "__main__":
    main()
