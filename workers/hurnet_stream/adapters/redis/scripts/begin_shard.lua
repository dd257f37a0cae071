-- Begin a shard: give it the store's epoch, unless it has one.
-- One step, so that no shard is begun in a store that is not ours.
--
-- KEYS  1 meta   2 shards   3 the shard's state
-- ARGV  1 epoch  2 partition
-- Returns 1 if the shard was begun, 0 if it was there already or the store is not ours.
if not ours(KEYS[1], ARGV[1]) then return 0 end
redis.call('SADD', KEYS[2], ARGV[2])
return redis.call('HSETNX', KEYS[3], 'epoch', ARGV[1])
