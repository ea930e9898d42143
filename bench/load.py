"""Closed-loop load through wrk: a list of paths, round and round."""
import json
import pathlib
import subprocess

LUA = pathlib.Path(__file__).with_name("paths.lua")


def run(server, paths, seconds, connections, cpus=None, threads=1):
    """Requests per second, latency in ms, bytes and failures of one round; CPU of the server."""
    listing = pathlib.Path(server.log.name).parent / f"paths-{server.port}.txt" \
        if server.log.name != "/dev/null" else pathlib.Path(f"/tmp/paths-{server.port}.txt")
    listing.write_text("\n".join(paths) + "\n")
    argv = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--timeout",
            "60s", "-s", str(LUA), server.url, "--", str(listing)]
    if cpus is not None:
        argv = ["taskset", "-c", cpus] + argv
    before = server.cpu_seconds()
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    used = server.cpu_seconds() - before
    result = json.loads(out[out.index("{\"requests\""):])
    result["cpu_us"] = used * 1e6 / max(result["requests"], 1)
    result["rate"] = result["requests"] / result["seconds"]
    listing.unlink()
    return result
