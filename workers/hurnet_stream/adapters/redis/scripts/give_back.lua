-- Give the name of a context back, of which no shard holds a row.
-- One step, so that no name is taken from a store that is not ours.
--
-- KEYS  1 contexts  2 meta
-- ARGV  1 name      2 epoch
-- Returns 1 if the name was given back, 0 if nobody had it, nil if the store is not ours.
if not ours(KEYS[2], ARGV[2]) then return false end
return redis.call('SREM', KEYS[1], ARGV[1])
