-- Charge what was spent of a hold, let go of the rest and of the hold. A second time finds none.
--
-- KEYS  hold, index of holds, epoch
-- ARGV  request id, tokens in all, nano-dollars in all,
--       then for each provider its name, tokens, nano-dollars
-- Answers, packed: {1, epoch} when it was settled; {0, epoch} when there was no such hold; {2} when
-- Redis has forgotten all money and has not been told yet: come again.
if redis.replicate_commands then redis.replicate_commands() end

local found, epoch = unpack(redis.call('MGET', KEYS[1], KEYS[3]))
local hold = found and cmsgpack.unpack(found)
if not epoch and not (hold and #hold[2] == 0) then return cmsgpack.pack({2}) end
if not hold then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return cmsgpack.pack({0, epoch})
end

local tokens_at, digits_at = {[''] = ARGV[2]}, {[''] = ARGV[3]}
for i = 4, #ARGV, 3 do
  tokens_at[ARGV[i]], digits_at[ARGV[i]] = ARGV[i + 1], ARGV[i + 2]
end

local call, unpacked, packed = redis.call, struct.unpack, struct.pack
local budgets, rates, leases = hold[2], hold[3], hold[4]
local keys = {}
for i = 2, #budgets, 4 do keys[#keys + 1] = budgets[i] end
for i = 1, #rates, 6 do keys[#keys + 1] = rates[i] end
local values = #keys > 0 and call('MGET', unpack(keys))
local place = 0
for i = 1, #budgets, 4 do
  local spent_key, held_key, digits, who = unpack(budgets, i, i + 3)
  place = place + 1
  -- Once a period is long over its keys are gone, and nobody asks for them any more.
  if values[place] then
    if digits ~= '0' then call('DECRBY', held_key, digits) end
    local charge = digits_at[who]
    if charge and charge ~= '0' then call('INCRBY', spent_key, charge) end
  end
end
local corrected = {}
for i = 1, #rates, 6 do
  local key, begins, span, taken, who, first = unpack(rates, i, i + 5)
  place = place + 1
  local more = (first and tonumber(tokens_at[who]) or 0) - taken
  local window = more ~= 0 and (corrected[key] or values[place])
  if window then
    local was, r0, r1, t0, t1 = unpacked('<ddddd', window)
    if was == begins then t1 = t1 + more elseif was == begins + span then t0 = t0 + more end
    corrected[key] = packed('<ddddd', was, r0, r1, t0, t1)
    call('SET', key, corrected[key], 'KEEPTTL')
  end
end
for i = 1, #leases do call('ZREM', leases[i], ARGV[1]) end
call('DEL', KEYS[1])
if #budgets > 0 then call('ZREM', KEYS[2], ARGV[1]) end
return cmsgpack.pack({1, epoch})
