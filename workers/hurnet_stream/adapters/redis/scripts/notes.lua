-- Shared: the note of the record that is being handled alone. There is one per partition, "RECORD COUNT OWNER":
-- COUNT owners have tried this record, and OWNER was the last of them ('' if its try was taken back).
-- KEYS  1 meta  2 working of a role

-- The note of a partition: record, count and owner, or nil.
local function noted(partition)
  local note = redis.call('HGET', KEYS[2], partition .. '/record') or ''
  return string.match(note, '^(%S+) (%d+) (%S*)$')
end

local function note(partition, record, count, owner)
  redis.call('HSET', KEYS[2], partition .. '/record', string.format('%s %d %s', record, count, owner))
end

-- Take back the owner's try: it is alive and has nothing in hand, so the record did not end its process.
local function excuse(partition, owner)
  local record, count, by = noted(partition)
  if not record or by ~= owner then return end
  if tonumber(count) > 1 then
    note(partition, record, count - 1, '')
  else
    redis.call('HDEL', KEYS[2], partition .. '/record')
  end
end
