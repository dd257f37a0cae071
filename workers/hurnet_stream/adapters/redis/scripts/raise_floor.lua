-- Raise a shard's floor: from now on deletions up to it may be compacted away.
-- One step, so that the floor never passes the saved checkpoint: a solver that goes on from that checkpoint
-- must be given every deletion that its statistics do not know.
--
-- KEYS  1 the shard's state  2 owner of the solver's role  3 checkpoint
-- ARGV  1 owner  2 stamp of the checkpoint that covers the floor  3 floor
-- Returns 1, or 0 if another solver holds the role, or another checkpoint is stored.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[3], 'stamp') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'floor', ARGV[3])
return 1
