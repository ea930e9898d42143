#!/usr/bin/env python3
"""Budgets of the house style: lines per file and function, parameters, header lines a file sees.

A function is what starts in column 0 with '(' in its first line and ends with '}' in column 0;
clang-format keeps every function of ours in that shape.
"""
import pathlib
import re
import statistics
import sys

MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS, MAX_SEEN = 1000, 80, 6, 1500


def functions(lines):
    """Yields (line number, name, length, parameters) of every function body."""
    head = None
    for number, line in enumerate(lines, 1):
        if re.match(r"[A-Za-z_].*[^;]$|[A-Za-z_].*\($", line) and "(" in line and "=" not in line:
            head = number
        if line.startswith("{") and head:
            start = head
        elif line.startswith("}") and head:
            signature = " ".join(lines[start - 1:start + 6]).split("{")[0]
            name = re.search(r"(\w+)\s*\(", signature)
            inner = signature[signature.find("(") + 1:signature.rfind(")")]
            inner = re.sub(r"\([^()]*\)", "", inner)
            yield start, name[1] if name else "?", number - start + 1, inner.count(",") + 1
            head = None


def seen(src, path, done):
    """Lines of our own headers that a file sees, each header once."""
    total = 0
    for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.M):
        header = src / name
        if header in done or not header.exists() or header.suffix != ".h":
            continue
        done.add(header)
        total += len(header.read_text().splitlines()) + seen(src, header, done)
    return total


def main():
    src, broken, lengths, statics = pathlib.Path(sys.argv[1]), [], [], []
    for path in sorted(src.rglob("*.[ch]")):
        lines = path.read_text().splitlines()
        if len(lines) > MAX_FILE:
            broken.append(f"{path}: {len(lines)} lines, at most {MAX_FILE}")
        if path.suffix != ".c":
            continue
        for at, name, length, parameters in functions(lines):
            lengths.append(length)
            statics.append("static" in lines[at - 1])
            if length > MAX_FUNCTION:
                broken.append(f"{path}:{at}: {name}() has {length} lines, at most {MAX_FUNCTION}")
            if parameters > MAX_PARAMETERS:
                broken.append(f"{path}:{at}: {name}() has {parameters} parameters, at most {MAX_PARAMETERS}")
        header_lines = seen(src, path, set())
        if header_lines > MAX_SEEN:
            broken.append(f"{path}: sees {header_lines} lines of our headers, at most {MAX_SEEN}")
    print("\n".join(broken) or "size: ok")
    if lengths:
        print(f"{len(lengths)} functions, median {statistics.median(lengths):.0f} lines, "
              f"{100 * sum(statics) // len(statics)} % static")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
