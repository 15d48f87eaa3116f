-- SPDX-License-Identifier: Apache-2.0
-- What wrk sends: wrk ... -s requests.lua URL -- OPERATION [KEYS]
local operation, keys, n = "get", 10000, 0
local value = string.rep("v", 256)
local json = { ["Content-Type"] = "application/json" }
local instance = '{"Node":"reg-%d","Address":"10.9.0.1","Service":{"ID":"reg-%d","Service":"reg","Port":%d},' ..
	'"Check":{"Node":"reg-%d","CheckID":"service:reg-%d","Name":"c","Status":"passing","ServiceID":"reg-%d"}}'

local function key()
	return string.format("/v1/kv/bench/%06d", math.random(0, keys - 1))
end

-- etcd's JSON takes keys and values in base64; a key of six digits has eight letters.
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local value64 = string.rep("dnZ2", 85) .. "dg=="

local function base64_of_6(digits)
	local out = ""
	for at = 1, 4, 3 do
		local a, b, c = digits:byte(at, at + 2)
		local bits = a * 65536 + b * 256 + c
		for shift = 18, 0, -6 do
			local i = math.floor(bits / 2 ^ shift) % 64
			out = out .. alphabet:sub(i + 1, i + 1)
		end
	end
	return out
end

local function etcd_body(rest)
	return '{"key":"' .. base64_of_6(string.format("%06d", math.random(0, keys - 1))) .. '"' .. rest .. "}"
end

local operations = {
	get = function() return wrk.format("GET", key()) end,
	put = function() return wrk.format("PUT", key(), nil, value) end,
	["get-stale"] = function() return wrk.format("GET", key() .. "?stale") end,
	["get-consistent"] = function() return wrk.format("GET", key() .. "?consistent") end,
	["etcd-put"] = function() return wrk.format("POST", "/v3/kv/put", json, etcd_body(",\"value\":\"" .. value64 .. "\"")) end,
	["etcd-get"] = function() return wrk.format("POST", "/v3/kv/range", json, etcd_body("")) end,
	["etcd-get-stale"] = function() return wrk.format("POST", "/v3/kv/range", json, etcd_body(",\"serializable\":true")) end,
	health = function() return wrk.format("GET", "/v1/health/service/bench" .. keys .. "?passing") end,
	services = function() return wrk.format("GET", "/v1/catalog/services") end,
	["catalog-register"] = function()
		local i = n % 1000
		return wrk.format("PUT", "/v1/catalog/register", json, string.format(instance, i, i, 1 + n % 60000, i, i, i))
	end,
	["agent-register"] = function()
		return wrk.format("PUT", "/v1/agent/service/register", json,
			string.format('{"ID":"areg-%d","Name":"areg","Port":%d}', n % 1000, 1 + n % 60000))
	end,
}

function init(args)
	operation = args[1] or operation
	keys = tonumber(args[2]) or keys
	math.randomseed(os.time())
	wrk.headers["Host"] = wrk.host .. ":" .. wrk.port
end

function request()
	n = n + 1
	return operations[operation]()
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format('JSON {"requests":%d,"us":%d,"p50":%d,"p99":%d,"failed":%d}\n', summary.requests,
		summary.duration, latency:percentile(50), latency:percentile(99),
		e.connect + e.read + e.write + e.timeout + e.status))
end
