-- Charge money that is not held here, once for each mark.
--
-- KEYS  mark, epoch, then spent and held of each budget
-- ARGV  ms to keep the mark, Unix µs of the spending, then for each budget nano-dollars and the
--       ms that its keys live, or 0
-- Answers, packed: {1, epoch} when it was charged; {0, epoch} when it was before, or stood in the
-- balances that this epoch began with; {2} when Redis waits for balances: come again.
--
-- An epoch's name begins with the Unix µs at which its balances were asked for: everything that
-- was recorded until then stands in them.
if redis.replicate_commands then redis.replicate_commands() end

local epoch = redis.call('GET', KEYS[2])
if not epoch then return cmsgpack.pack({2}) end
if tonumber(ARGV[2]) < tonumber(string.match(epoch, '^%d+')) then
  return cmsgpack.pack({0, epoch})
end
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then
  return cmsgpack.pack({0, epoch})
end
local place = 3
for at = 3, #ARGV, 2 do
  for i = place, place + 1 do
    if redis.call('SETNX', KEYS[i], '0') == 1 and ARGV[at + 1] ~= '0' then
      redis.call('PEXPIRE', KEYS[i], ARGV[at + 1])
    end
  end
  redis.call('INCRBY', KEYS[place], ARGV[at])
  place = place + 2
end
return cmsgpack.pack({1, epoch})
