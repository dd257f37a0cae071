-- Let one solver and nobody else erase and compact in a shard.
-- One step, so that what is told of the past is all that an earlier solver can have done.
--
-- KEYS  1 fence   2 the shard's state
-- ARGV  1 owner   2 epoch
-- Returns the offset of the last deletion of which something was erased and the floor, -1 each if there is none; nil
-- if the shard is not ours.
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[2] then return false end
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
return {redis.call('HGET', KEYS[1], 'erased') or '-1', redis.call('HGET', KEYS[2], 'floor') or '-1'}
