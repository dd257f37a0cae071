-- Put one item that names a segment in the place of the items whose rows the segment holds.
-- One step, so that no reader sees these rows twice or not at all, and that nothing is put in the place of items
-- which lost rows, or were joined, since they were read: each of these changes counts `rewrites` up.
--
-- KEYS  1 state  2 stream  3 redacted  4 holds  5 parts
-- ARGV  1 epoch  2 `rewrites` when the items were read, or ''  3 `sealed` then, or ''
--       4 `sealed` from now on  5 `sealed-rows` from now on  6 member of redacted that names the segment
--       7, 8 range of the members of redacted whose place it takes
--       9 how many items of the stream, then their ids
--       then how many members of holds go, then these; how many come, then these; how many fields of parts go,
--       then these
-- Returns 1, or 0 if something has changed.
local epoch, rewrites, sealed, watermark =
  unpack(redis.call('HMGET', KEYS[1], 'epoch', 'rewrites', 'sealed', 'watermark'))
if epoch ~= ARGV[1] or (rewrites or '') ~= ARGV[2] or (sealed or '') ~= ARGV[3] then return 0 end
-- A shard that fell back in a failover does not hold what is to be sealed any more.
if tonumber(watermark) < tonumber(ARGV[4]) then return 0 end
local at = 9
-- At most 1,000 arguments a command, since Lua's unpack is limited by its stack.
local function each_thousand(run)
  local count = tonumber(ARGV[at])
  for first = at + 1, at + count, 1000 do run(first, math.min(first + 999, at + count)) end
  at = at + count + 1
end
each_thousand(function(first, last) redis.call('XDEL', KEYS[2], unpack(ARGV, first, last)) end)
redis.call('ZREMRANGEBYLEX', KEYS[3], ARGV[7], ARGV[8])
redis.call('ZADD', KEYS[3], 0, ARGV[6])
each_thousand(function(first, last) redis.call('ZREM', KEYS[4], unpack(ARGV, first, last)) end)
each_thousand(function(first, last)
  for i = first, last do redis.call('ZADD', KEYS[4], 0, ARGV[i]) end
end)
each_thousand(function(first, last) redis.call('HDEL', KEYS[5], unpack(ARGV, first, last)) end)
redis.call('HSET', KEYS[1], 'sealed', ARGV[4], 'sealed-rows', ARGV[5])
redis.call('HINCRBY', KEYS[1], 'rewrites', 1)
return 1
