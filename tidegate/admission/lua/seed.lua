-- Tell a Redis that does not know what has been spent, part by part; the last part ends with an
-- epoch and the names of the budgets that are known from then on.
--
-- KEYS  epoch, set of known budgets, then spent of each balance
-- ARGV  a name for the epoch, or empty before the last part; how many budgets are known with this;
--       their names; then for each balance the name of its budget, nano-dollars, and the ms that
--       its key lives, or 0
-- Answers, packed: {epoch or empty, known budgets}.
--
-- What is known already is passed over, and no balance is ever lowered: who brings them at the same
-- time has seen as much or more.
if redis.replicate_commands then redis.replicate_commands() end

local known = {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[2])) do known[name] = true end
local names = tonumber(ARGV[2])
local at = 3 + names
for place = 3, #KEYS do
  local name, digits, lives = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  if not known[name] then
    local before = redis.call('GET', KEYS[place])
    if not before or tonumber(before) < tonumber(digits) then
      redis.call('SET', KEYS[place], digits, 'KEEPTTL')
    end
    if lives ~= '0' then redis.call('PEXPIRE', KEYS[place], lives) end
  end
end
local epoch = redis.call('GET', KEYS[1])
if ARGV[1] ~= '' then
  if not epoch then
    redis.call('SET', KEYS[1], ARGV[1])
    epoch = ARGV[1]
  end
  for i = 3, 2 + names do redis.call('SADD', KEYS[2], ARGV[i]) end
end
return cmsgpack.pack({epoch or '', redis.call('SMEMBERS', KEYS[2])})
