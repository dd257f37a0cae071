-- Raise a shard's floor: from now on deletions up to it may be compacted away.
-- One step, so that a solver which was overtaken raises no floor after its successor has looked at it.
--
-- KEYS  1 the shard's state  2 fence
-- ARGV  1 owner  2 floor
-- Returns 1, or 0 if another solver has fenced the shard.
local owner = redis.call('HGET', KEYS[2], 'owner')
if owner and owner ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], 'owner', ARGV[1])
redis.call('HSET', KEYS[1], 'floor', ARGV[2])
return 1
