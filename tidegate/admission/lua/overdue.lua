-- The requests that should be over and still hold money, the oldest first.
--
-- KEYS  index of holds
-- ARGV  how many at most, the beginning of the keys of holds, seconds of grace, now or empty
-- Answers, packed: for each its id, the Unix ms at which it should have been over, and the most
-- that it holds on one budget.
local now = tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local until_ms = string.format('%.0f', (now - ARGV[3]) * 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', until_ms,
  'WITHSCORES', 'LIMIT', '0', ARGV[1])
local overdue = {}
for i = 1, #found, 2 do
  local packed, most = redis.call('GET', ARGV[2] .. found[i]), 0
  local budgets = packed and cmsgpack.unpack(packed)[2] or {}
  for j = 3, #budgets, 4 do most = math.max(most, tonumber(budgets[j])) end
  overdue[#overdue + 1] = {found[i], tonumber(found[i + 1]), most}
end
return cmsgpack.pack(overdue)
