-- Take or renew a lease, unless another holds it.
-- One step, so that of two who ask at once one gets it.
--
-- KEYS  1 lease  2 meta
-- ARGV  1 owner  2 milliseconds  3 epoch, or '' if this process has opened no store
-- Returns who holds the lease now, or nil if the store is not ours.
if ARGV[3] ~= '' and not ours(KEYS[2], ARGV[3]) then return false end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
