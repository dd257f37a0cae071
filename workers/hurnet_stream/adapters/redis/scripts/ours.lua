-- Shared: ours(key, epoch) tells whether the meta under `key` is that of the store with this epoch.
-- The meta may be missing, or no JSON: then it is not ours either.
local function ours(key, epoch)
  local readable, meta = pcall(cjson.decode, redis.call('GET', key) or '')
  return readable and type(meta) == 'table' and meta.epoch == epoch
end
