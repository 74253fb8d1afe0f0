# hub-failover: the bar, the rules of the clock, and waiting for them.
# shellcheck shell=bash disable=SC2016

load helper
load failover

@test "the bar tells elapsed and expected time, on a terminal and as JSON" {
    sim 0 --operation-ms=1500 -- 'go --to=eastus --progress=json 2>&1 >/dev/null | grep "^{" >bar; tail -1 bar
        jq -r .state bar | sort -u | paste -sd" "'
    has '"last":true' FailingOver
    [ "$(jq -s 'all(.what == "failover" and .expected == 600) and (map(.elapsed) | . == sort) and (.[0].left > 590)' bar)" = true ]
    rm -r state
    sim 0 --operation-ms=2800 -- 'export TERM=xterm; script -qec "hub-failover --every=0.2 --confirm=contoso --to=eastus contoso" /dev/null </dev/null'
    has "FailingOver: 0:0" " of about 10:00, 9:5"
}

@test "two a day, and the hour, by the journal; --ignore-limits leaves it to the service; --wait waits" {
    sim 0 --doubt failover-limit=409 --doubt failover-day=rolling -- 'hop() { ended go "$@" >/dev/null 2>>err; }
        for to in eastus westus eastus westus; do go --to=$to >/dev/null 2>&1 || echo no; after 3800; done
        ended go --to=eastus; asked POST /failover$; ended go --to=eastus --ignore-limits; asked POST /failover$
        control speed 20000; ended go --to=eastus --wait; control speed 1; asked POST /failover$
        jq -c "[.event, .to]" state/hubpipe/failovers.jsonl | tail -5'
    has "there were 2 failovers within a day: not before 20" "409020" "nothing has begun" \
        "there were 2 failovers within a day: waiting until 20" "has moved from westus to eastus"
    [ "$(grep -x 'ended.*\|[0-9]' <<<"$output" | paste -sd' ')" = "ended 1 4 ended 6 5 ended 0 6" ]
    has '["failed","eastus"]' '["done","eastus"]'
}

@test "clock skew: the rules go by the service's clock" {
    sim 0 -- 'export FAKETIME_DONT_FAKE_MONOTONIC=1; go --to=eastus >/dev/null 2>&1; ended timeout 20 faketime -f +2h hub-failover --every=0.1 --back --confirm=contoso contoso
        after 3700; ended timeout 20 faketime -f -3h hub-failover --every=0.1 --back --confirm=contoso contoso >lines
        cat lines; jq -c .event state/hubpipe/failovers.jsonl | wc -l'
    has "the clock of this machine is 7200 s ahead of the service's" "not before" "in 60 min" "behind the service's"
    [ "$(grep -x 'ended.*' <<<"$output" | paste -sd' ')" = "ended 1 ended 0" ]
    [ "$(sed '$d' lines | jq -r .time | head -1 | cut -c1-13)" = "$(date -ud '+3700 seconds' +%Y-%m-%dT%H)" ] ||
        [ "$(sed '$d' lines | jq -r .time | head -1 | cut -c1-13)" = "$(date -ud '+3690 seconds' +%Y-%m-%dT%H)" ]
}
