"""Reads of the view for figures, each one step, in Lua; see `stream_app.api.scripts`."""

from __future__ import annotations

from typing import Final

from stream_app.api.scripts import ROOT

DRAW: Final = (
    ROOT
    + """
local key, found = root .. 'm:' .. ARGV[2] .. ':' .. ARGV[3], {}
for i = 4, #ARGV do
  local customer = redis.call('ZRANGE', key, ARGV[i], ARGV[i])[1]
  if customer then found[#found + 1] = customer end
end
return found
"""
)
"""Segmentation, segment, ranks → the customers of these ranks, as far as there are any now."""

PLACES: Final = (
    ROOT
    + """
local segmentations, names, found = tonumber(ARGV[2]), {}, {}
for i = 1, segmentations do names[i] = ARGV[2 + i] end
for i = segmentations + 3, #ARGV do
  local row = {}
  local values = redis.call('HMGET', root .. 'c:' .. ARGV[i], unpack(names))
  for j = 1, segmentations do row[j] = values[j] and string.match(values[j], '^%d+ (%S+)') or '' end
  found[#found + 1] = row
end
return found
"""
)
"""How many segmentations, their names, customers → of each customer the segment in each, empty for none."""

HISTORIES: Final = (
    ROOT
    + """
local found = {}
for i = 2, #ARGV do
  local row = {}
  for _, past in ipairs(redis.call('LRANGE', root .. 'h:' .. ARGV[i], 0, -1)) do
    local segmentation, segment, at, cause = string.match(
      past, '^%["([^"]*)","?([^",]*)"?,(%-?%d+),%-?%d+,%d+,[^%[]*%[%d+,[^,]*,"[^"]*","([^"]*)"')
    if segmentation then
      row[#row + 1] = segmentation
      row[#row + 1] = segment
      row[#row + 1] = at
      row[#row + 1] = cause
    end
  end
  found[#found + 1] = row
end
return found
"""
)
"""Customers → of each the moves that are kept, the newest first: segmentation, segment entered (`null` for none),
effective (ms), cause, …"""

SINCE: Final = (
    ROOT
    + """
local shares, found = tonumber(ARGV[3]), {}
for i = shares + 4, #ARGV do
  local key, instants = root .. 'm:' .. ARGV[2] .. ':' .. ARGV[i], {}
  local members = redis.call('ZCARD', key)
  if members > 0 then
    for j = 1, shares do
      local rank = math.floor(tonumber(ARGV[3 + j]) * (members - 1) + 0.5)
      instants[j] = redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')[2]
    end
  end
  found[#found + 1] = instants
end
return found
"""
)
"""Segmentation, how many shares, shares, segments → of each segment the instants by which these shares had come."""

BUYERS: Final = (
    ROOT
    + """
return redis.call('HVALS', root .. 'buyers')
"""
)
"""→ the newest sample of each partition."""

REFUSED: Final = (
    ROOT
    + """
local days, by_day, examples = tonumber(ARGV[2]), {}, {}
for i = 1, days do by_day[i] = redis.call('HGETALL', root .. 'r:' .. ARGV[2 + i]) end
for i = days + 3, #ARGV do examples[#examples + 1] = redis.call('LRANGE', root .. 'x:' .. ARGV[i], 0, -1) end
return {by_day, examples}
"""
)
"""How many days, days, reasons → of each day reason and count, …; of each reason its newest records."""
