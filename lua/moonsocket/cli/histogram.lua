-- Times by how often they were seen: any number of them in little memory, to a precision of 1 in 256 or better.

local histogram = {}
histogram.__index = histogram

-- Up to 512 each number has a bucket of its own; from there on each power of two has 256 of them.
local HALF = 256

local function bucket_of(n)
  local shift = 0
  while n >> shift >= 2 * HALF do shift = shift + 1 end
  return shift * HALF + (n >> shift)
end

-- The largest number that falls into a bucket.
local function top_of(bucket)
  local shift = math.max(0, bucket // HALF - 1)
  return ((bucket - shift * HALF + 1) << shift) - 1
end

--- Counts a time: an integer of 0 or more, in the unit that the caller has in mind.
function histogram:add(n)
  local bucket = bucket_of(n)
  self.buckets[bucket] = (self.buckets[bucket] or 0) + 1
  self.count = self.count + 1
  self.sum = self.sum + n
  if n > self.max then self.max = n end
  if bucket > self.last then self.last = bucket end
end

--- What so many per cent of the times are at most; nil: there are none.
function histogram:percentile(percent)
  local wanted, seen = math.ceil(self.count * percent / 100), 0
  if self.count == 0 then return nil end
  for bucket = 0, self.last do
    seen = seen + (self.buckets[bucket] or 0)
    if seen >= math.max(wanted, 1) then return math.min(top_of(bucket), self.max) end
  end
end

return function() return setmetatable({ buckets = {}, count = 0, sum = 0, max = 0, last = 0 }, histogram) end
