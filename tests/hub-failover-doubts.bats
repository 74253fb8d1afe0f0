# hub-failover: every way in which the service may behave that nobody has
# confirmed.
# shellcheck shell=bash disable=SC2016

load helper
load failover

@test "each doubt, in each position: the same command, the same end" {
    hub-sim --list-doubts | awk -F'\t' '/^failover-/ { n = split($3, p, "|"); for (i = 1; i <= n; i++) print $1 "=" p[i] }' >positions
    [ "$(wc -l <positions)" -ge 20 ]
    while read -r position; do
        rm -rf state r.json
        sim 0 --operation-ms=300 --doubt "$position" -- 'ended go --to=eastus --report=r.json >lines; ended go --to="East US"
            cat lines; asked POST /failover$; jq -c "[.result, .seconds.firstCall != null, (.consumerGroups | length)]" r.json'
        [ "$(grep -x '1\|\[.*' <<<"$output" | paste -sd' ')" = '1 ["done",true,3]' ] || { echo "$position: $output"; return 1; }
        has "nothing to do" '"state":"Active"' "ended 0"
    done <positions
}
