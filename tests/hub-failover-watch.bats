# hub-failover: two at once, hubs that hide, journals that are lost.
# shellcheck shell=bash disable=SC2016

load helper
load failover

@test "two operators at once: one request counts, both watch, both end well" {
    sim 0 --operation-ms=1500 -- 'go --to=eastus --journal=one >lines 2>&1 & first=$!; await begun
        ended go --to=eastus --journal=two --report=r.json; wait $first; echo "first $?"; asked POST /failover$
        jq -c "[.result, .began, .seconds.active != null]" r.json; jq -r .event two; jq -r .event one | paste -sd" "'
    has "a failover is under way; watching it" "since this watch began, later than it" "ended 0" $'first 0\n1' \
        '["done",null,true]' "asked begun done"
    # Both saw it Active, and the other's request came a moment sooner.
    sim 0 --operation-ms=1500 -- 'fault "method=POST,path=*/failover,skip=0,do=delay:1"
        (await test -s other; by_microsoft) & fault "method=POST,path=*/listkeys,do=delay:700"
        (await asked POST listkeys; echo >other) & ended go --to=eastus; asked POST /failover$'
    has "it is under way all the same" "has moved from westus to eastus"
    [ "$(grep -x 'ended.*\|[0-9]' <<<"$output" | paste -sd' ')" = "ended 0 1" ]
}

@test "another is under way to the other region: watched, and said to have ended elsewhere" {
    sim 0 --operation-ms=1200 -- 'go --to=eastus >lines 2>&1 & await begun; ended go --to=westus --journal=two --report=r.json; wait
        asked POST /failover$; jq -c "[.result, .state]" r.json'
    has "the failover that was under way has ended in eastus, not in westus" $'ended 1\n1' '["failed","Active"]'
}

@test "by Microsoft, in the night: found, watched, and it counts for nobody" {
    sim 0 -- 'by_microsoft; ended go --to=eastus --report=r.json; asked POST /failover$; jq -c .began r.json; jq -r .event state/hubpipe/failovers.jsonl'
    has "a failover is under way; watching it" $'ended 0\n0\nnull'
    has_not "Endpoint=sb://none"
}

@test "the watch ends by --give-up, and is taken up again" {
    sim 0 --operation-ms=1500 -- 'ended go --to=eastus --give-up=0.3 --report=r.json; jq -r .result r.json; ended go --to=eastus'
    has "not watched any longer" unknown
    [ "$(grep -x 'ended.*' <<<"$output" | paste -sd' ')" = "ended 5 ended 0" ]
}

@test "a hub that answers as if it did not exist is watched, by whoever knows of it" {
    sim 0 --operation-ms=2400 --doubt failover-roles=end --doubt failover-get=missing -- 'go --to=eastus >lines 2>err & await grep -q NotFound lines
        ended go --to=eastus --journal=other >two 2>two.err; ended go --to=eastus -g west-rg >three 2>three.err; wait
        cat two.err three.err; jq -r .state lines | uniq | paste -sd" "; asked POST /failover$; cat two three'
    has "FailingOver NotFound FailingOver Active" "hidden in" "a failover is under way; watching it" "has moved from westus to eastus"
    [ "$(cat two three | grep -cx 'ended 0')" -eq 2 ]
}

@test "a journal that cannot be written, or read, is no obstacle" {
    sim 0 -- 'ended go --to=eastus --journal=/dev/null/x; after 4000; mkdir d; ended go --back --journal=d; after 4000
        printf "%s\n" "no json" "[1]" "{\"hub\":1}" "{\"hub\":\"$H\"}" "{\"hub\":\"$H\",\"event\":\"begun\",\"time\":7}" >j; ended go --to=eastus --journal=j
        after 4000; env -u XDG_STATE_HOME HOME=$PWD/home hub-failover --every=0.1 --back --confirm=contoso contoso >/dev/null 2>&1; jq -r .event home/.local/state/hubpipe/failovers.jsonl
        wc -l <j'
    has "cannot open: Not a directory" "cannot open: Is a directory" $'asked\nbegun\ndone\n8'
    [ "$(grep -xc 'ended 0' <<<"$output")" -eq 3 ]
}
