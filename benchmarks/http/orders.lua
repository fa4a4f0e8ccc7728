-- Orders for wrk: four items, many users, written once and sent by turns. At the end one line of JSON.
local items = {"pizza", "burger", "salad", "sandwich"}
local bodies, turn = {}, 0

function init(args)
  local headers = {["Content-Type"] = "application/json"}
  for n = 1, 400 do
    local body = string.format('{"user_id": "user-%d", "item": "%s", "quantity": 1}', n, items[n % 4 + 1])
    bodies[n] = wrk.format("POST", "/order", headers, body)
  end
end

function request()
  turn = turn % #bodies + 1
  return bodies[turn]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "refused": %d, "broken": %d, "p50_us": %d, "p99_us": %d, "max_us": %d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
