"""Reads of the view, each one step, in Lua: the generation and its content together, so that no swap comes between.

All take the key prefix first, and answer nothing while no generation can be read.
"""

from __future__ import annotations

from typing import Final

ROOT: Final = """
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

local function is_at(key, rank, score, member)
  local found = redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')
  return found[1] == member and tonumber(found[2]) == tonumber(score)
end
"""

LOOK_UP: Final = (
    ROOT
    + """
local found = {}
for i = 2, #ARGV do found[i - 1] = redis.call('HGETALL', root .. 'c:' .. ARGV[i]) end
return found
"""
)
"""Customer ids → a hash each."""

NEWEST_MODELS: Final = (
    ROOT
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
    ROOT
    + """
return redis.call('HVALS', root .. 'models:' .. ARGV[2])
"""
)
"""Segmentation → all documents."""

FIGURES: Final = (
    ROOT
    + """
return redis.call('HVALS', root .. 'figures:' .. ARGV[2])
"""
)
"""Segmentation → the figures of each partition."""

FLOWS: Final = (
    ROOT
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
    ROOT
    + """
local newest = redis.call('XREVRANGE', prefix .. 'feed', '+', '-', 'COUNT', 1)[1]
local has_money, segments, sizes, flows, money, totals = ARGV[3] == '1', tonumber(ARGV[4]), {}, {}, {}, {}
for i = 1, segments do sizes[i] = redis.call('ZCARD', root .. 'm:' .. ARGV[2] .. ':' .. ARGV[4 + i]) end
for i = segments + 5, #ARGV do
  flows[#flows + 1] = redis.call('HGETALL', root .. 'f:' .. ARGV[2] .. ':' .. ARGV[i])
  if has_money then money[#money + 1] = redis.call('HGETALL', root .. 'v:' .. ARGV[2] .. ':' .. ARGV[i]) end
end
if has_money then totals = redis.call('HGETALL', root .. 't:' .. ARGV[2]) end
local known_from = ''
for _, day in ipairs(redis.call('SMEMBERS', root .. 'd:' .. ARGV[2])) do
  if known_from == '' or day < known_from then known_from = day end
end
return {newest and newest[1] or '0-0', sizes, flows, totals, known_from, money}
"""
)
"""Segmentation, `1` for money, too, how many segments, their ids, days → id of the newest migration, sizes, a hash of
flows each day, the totals of all days, the first day of all that there are flows of, and a hash of money each day."""

FLOWS_BY_DAY: Final = (
    ROOT
    + """
local found = {}
for i = 3, #ARGV do found[i - 2] = redis.call('HGETALL', root .. 'f:' .. ARGV[2] .. ':' .. ARGV[i]) end
return found
"""
)
"""Segmentation, days → a hash of flows each day."""

MODEL: Final = (
    ROOT
    + """
local key = root .. 'models:' .. ARGV[2]
return redis.call('HGET', key, ARGV[3]) or redis.call('HGET', key, ARGV[3] .. '/held') or ''
"""
)
"""Segmentation, version → its document, the published one if there is one; empty if there is none."""

CONDITION: Final = (
    ROOT
    + """
local newest = redis.call('XREVRANGE', prefix .. 'feed', '+', '-', 'COUNT', 1)[1]
return {
  redis.call('HGETALL', root .. 'position'), newest and newest[1], redis.call('HGET', root .. 'told', 'follower')
}
"""
)
"""→ the positions, the id of the newest migration, and what the follower tells of itself."""

AHEAD: Final = (
    ROOT
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
    ROOT
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
    ROOT
    + _BEHIND
    + """
local key, limit = root .. 'm:' .. ARGV[2] .. ':' .. ARGV[3], tonumber(ARGV[4])
local first, stop = redis.call('ZCOUNT', key, '-inf', '(' .. ARGV[5]), redis.call('ZCARD', key)
local customers = stop - first
if ARGV[6] == 'newest' then
  if ARGV[7] then
    local place = behind(key, ARGV[7], ARGV[8])
    if place > 0 and is_at(key, place - 1, ARGV[7], ARGV[8]) then place = place - 1 end
    stop = math.min(stop, place)
  end
  first = math.max(first, stop - limit)
else
  if ARGV[7] then first = math.max(first, behind(key, ARGV[7], ARGV[8])) end
  stop = math.min(stop, first + limit)
end
if first >= stop then return {customers, {}} end
return {customers, redis.call('ZRANGE', key, first, stop - 1, 'WITHSCORES')}
"""
)
"""Segmentation, segment, limit, the first instant of entering (ms, or -inf), `longest` or `newest`, and the place to
start after, if any: score, member → count, members, the longest there first in any case."""

HISTORY: Final = (
    ROOT
    + """
return redis.call('LRANGE', root .. 'h:' .. ARGV[2], 0, -1)
"""
)
"""Customer id → its newest migrations, the last one that came first."""
