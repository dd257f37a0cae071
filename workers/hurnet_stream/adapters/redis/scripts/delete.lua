-- Delete entries of a shard, if the shard's watermark is the expected one.
-- One step, so that what is found to delete is what is marked as deleted and what readers are told, and no
-- append comes in between. A step looks at a bounded number of targets. If there are more, they are kept as
-- a numbered part, the watermark stays, and the caller asks again; readers see nothing before the last step.
--
-- KEYS  1 state  2 stream  3 keys  4 pending  5 parts  6 sizes  7 holds
-- ARGV  1 expected watermark  2 new watermark (the offset of the deletion's record)  3 id of the stream item
--       4 epoch  5 anchor of the record, or ''  6 deletion  7 offset of the record (8 bytes)
--       8, 9 range of members of keys whose entries are to be deleted, or '' and ''  10 at most how many
--       11 '1' if the caller knows that more is to come, or ''  12 name of a context that is dropped, or ''
--       13 targets without an entry (8 bytes each): readers are told of them, and nothing is to be erased
--       14 number n of members of holds that are done with, then these n members
--       and at the end the targets that have an entry (8 bytes each)
-- Returns {1, watermark, rows, epoch} once all is deleted, {2, ...} if more is to come, {0, ...} if refused.
local watermark, rows, epoch = unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch'))
local expected, new, id, ours, anchor, deletion, record = unpack(ARGV, 1, 7)
local from, to, most, more, dropped, absent, members = unpack(ARGV, 8, 14)
if (watermark or '-1') ~= expected or epoch ~= ours then return {0, watermark, rows, epoch} end
local begun, replacing = unpack(redis.call('HMGET', KEYS[1], 'deleting', 'replacing'))
if begun and tonumber(begun) < tonumber(new) then finish(begun, rows, ours) end
-- A text that began to replace others and never came: this record is behind it. What it took is gone.
if replacing and tonumber(replacing) < tonumber(new) then
  local taken, parts = take_parts(replacing)
  redis.call('XADD', KEYS[2], string.format('%d-0', tonumber(replacing) + 1), 'format', '3', 'row', rows or '0',
    'epoch', ours, 'deletion', taken, 'targets', '', 'by', '', 'parts', parts)
elseif replacing == new then
  take_parts(replacing)  -- the parts have the name of this deletion, which goes on with them
end

-- An entry is deleted once only, by whichever record comes first: the solver takes out what it finds among
-- the targets, and it must not take out the same entry twice.
local targets = {absent}
local function target(offset)
  if #redis.call('ZRANGEBYLEX', KEYS[4], '[' .. offset, '[' .. offset .. '\255', 'LIMIT', 0, 1) == 0 then
    redis.call('ZADD', KEYS[4], 0, offset .. record)
    targets[#targets + 1] = offset
  end
end

for i = 15 + tonumber(members), #ARGV do target(ARGV[i]) end
for i = 15, 14 + tonumber(members) do redis.call('ZREM', KEYS[7], ARGV[i]) end
if from ~= '' then
  local found = redis.call('ZRANGEBYLEX', KEYS[3], from, to, 'LIMIT', 0, most)
  for _, member in ipairs(found) do target(string.sub(member, -8)) end
  if #found > 0 then redis.call('ZREM', KEYS[3], unpack(found)) end
  if #found == tonumber(most) then more = '1' end
end

-- More is to come: keep these targets as the next part, and what `finish` needs if the caller never returns.
if more ~= '' then
  local part = redis.call('HINCRBY', KEYS[5], new, 1)
  redis.call('HSET', KEYS[5], new .. '/' .. part, table.concat(targets), 'id', id, 'deletion', deletion)
  redis.call('HSET', KEYS[1], 'deleting', new)
  return {2, watermark, rows, ours}
end

redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', ours, 'deletion', deletion,
  'targets', table.concat(targets), 'parts', redis.call('HGET', KEYS[5], new) or '0')
-- The context's next entry, if one ever comes, is its first.
if dropped ~= '' then redis.call('HDEL', KEYS[6], dropped .. '/first') end
redis.call('HDEL', KEYS[1], 'deleting')
redis.call('HDEL', KEYS[5], 'id', 'deletion')
redis.call('HSET', KEYS[1], 'watermark', new)
if anchor ~= '' then redis.call('HSET', KEYS[1], 'anchor', anchor) end
return {1, new, rows or '0', ours}
