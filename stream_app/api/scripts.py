"""Reads of the view, each one step, in Lua: the generation and its content together, so that no swap comes between.

All take the key prefix first, and answer nothing while no generation can be read.
"""

from __future__ import annotations

from typing import Final

_ROOT: Final = """
local prefix = ARGV[1]
local generation = redis.call('GET', prefix .. 'generation')
if not generation then return false end
local root = prefix .. generation .. ':'
"""

_BEHIND: Final = """
-- Sorted sets order members by their bytes; Lua's own comparison goes by the server's locale.
local function is_before_or_equal(left, right)
  for i = 1, math.min(#left, #right) do
    local l, r = string.byte(left, i), string.byte(right, i)
    if l ~= r then return l < r end
  end
  return #left <= #right
end

-- the rank of the first one behind a place; thousands may stand at one instant, by a new model or at midnight
local function behind(key, score, member)
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', key, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before_or_equal(redis.call('ZRANGE', key, middle, middle)[1], member) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
"""

LOOK_UP: Final = (
    _ROOT
    + """
local found = {}
for i = 2, #ARGV do found[i - 1] = redis.call('HGETALL', root .. 'c:' .. ARGV[i]) end
return found
"""
)
"""Customer ids → a hash each."""

NEWEST_MODELS: Final = (
    _ROOT
    + """
local found = {}
for _, segmentation in ipairs(redis.call('SMEMBERS', root .. 'segmentations')) do
  local key, newest = root .. 'models:' .. segmentation, -1
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local version = tonumber(field)
    if version and version > newest then newest = version end
  end
  if newest >= 0 then found[#found + 1] = redis.call('HGET', key, string.format('%d', newest)) end
end
return found
"""
)
"""→ the newest published document of each segmentation."""

MODELS: Final = (
    _ROOT
    + """
return redis.call('HVALS', root .. 'models:' .. ARGV[2])
"""
)
"""Segmentation → all documents."""

FIGURES: Final = (
    _ROOT
    + """
return redis.call('HVALS', root .. 'figures:' .. ARGV[2])
"""
)
"""Segmentation → the figures of each partition."""

FLOWS: Final = (
    _ROOT
    + """
local totals = {}
for i = 3, #ARGV do
  local counts = redis.call('HGETALL', root .. 'f:' .. ARGV[2] .. ':' .. ARGV[i])
  for j = 1, #counts, 2 do totals[counts[j]] = (totals[counts[j]] or 0) + tonumber(counts[j + 1]) end
end
local found = {}
for flow, count in pairs(totals) do
  found[#found + 1] = flow
  found[#found + 1] = count
end
return found
"""
)
"""Segmentation, days → flow, count, …"""

DAILY: Final = (
    _ROOT
    + """
local newest = redis.call('XREVRANGE', prefix .. 'feed', '+', '-', 'COUNT', 1)[1]
local segments, sizes, flows = tonumber(ARGV[3]), {}, {}
for i = 1, segments do sizes[i] = redis.call('ZCARD', root .. 'm:' .. ARGV[2] .. ':' .. ARGV[3 + i]) end
for i = segments + 4, #ARGV do
  flows[#flows + 1] = redis.call('HGETALL', root .. 'f:' .. ARGV[2] .. ':' .. ARGV[i])
end
return {newest and newest[1] or '0-0', sizes, flows, redis.call('HGETALL', root .. 't:' .. ARGV[2])}
"""
)
"""Segmentation, how many segments, their ids, days → id of the newest migration, sizes, a hash of flows each day, and
the totals of all days."""

CONDITION: Final = (
    _ROOT
    + """
local newest = redis.call('XREVRANGE', prefix .. 'feed', '+', '-', 'COUNT', 1)[1]
return {
  redis.call('HGETALL', root .. 'position'), newest and newest[1], redis.call('HGET', root .. 'told', 'follower')
}
"""
)
"""→ the positions, the id of the newest migration, and what the follower tells of itself."""

AHEAD: Final = (
    _ROOT
    + """
local found = {}
for i = 4, #ARGV do
  local key = root .. 'u:' .. ARGV[i]
  for _, path in ipairs(redis.call('SMEMBERS', key)) do
    local count = redis.call('ZCOUNT', key .. ':' .. path, '(' .. ARGV[2], ARGV[3])
    if count > 0 then
      found[#found + 1] = ARGV[i]
      found[#found + 1] = path
      found[#found + 1] = count
    end
  end
end
return found
"""
)
"""After an instant (ms), up to another one, segmentations → segmentation, path, customers, …"""

LEAVERS: Final = (
    _ROOT
    + _BEHIND
    + """
local segment, limit = ARGV[3] .. '>', tonumber(ARGV[6])
local key, customers, found = root .. 'u:' .. ARGV[2], 0, {}
for _, path in ipairs(redis.call('SMEMBERS', key)) do
  if string.sub(path, 1, #segment) == segment then
    local own = key .. ':' .. path
    local first = redis.call('ZCOUNT', own, '-inf', ARGV[4])
    local stop = redis.call('ZCOUNT', own, '-inf', ARGV[5])
    customers = customers + math.max(stop - first, 0)
    if ARGV[7] then first = math.max(first, behind(own, ARGV[7], ARGV[8])) end
    if first < stop then
      local flat = redis.call('ZRANGE', own, first, math.min(stop, first + limit) - 1, 'WITHSCORES')
      for i = 1, #flat, 2 do found[#found + 1] = {path, flat[i], flat[i + 1]} end
    end
  end
end
return {customers, found}
"""
)
"""Segmentation, segment, after an instant (ms), up to another one, limit, and the place to start after, if any: score,
member → customers, and of each path's first ones path, customer and instant; of several paths in no order."""

MEMBERS: Final = (
    _ROOT
    + _BEHIND
    + """
local key = root .. 'm:' .. ARGV[2] .. ':' .. ARGV[3]
local start = 0

if ARGV[5] then start = behind(key, ARGV[5], ARGV[6]) end
return {redis.call('ZCARD', key), redis.call('ZRANGE', key, start, start + tonumber(ARGV[4]) - 1, 'WITHSCORES')}
"""
)
"""Segmentation, segment, limit, and the place to start after, if any: score, member → count, members."""
