#!/bin/bash
# Which hosts the next attempt of a sweep should do without: slurm/avoid.sh OUT [JOB RESTART]
# Prints HOST <tab> WHY a line, from OUT/attempts alone. JOB RESTART: the attempt that runs now, not to be judged.
#
# A host is to be avoided when its GPU reported a fault (event=device_failed), or when two attempts failed on it:
# event=node_failed, event=stalled, an event=shard_failed or event=end whose cause or outcome is the place, or ranks of
# it that began and never ended. An attempt that failed on more than half of its hosts says nothing of a host (the
# storage, say, or the whole job killed), and is passed over; a shard that failed on several hosts is itself the fault;
# ranks that never ended count only where no event tells more.
set -eu
export LC_ALL=C

out=$1
now="${2:--}/${3:-0}"
shopt -s nullglob
files=("$out"/attempts/*.log)
[ ${#files[@]} != 0 ] || exit 0

awk -v now="$now" '
    # The value of name=... in the line, to the next space or, in quotes, to the closing one.
    function value(name,   at, rest) {
        at = index(" " $0, " " name "=")
        if (!at) return ""
        rest = substr($0, at + length(name) + 1)
        if (substr(rest, 1, 1) == "\"") {
            rest = substr(rest, 2)
            sub(/".*/, "", rest)
        } else sub(/ .*/, "", rest)
        return rest
    }
    # The value of name=... inside the detail.
    function inner(detail, name,   at, rest) {
        at = index(" " detail, " " name "=")
        if (!at) return ""
        rest = substr(detail, at + length(name) + 1)
        sub(/ .*/, "", rest)
        return rest
    }
    # What an event names explains the ranks that never ended as well: the others were killed along with it.
    function fail(attempt, host, why) {
        explained[attempt] = 1
        remember(attempt, host, why)
    }
    function remember(attempt, host, why) {
        if (!((attempt, host) in failed)) order[++n_order] = attempt SUBSEP host
        failed[attempt, host] = why
    }
    # The ranks of a file that ended are known at its end; a file is one attempt of one rank.
    function close_file() {
        if (open_since != "") { n_open++; open_attempt[n_open] = open_since; open_on[n_open] = open_host }
        open_since = ""
        attempt = "?"
    }
    FNR == 1 { close_file() }
    { event = value("event"); host = value("host"); detail = value("detail") }
    { sub(/\..*/, "", host) } # ranks may know it with its domain, Slurm seldom does
    event == "begin" {
        attempt = inner(detail, "job") "/" (inner(detail, "restart") + 0)
        if (inner(detail, "job") == "-" || inner(detail, "job") == "") { # outside Slurm
            attempt = FILENAME
            sub(/-rank[^/]*$/, "", attempt)
        }
        began[attempt, host] = 1
        open_since = attempt
        open_host = host
    }
    event == "end" {
        open_since = ""
        if (inner(detail, "outcome") == "place") fail(attempt, host, "a fault of the place")
    }
    event == "stalled" { fail(attempt, host, "stalled") }
    event == "shard_failed" {
        explained[attempt] = 1
        shard = inner(detail, "shard")
        if (!((shard, host) in shard_on)) hosts_of[shard]++
        shard_on[shard, host] = 1
        n_shard++
        shard_attempt[n_shard] = attempt
        shard_host[n_shard] = host
        shard_of[n_shard] = shard
        shard_why[n_shard] = "a shard failed (" inner(detail, "cause") ")"
    }
    event == "node_failed" { fail(inner(detail, "job") "/" (inner(detail, "restart") + 0), host, "the node failed") }
    event == "device_failed" && !(host in device) { device[host] = detail == "" ? "its GPU failed" : detail }
    END {
        close_file()
        for (i = 1; i <= n_open; i++)
            if (!(open_attempt[i] in explained)) remember(open_attempt[i], open_on[i], "a rank began and never ended")
        for (i = 1; i <= n_shard; i++)
            if (hosts_of[shard_of[i]] == 1) remember(shard_attempt[i], shard_host[i], shard_why[i])
        for (key in began) { split(key, part, SUBSEP); n_hosts[part[1]]++ }
        for (key in failed) { split(key, part, SUBSEP); n_failed[part[1]]++ }
        for (i = 1; i <= n_order; i++) {
            split(order[i], part, SUBSEP)
            if (part[1] == now) continue
            if (2 * n_failed[part[1]] > n_hosts[part[1]] && n_hosts[part[1]] > 0) continue
            times[part[2]]++
            why[part[2]] = failed[order[i]]
        }
        for (host in times)
            if (times[host] >= 2 && !(host in device))
                print host "\t" times[host] " attempts failed on it, the last: " why[host]
        for (host in device) print host "\tits GPU failed: " device[host]
    }' "${files[@]}" | sort
