# hub-failover: before, target, and what it tells afterwards.
# shellcheck shell=bash disable=SC2016

load helper
load failover

@test "over: lines, report, summary, journal, no secret; the same again does nothing" {
    sim 0 --operation-ms=2000 --doubt failover-roles=end --doubt failover-get=answered -- 'go --to=eastus --report=r.json --audit=audit >lines 2>err; cat err
        go --to=eastus; echo "posts: $(asked POST /failover$)"'
    has "'contoso': Active in westus, pair eastus, 0 devices" "to eastus: expected in about 10 min" \
        "registry and twins" "drills belong on a test hub" "has moved from westus to eastus" "endpoint moved" \
        "hub Active" "operation over" "first call answered" "built-in endpoint before: sb://" \
        "SharedAccessKey=****;EntityPath=contoso" "consumer group analytics" \
        "is in eastus already; nothing to do" "posts: 1"
    [ "$(jq -c '[.state, .location]' lines | uniq | tr -d '\n')" = \
        '["FailingOver","westus"]["Active","eastus"]' ]
    [ "$(jq -s 'map(.endpoint) | unique | length' lines)" -eq 2 ]
    [ "$(jq -s 'map(.time) | . == sort and all(test("^20..-..-..T..:..:..[.]...Z$"))' lines)" = true ]
    [ "$(jq -c '[.result, .from, .to, .state, .devices, .seconds.expected]' r.json)" = \
        '["done","westus","eastus","Active",0,600]' ]
    [ "$(jq -c '.locations | map(.location + " " + .role)' r.json)" = '["East US primary","West US secondary"]' ]
    [ "$(jq -c '.seconds | .endpointMoved < .active and .active <= .operation and .active <= .firstCall' r.json)" = true ]
    [ "$(jq '.endpointBefore.endpoint != .endpointAfter.endpoint and .endpointBefore.path == .endpointAfter.path' r.json)" = true ]
    [ "$(jq -r '.event' state/hubpipe/failovers.jsonl | paste -sd' ')" = "asked begun done" ]
    [ "$(jq -rs 'map(select(.id | test("/failover$"))) | "\(length) \(.[0].status) \(.[0].operation)"' audit)" = "1 202 post" ]
    # The one key it has must not be anywhere.
    run hub-sim --from "$ROOT/examples/contoso.json" -- sh -c 'echo "$IOTHUB_CONN_STRING"'
    key=${output##*SharedAccessKey=}
    [ "${#key}" -gt 20 ]
    run grep -rF -e "$key" lines err r.json audit state
    [ "$status" -eq 1 ]
    [ "$(stat -c %a state/hubpipe/failovers.jsonl)" = 600 ]
}

@test "and back, after the hour: the same command with the other region" {
    sim 0 -- 'go --to="East US" >/dev/null; ended go --to=westus --report=no.json; after 3700
        go --back --report=r.json >/dev/null; [ ! -e no.json ]; ended go --to=WESTUS
        jq -c "[.from, .to, .result]" r.json'
    has "an hour must pass between two failovers: not before 20" "--wait waits" "ended 1" \
        '["eastus","westus","done"]' "is in westus already"
}

@test "-n: all of it as JSON, no keys asked for, nothing changed" {
    sim 0 -- 'fo -n --to=eastus >plan; asked POST listkeys; asked POST /failover; asked GET ConsumerGroups
        fo -n --to=westus >there; ls -A'
    has_not state
    has $'0\n0\n1' "is in westus already"
    [ "$(jq -c '[.hub, .state, .from, .to, .paired, .devices, .expectedSeconds, .allowedFrom]' plan)" = \
        '["contoso","Active","westus","eastus","eastus",0,600,null]' ]
    [ "$(jq -c '[(.consumerGroups | length), (.losses | length), (.today | length)]' plan)" = '[3,5,0]' ]
    [ "$(jq -r '.id' plan | grep -c west-rg)" -eq 1 ]
    # What it shall do again by the journal, with the time.
    sim 0 -- 'go --to=eastus >/dev/null 2>&1; ended fo -n --back >plan2; tail -1 plan2'
    has "not now: an hour must pass" "ended 1"
    [ "$(sed '$d' plan2 | jq -r '.allowedFrom' | cut -c1-2)" = 20 ]
    [ "$(sed '$d' plan2 | jq -c '.today | map(.event)')" = '["asked","begun","done"]' ]
}

@test "target: needed, in any spelling, and only the paired region" {
    sim 0 -- 'ended go; ended go --to=eastus --back; ended go --to=nowhere; ended go --to="West Europe"
        ended fo --to=eastus; ended fo --to=eastus --confirm=fabrikam; ended hub-failover --to=eastus
        fo -n --to="East US" | jq -r .to; fo -n --to=EastUS | jq -r .to; hub-failover -n --to=eastus contoso.azure-devices.net | jq -r .hub
        hub-failover -n --to=eastus "$H" | jq -r .hub; hub-failover -n --to=eastus -g west-rg CONTOSO | jq -r .to
        ended hub-failover -n --to=eastus a/b; ended hub-failover -n --to=eastus /subscriptions/1; ended fo --every=x --to=eastus
        ended fo --every=0 --to=eastus'
    has "where to? (--to=LOCATION or --back)" "--to and --back exclude each other" "'nowhere': no such region" \
        "cannot go to westeurope: it is in westus, whose pair is eastus" "not confirmed (--confirm=contoso)" \
        "--confirm names 'fabrikam', but the hub is 'contoso'" "which hub?" "no name of a hub" \
        "no resource id of an IoT hub" "--every: 'x' is not a number of seconds" "must be more than 0"
    [ "$(grep -cx 'ended 2' <<<"$output")" -eq 10 ]
    [ "$(grep -cx 'ended 1' <<<"$output")" -eq 1 ]
    [ "$(grep -cx 'eastus\|contoso' <<<"$output")" -eq 5 ]
    no_post
}

@test "on a terminal the paired region is asked about, and the name has to be typed" {
    python3 -c 'import pty; pty.openpty()' 2>/dev/null || skip "no pseudo-terminals here"
    cat >typed.py <<'EOP'
import os, pty, sys
answer, argv = sys.argv[1], sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
seen, sent = b"", False
while True:
    try:
        part = os.read(fd, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
    if b"to go on: " in seen and not sent:
        os.write(fd, answer.encode() + b"\n")
        sent = True
sys.stdout.write(seen.decode().replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
EOP
    sim 0 -- 'ended python3 typed.py yes hub-failover --every=0.1 contoso; asked POST /failover
        ended python3 typed.py contoso hub-failover --every=0.1 contoso
        ended python3 typed.py no hub-failover --every=0.1 --confirm=contoso contoso; asked POST /failover
        ended python3 typed.py x hub-failover --every=0.1 -n contoso </dev/null'
    has "fail 'contoso' over from westus to eastus?; type 'contoso' to go on" "not confirmed" \
        "has moved from westus to eastus" "fail 'contoso' over from eastus to westus?" '"to": "westus"'
    [ "$(grep -x 'ended.*\|[01]' <<<"$output" | paste -sd' ')" = "ended 2 0 ended 0 ended 2 1 ended 1" ]
}
