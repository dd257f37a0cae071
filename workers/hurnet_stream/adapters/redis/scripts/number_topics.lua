-- Give each topic a number of its own, and note its UUID.
-- One step, so that two ingest workers that meet a topic at once give it the same number.
--
-- KEYS  1 meta   2 topics
-- ARGV  1 epoch  2, 3, ... name and UUID ('' if that is not known) of each topic in turn
-- Returns all topics as JSON, or nil if the store is not ours.
if not ours(KEYS[1], ARGV[1]) then return false end
local topics = cjson.decode(redis.call('GET', KEYS[2]) or '{}')
local last, changed = 0, false
for _, topic in pairs(topics) do last = math.max(last, topic.number) end
for i = 2, #ARGV, 2 do
  local topic = topics[ARGV[i]]
  if not topic then
    last, changed = last + 1, true
    topic = {number = last, id = ''}
    topics[ARGV[i]] = topic
  end
  if topic.id == '' and ARGV[i + 1] ~= '' then topic.id, changed = ARGV[i + 1], true end
end
local encoded = next(topics) and cjson.encode(topics) or '{}'
if changed then redis.call('SET', KEYS[2], encoded) end
return encoded
