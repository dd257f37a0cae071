-- Put a claim on a request in place of what is there, or drop it.
-- One step, so that of two gateways that get the same request at once one writes it.
--
-- KEYS  1 request
-- ARGV  1 the claim, or '' to drop it  2 what must be there, or '' for nothing  3 milliseconds until it is forgotten
-- Returns 1 if that was done, else 0; then what is there now, and the milliseconds until that is forgotten.
local held = redis.call('GET', KEYS[1]) or ''
if held ~= ARGV[2] then return {0, held, redis.call('PTTL', KEYS[1])} end
if ARGV[1] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
end
return {1, ARGV[1], tonumber(ARGV[3])}
