-- Let go of the money that a hold holds and keep the hold: its record may still come, and settles it.
--
-- KEYS  hold, index of holds, index of holds without a record
-- ARGV  request id
-- Answers 1, or 0 when there is no such hold any more.
if redis.replicate_commands then redis.replicate_commands() end

redis.call('ZREM', KEYS[2], ARGV[1])
local found = redis.call('GET', KEYS[1])
if not found then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 0
end
local hold = cmsgpack.unpack(found)
local budgets = hold[2]
for i = 2, #budgets, 4 do
  if budgets[i + 1] ~= '0' and redis.call('EXISTS', budgets[i]) == 1 then
    redis.call('DECRBY', budgets[i], budgets[i + 1])
  end
  budgets[i + 1] = '0'
end
redis.call('SET', KEYS[1], cmsgpack.pack(hold), 'KEEPTTL')
redis.call('ZADD', KEYS[3], redis.call('TIME')[1] * 1000, ARGV[1])
return 1
