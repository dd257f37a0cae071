-- Register names of contexts, as long as there are fewer than the limit.
-- One step, so that two ingest workers together don't pass the limit.
--
-- KEYS  1 contexts  2 meta
-- ARGV  1 limit     2 epoch  3, 4, ... names
-- Returns those of the names that are registered now, or nil if the store is not ours.
if not ours(KEYS[2], ARGV[2]) then return false end
local admitted = {}
for i = 3, #ARGV do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 1 then
    admitted[#admitted + 1] = ARGV[i]
  elseif redis.call('SCARD', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SADD', KEYS[1], ARGV[i])
    admitted[#admitted + 1] = ARGV[i]
  end
end
return admitted
