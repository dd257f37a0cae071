-- Give a lease up, if the owner holds it.
-- One step, so that a lease which has expired and is another's by now stays.
--
-- KEYS  1 lease
-- ARGV  1 owner
-- Returns 1 if it was given up, 0 if not.
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
