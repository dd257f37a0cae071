-- Settle which log the store is filled from, if nobody has settled that before.
-- One step, so that two workers on two Kafka clusters can't both believe that the store is theirs.
--
-- KEYS  1 meta   2 log
-- ARGV  1 epoch  2 the log as JSON
-- Returns the log that holds now, or nil if the store is not ours.
if not ours(KEYS[1], ARGV[1]) then return false end
redis.call('SETNX', KEYS[2], ARGV[2])
return redis.call('GET', KEYS[2])
