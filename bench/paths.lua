-- wrk: asks for the paths of a file, one after the other, each thread from a place of its own.
local paths, at = {}, 0
local threads = 0

function setup(thread)
  thread:set("start", threads)
  threads = threads + 1
end

function init(args)
  for line in io.lines(args[1]) do paths[#paths + 1] = line end
  at = start * 7919
end

function request()
  at = at + 1
  return wrk.format("GET", paths[at % #paths + 1])
end

function done(summary, latency, requests)
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "bytes": %d, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write +
      summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
