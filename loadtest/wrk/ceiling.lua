-- The most that a proxy carries: closed loop, as fast as it answers. Clients and tokens take turns.
--
--   wrk -t1 -c64 -d10s -s loadtest/wrk/ceiling.lua http://127.0.0.1:8080/api/v1/products -- [agents=FILE] [tokens=FILE] [from=N] [upto=N] [once] [body=N]
--     [graph=FILE] [new]
--
-- agents: a file with one User-Agent a line. tokens: a file with one bearer token a line, of which those `from`..`upto` are sent; with `once` the
-- run ends when each was sent. body: N bytes that each request brings, by POST. graph: a file
-- that is the body of each request; with `new` another number stands in each where the file has twelve zeros. Without any of these the request is a bare GET.
package.path = (debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "?.lua;" .. package.path
local report = require("report")

local requests, at, once = {}, 0, false
local before, behind, number

local function lines(path, from, upto)
  local found, number = {}, 0
  for line in io.lines(path) do
    number = number + 1
    if number >= from and number <= upto then found[#found + 1] = line end
  end
  return found
end

init = function(arguments)
  local options = {}
  for _, argument in ipairs(arguments) do
    local key, value = argument:match("^(%w+)=(.*)$")
    if key then options[key] = value else options[argument] = true end
  end
  once = options.once
  local agents = options.agents and lines(options.agents, 1, math.huge) or { false }
  local tokens = options.tokens and lines(options.tokens, tonumber(options.from or 1), tonumber(options.upto or math.huge)) or { false }
  local body = options.body and string.rep(".", tonumber(options.body))
  if options.graph then body = assert(io.open(options.graph)):read("*a") end
  for index = 1, math.max(#agents, #tokens) do
    local headers = { ["Content-Type"] = body and "application/json" }
    local agent, token = agents[(index - 1) % #agents + 1], tokens[(index - 1) % #tokens + 1]
    if agent then headers["User-Agent"] = agent end
    if token then headers["Authorization"] = "Bearer " .. token end
    requests[index] = wrk.format(body and "POST" or "GET", nil, headers, body)
  end
  if options.new then
    before, behind = requests[1]:match("^(.-)000000000000(.*)$")
    -- No two runs send the same, as long as they do not begin in the same second.
    number = os.time() % 1000000 * 1000000
  end
end

request = function()
  if number then
    number = number + 1
    return before .. string.format("%012d", number) .. behind
  end
  at = at + 1
  if at > #requests then
    if once then wrk.thread:stop() end
    at = 1
  end
  return requests[at]
end

done = report.done
