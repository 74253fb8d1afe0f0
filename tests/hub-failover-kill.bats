# hub-failover: interrupted or killed, and started again.
# shellcheck shell=bash disable=SC2016

load helper
load failover

@test "killed, and started again: the journal knows the start, and what was before" {
    for signal in KILL INT TERM; do
        rm -rf state r.json second
        sim 0 --operation-ms=60000 -- "signal=$signal; "'env --default-signal=INT hub-failover --every=0.1 --to=eastus --confirm=contoso contoso >lines 2>err & p=$!; await begun; await grep -q begun state/hubpipe/failovers.jsonl
            sleep 0.9; kill -$signal $p; wait $p; echo "first $?"
            (await grep -q watching second; after 70) & ended go --to=eastus --report=r.json 2>second; cat err second
            asked POST /failover$; jq -r .event state/hubpipe/failovers.jsonl | paste -sd" "
            jq -c "[.result, .began != null, .seconds.active > 0.9, .seconds.operation > 0.9, .endpointBefore.endpoint != .endpointAfter.endpoint]" r.json'
        has "a failover is under way; watching it" "after its start" "asked begun done" '["done",true,true,true,true]'
        [ "$signal" = KILL ] || has "not watched any longer; the failover goes on (the same command watches it again)"
        case $signal in KILL) has "first 137" ;; INT) has "first 130" ;; TERM) has "first 143" ;; esac
        [ "$(grep -x 'ended.*\|[0-9]' <<<"$output" | paste -sd' ')" = "ended 0 1" ]
    done
}

@test "killed between asking and the answer: looked at first" {
    sim 0 --operation-ms=1500 --fault "method=POST,path=*/failover,do=delay:5000" -- 'hub-failover --every=0.1 --to=eastus --confirm=contoso contoso >lines 2>&1 & p=$!
        await grep -q asked state/hubpipe/failovers.jsonl; sleep 0.3; kill -9 $p; wait $p
        ended go --to=eastus --report=r.json; jq -r .event state/hubpipe/failovers.jsonl | paste -sd" "; jq -c ".began != null" r.json'
    has "a failover is under way; watching it" "ended 0" "asked done" true
    [ "$(grep -c '/failover"' log)" -le 1 ]
    # It is over when the next comes: nothing is done twice.
    rm -rf state
    sim 0 -- 'hub-failover --every=0.1 --to=eastus --confirm=contoso contoso >lines 2>&1 & p=$!; await begun; kill -9 $p; wait $p
        sleep 0.8; ended go --to=eastus; asked POST /failover$'
    has "is in eastus already; nothing to do" $'ended 0\n1'
}
