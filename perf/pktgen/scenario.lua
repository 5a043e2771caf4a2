-- SPDX-License-Identifier: BSD-3-Clause
-- What Pktgen runs for perf/pktgen/run: UDP towards weir's echo port out of port 0 and back into it. Parameters come through
-- the environment; each figure is a line "name<TAB>metric<TAB>value" in the file WEIR_OUT, and "done" is the last one.

local PORT = "0"
local SETTLE_MS = 2500 -- Pktgen reads a port's counters once a second

local function setting(name)
    return (assert(os.getenv(name), name .. " is not set"))
end

local mode = setting("WEIR_MODE")
local seconds = tonumber(setting("WEIR_SECONDS"))
local loss_allowed = tonumber(setting("WEIR_LOSS"))
local out = assert(io.open(setting("WEIR_OUT"), "w"))

local function write(name, metric, value)
    out:write(string.format("%s\t%s\t%.10g\n", name, metric, value))
    out:flush()
end

local function numbers(text)
    local list = {}
    for word in text:gmatch("[^,]+") do
        list[#list + 1] = tonumber(word)
    end
    return list
end

-- No ARP: weir's echo sends a frame back to the address it came from, and Pktgen is told weir's.
local function set_up()
    pktgen.screen("off")
    pktgen.set_mac(PORT, "dst", setting("WEIR_MAC"))
    pktgen.set_ipaddr(PORT, "dst", setting("WEIR_DST"))
    pktgen.set_ipaddr(PORT, "src", setting("WEIR_SRC"))
    pktgen.set_type(PORT, "ipv4")
    pktgen.set_proto(PORT, "udp")
    pktgen.set(PORT, "sport", 4096)
    pktgen.set(PORT, "dport", 7)
    pktgen.set(PORT, "count", 0)
end

-- Frames sent and received back in one trial. `rate`: percent of the link's speed; `size`: with FCS.
local function trial(size, rate, trial_seconds)
    pktgen.set(PORT, "size", size)
    pktgen.set(PORT, "rate", rate)
    pktgen.clr()
    pktgen.start(PORT)
    pktgen.delay(math.floor(trial_seconds * 1000))
    pktgen.stop(PORT)
    pktgen.delay(SETTLE_MS)
    local stats = pktgen.portStats(PORT, "port")[tonumber(PORT)]
    return stats.opackets, stats.ipackets
end

local function lost(sent, received)
    return sent > received and (sent - received) / sent or 0
end

local function throughput(size)
    local sent, received = trial(size, 100, seconds)
    local name = string.format("pktgen throughput %d B", size)
    write(name, "tx_pps", sent / seconds)
    write(name, "rx_pps", received / seconds)
    write(name, "loss", lost(sent, received))
end

-- RFC 2544 26.1: the highest rate without loss (or with no more than WEIR_LOSS), by halving. Counts decide, not rates.
local function search(size)
    local low, high, best = 0, 100, 0
    local rate = 100
    for _ = 1, tonumber(setting("WEIR_STEPS")) do
        local sent, received = trial(size, rate, seconds)
        if sent > 0 and lost(sent, received) <= loss_allowed then
            low, best = rate, received / seconds
            if rate == 100 then
                break
            end
        else
            high = rate
        end
        rate = (low + high) / 2
    end
    return low, best
end

local function rfc2544(size)
    local rate, pps = search(size)
    local name = string.format("pktgen rfc2544 %d B", size)
    write(name, "ndr_percent", rate)
    write(name, "ndr_pps", pps)
end

-- Probes with a time stamp among the load, one each 10 ms; Pktgen writes each one's nanoseconds to a file of its own.
local function latency(size, rate)
    local samples = string.format("%s.%d.%g", setting("WEIR_OUT"), size, rate)
    pktgen.latsampler_params(PORT, "simple", 50000, 1000, samples)
    pktgen.latency(PORT, "on")
    pktgen.latsampler(PORT, "on")
    local sent, received = trial(size, rate, seconds)
    local probes = pktgen.pktStats(PORT)[tonumber(PORT)].latency
    pktgen.latsampler(PORT, "off")
    pktgen.latency(PORT, "off")
    local name = string.format("pktgen latency %d B at %g%%", size, rate)
    write(name, "rx_pps", received / seconds)
    write(name, "loss", lost(sent, received))
    write(name, "probes", probes.num_pkts)
    write(name, "min_us", probes.min_us)
    write(name, "max_us", probes.max_us)
end

local function main()
    set_up()
    for _, size in ipairs(numbers(setting("WEIR_SIZES"))) do
        if mode == "throughput" then
            throughput(size)
        elseif mode == "rfc2544" then
            rfc2544(size)
        else
            for _, rate in ipairs(numbers(setting("WEIR_RATES"))) do
                latency(size, rate)
            end
        end
    end
    out:write("done\n")
    out:close()
end

local ok, why = pcall(main)
if not ok then
    out:write("failed: " .. tostring(why) .. "\n")
    out:close()
end
pktgen.quit()
