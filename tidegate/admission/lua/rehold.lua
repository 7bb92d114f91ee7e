-- Hold again what a request held before Redis forgot it: whatever is left, it is being spent.
--
-- KEYS  hold, index of holds, then spent and held of each budget
-- ARGV  request id, Unix ms until which it may last, ms to keep it, then for each budget
--       nano-dollars, provider or empty, and the ms that its keys live, or 0
-- Answers 1, or 0 when there is such a hold.
if redis.replicate_commands then redis.replicate_commands() end

if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local budgets, place = {}, 3
for at = 4, #ARGV, 3 do
  for i = place, place + 1 do
    if redis.call('SETNX', KEYS[i], '0') == 1 and ARGV[at + 2] ~= '0' then
      redis.call('PEXPIRE', KEYS[i], ARGV[at + 2])
    end
  end
  redis.call('INCRBY', KEYS[place + 1], ARGV[at])
  local n = #budgets
  budgets[n + 1], budgets[n + 2] = KEYS[place], KEYS[place + 1]
  budgets[n + 3], budgets[n + 4] = ARGV[at], ARGV[at + 1]
  place = place + 2
end
local hold = cmsgpack.pack({tonumber(ARGV[2]), budgets, {}, {}})
redis.call('SET', KEYS[1], hold, 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
