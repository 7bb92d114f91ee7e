-- Hold everything that a request needs on all its scopes, or nothing: check all, then take all.
--
-- KEYS  hold, index of holds, epoch, then the keys of each limit in the order of ARGV
-- ARGV  request id; 1 to extend its hold; tokens, nano-dollars; the same in all, with what is held
--       already; seconds until it is over; ms to keep money and holds of it; Unix ms of its
--       beginning; now in seconds, or empty for the clock of Redis; ms to keep the rest; then for
--       each limit its letter and numbers:
--         p  provider                       what follows is charged with what is spent there
--         x                                 what follows is held already: of it more is wanted
--         n                                 no longer so
--         r  seconds, requests, tokens, ms   the rates of one window; empty is no limit; what is
--                                            kept of it lives so many ms
--         c  limit                          concurrency
--         s  limit                          steps of a conversation
--         b  limit, ends                    a budget: keys of spent and held; ends in Unix ms or 0
-- Answers, packed: {0, epoch, requests, tokens, heard} with {place in KEYS, left, seconds until all
-- is there again} or false for the tightest of each kind; {1, reached, heard} with, for each limit
-- that is in the way, {place, 'r' | 't', begin, previous, current, now}, {place, 'c' | 's'} or
-- {place, 'b', spent, held}; {2} when balances must be brought first; {3} when there is no hold to
-- extend. What is heard is spent and held of each budget, from now on.
--
-- Money is exact: limits are below 2^53, rounded sums compare with them as the sums themselves do,
-- and what is added are the caller's own digits. Rates are counted as tidegate/admission/rates.py
-- does, with the same operations in the same order.
if redis.replicate_commands then redis.replicate_commands() end

local function whole(number)
  return string.format('%.0f', number)
end

local id, extends = ARGV[1], ARGV[2] == '1'
local lasts, kept, began = tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
local now, idle = tonumber(ARGV[10]), ARGV[11]
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local call, floor, unpacked, packed = redis.call, math.floor, struct.unpack, struct.pack
local values = call('MGET', unpack(KEYS))
local epoch = values[3]

local hold
if values[1] then
  if not extends then return redis.error_reply('HELD this request is held already') end
  hold = cmsgpack.unpack(values[1])
elseif extends then
  return cmsgpack.pack({3})
else
  hold = {(now + lasts) * 1000, {}, {}, {}}
end
-- Whole milliseconds: a short ZSET reads its scores anew each time, and fractions take it long.
local ends_at, refreshes = whole((now + lasts) * 1000), math.floor(now * 1000) % 16 == 0
local budgets, rates, leases = hold[2], hold[3], hold[4]

local heard, after, reached = {}, {}, {}
local windows, taken, sums, lives = {}, {}, {}, {}
local tightest = {r = false, t = false}

local function weigh(place, what, limit, previous, current, count, span, begins, at)
  local ends = begins + span
  local left = limit - current - previous * (ends - at) / span
  if count > 0 and left < count then
    reached[#reached + 1] = {place, what, begins, previous, current, at}
    return
  end
  local best = tightest[what]
  if not best or left - count < best[2] then
    local reset = 0
    if current + count > 0 then reset = ends + span - at
    elseif previous > 0 then reset = ends - at end
    tightest[what] = {place, left - count, reset}
  end
end

local who, already, place, at = '', false, 4, 12
local tokens, digits = tonumber(ARGV[5]), ARGV[6]
while ARGV[at] do
  local letter = ARGV[at]
  if letter == 'p' then
    who, at = ARGV[at + 1], at + 2
  elseif letter == 'x' then
    already, at, tokens, digits = true, at + 1, tonumber(ARGV[3]), ARGV[4]
  elseif letter == 'n' then
    already, at, tokens, digits = false, at + 1, tonumber(ARGV[5]), ARGV[6]
  elseif letter == 'r' then
    local span = tonumber(ARGV[at + 1])
    local begins, r0, r1, t0, t1 = floor(now / span) * span, 0, 0, 0, 0
    if values[place] then
      local was
      was, r0, r1, t0, t1 = unpacked('<ddddd', values[place])
      if was == begins - span then
        r0, r1, t0, t1 = r1, 0, t1, 0
      elseif was == begins + span then -- the clock was set back a little: that frees nothing
        begins = was
      elseif was ~= begins then
        r0, r1, t0, t1 = 0, 0, 0, 0
      end
    end
    local then_ = now > begins and now or begins
    local requests_most, tokens_most = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    if requests_most and not already then
      weigh(place, 'r', requests_most, r0, r1, 1, span, begins, then_)
    end
    if tokens_most then weigh(place, 't', tokens_most, t0, t1, tokens, span, begins, then_) end
    if not already then r1 = r1 + 1 end
    local w, n = #windows, #rates
    windows[w + 1], windows[w + 2] = KEYS[place], packed('<ddddd', begins, r0, r1, t0, t1 + tokens)
    windows[w + 3] = ARGV[at + 4]
    rates[n + 1], rates[n + 2], rates[n + 3] = KEYS[place], begins, span
    rates[n + 4], rates[n + 5], rates[n + 6] = tokens, who, not already
    place, at = place + 1, at + 5
  elseif letter == 'c' then
    if not already then
      local most = tonumber(ARGV[at + 1])
      local count = call('ZCARD', KEYS[place])
      if count >= most and count > 0 then
        call('ZREMRANGEBYSCORE', KEYS[place], '-inf', whole(now * 1000))
        count = call('ZCARD', KEYS[place])
      end
      if count >= most then reached[#reached + 1] = {place, 'c'} end
      leases[#leases + 1] = KEYS[place]
      taken[#taken + 1] = KEYS[place]
      -- Its life is made longer now and then only: each call costs as much as the rest.
      if count == 0 or refreshes then lives[#lives + 1], lives[#lives + 2] = KEYS[place], kept end
    end
    place, at = place + 1, at + 2
  elseif letter == 's' then
    if not already then
      local most, before = tonumber(ARGV[at + 1]), tonumber(values[place] or '0')
      if before >= most then reached[#reached + 1] = {place, 's'} end
      sums[#sums + 1], sums[#sums + 2] = KEYS[place], '1'
      lives[#lives + 1], lives[#lives + 2] = KEYS[place], idle
    end
    place, at = place + 1, at + 2
  else
    if not epoch then return cmsgpack.pack({2}) end
    local most, ends = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local spent, held = tonumber(values[place] or '0'), tonumber(values[place + 1] or '0')
    local more, m = tonumber(digits), #heard
    heard[m + 1], heard[m + 2] = spent, held
    after[m + 1], after[m + 2] = spent, held + more
    if more > 0 and spent + held + more > most then
      reached[#reached + 1] = {place, 'b', spent, held}
    end
    for i = place, place + 1 do
      if not values[i] then
        sums[#sums + 1], sums[#sums + 2] = KEYS[i], '0'
        if ends > 0 then
          local ms = whole(math.max(0, ends - began) + kept)
          lives[#lives + 1], lives[#lives + 2] = KEYS[i], ms
        end
      end
    end
    if more > 0 then sums[#sums + 1], sums[#sums + 2] = KEYS[place + 1], digits end
    local found
    if already then
      for i = 1, #budgets, 4 do
        if budgets[i + 1] == KEYS[place + 1] then
          budgets[i + 2], found = whole(budgets[i + 2] + more), true
        end
      end
    end
    if not found then
      local n = #budgets
      budgets[n + 1], budgets[n + 2] = KEYS[place], KEYS[place + 1]
      budgets[n + 3], budgets[n + 4] = digits, who
    end
    place, at = place + 2, at + 3
  end
end

if #reached > 0 then return cmsgpack.pack({1, reached, heard}) end
for i = 1, #windows, 3 do call('SET', windows[i], windows[i + 1], 'PX', windows[i + 2]) end
for i = 1, #taken do call('ZADD', taken[i], ends_at, id) end
for i = 1, #sums, 2 do call('INCRBY', sums[i], sums[i + 1]) end
for i = 1, #lives, 2 do call('PEXPIRE', lives[i], lives[i + 1]) end
call('SET', KEYS[1], cmsgpack.pack(hold), 'PX', #budgets > 0 and kept or idle)
if #budgets > 0 then call('ZADD', KEYS[2], whole(hold[1]), id) end
return cmsgpack.pack({0, epoch, tightest.r, tightest.t, after})
