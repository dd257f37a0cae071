-- Put another value in the place of the one that was read: of the generations, or of the log of one of them.
-- One step, so that of two who change it at once one does, and the other looks again.
--
-- KEYS  1 the value's key
-- ARGV  1 the value that was read, or '' if there was none  2 the new one
-- Returns 1, or 0 if another value stands there by now.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
