# hub-failover: what goes wrong: hubs that cannot move, a service that refuses,
# fails, hides, hangs or is not there.
# shellcheck shell=bash disable=SC2016

load helper
load failover

@test "no such hub; none there when it is looked for; no right to look" {
    sim 0 -- 'ended hub-failover --to=eastus --confirm=none none; ended hub-failover --to=eastus -g east-rg contoso
        ended hub-failover --to=eastus "${H%contoso}none"; ended hub-failover -n --to=eastus -s 3 contoso'
    has "'none': no such hub in subscription" "'contoso': no such hub in resource group east-rg" "'none': no such hub"
    [ "$(grep -cx 'ended 1' <<<"$output")" -ge 3 ]
    no_post
}

@test "not Active: one that is being made" {
    template '.tags = {}'
    sim 0 --timing=real -- 'control operation-ms 60000
        C="curl -sS --connect-to ::$HUBPIPE_CONNECT_TO"
        token=$($C -d grant_type=client_credentials -d "client_id=$AZURE_CLIENT_ID" -d "client_secret=$AZURE_CLIENT_SECRET" \
            -d scope=https://management.azure.com/.default https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token | jq -r .access_token)
        $C -o /dev/null -X PUT -H "Authorization: Bearer $token" -H "Content-Type: application/json" \
            -d "{\"location\":\"westus\",\"sku\":{\"name\":\"S1\",\"capacity\":1},\"properties\":{}}" \
            "https://management.azure.com${H%contoso}fresh?api-version=2023-06-30"
        ended hub-failover --to=eastus --confirm=fresh fresh; ended hub-failover -n --to=eastus fresh'
    has "is Activating, not Active: it cannot be failed over now" "ended 1"
    has_not "ended 0"
    no_post
}

@test "a free hub, one without a pair, one that is too old: refused with a sentence" {
    template '.sku.name = "F1" | .sku.capacity = 1 | .properties.eventHubEndpoints.events.partitionCount = 2 | .properties.eventHubEndpoints.events.retentionTimeInDays = 1 | .properties.routing = {}'
    sim 0 --doubt failover-free-tier=refused -- 'ended go --to=eastus; asked POST /failover$; ended go --to=eastus --ignore-limits; asked POST /failover$'
    has "is a free hub (F1)" "400123"
    [ "$(grep -x 'ended.*\|[0-9]' <<<"$output" | paste -sd' ')" = "ended 1 0 ended 6 1" ]
    sim 0 --doubt failover-free-tier=allowed -- 'ended go --to=eastus --ignore-limits'
    has "ended 0"
    template '.location = "qatarcentral"'
    sim 0 -- 'ended go --to=eastus; ended go --back; ended go --to=qatarcentral'
    has "has no paired region: it cannot be failed over" "is in qatarcentral already"
    no_post
    template '.location = "brazilsouth" | .properties.enableDataResidency = true'
    sim 0 -- 'ended go --to=southcentralus; ended go -n --to=southcentralus'
    has "has no paired region: it cannot be failed over (its data stays in its region)"
    no_post
    template '.tags = {"hub-sim-created": "2016-12-24"}'
    sim 0 -- 'ended go --to=eastus; ended go --to=eastus --ignore-limits; asked POST /failover$'
    has "was made on 2016-12-24: hubs older than 2017-05-18 cannot be failed over" "400122"
    [ "$(grep -x 'ended.*\|[0-9]' <<<"$output" | paste -sd' ')" = "ended 1 ended 6 1" ]
}

@test "the caller lacks the right to fail over, to read, or both" {
    template '.tags = {"hub-sim-deny": "failover"}'
    sim 0 --doubt forbidden-code=AuthorizationFailed -- 'ended go --to=eastus; asked POST /failover$; jq -r .event state/hubpipe/failovers.jsonl | paste -sd" "'
    has "; nothing has begun (the caller lacks the right Microsoft.Devices/IotHubs/failover/Action)" "ended 6" "asked failed"
    template '.tags = {"hub-sim-deny": "read,listkeys"}'
    sim 0 --doubt forbidden-code=AuthorizationFailed -- 'ended go --to=eastus -g west-rg --give-up=1; asked POST /failover$'
    has "state unknown in an unknown region" "no answer: HTTP 403: AuthorizationFailed" \
        "not watched any longer; the failover goes on" $'ended 5\n1'
}

@test "refused, and nobody may say what the hub does: that is told at once, and a signal ends the asking" {
    template '.tags = {"hub-sim-deny": "read,listkeys"}'
    sim 0 --fault 'path=*/failover,method=POST,count=0,do=status:400,code=400123' -- '
        hub-failover --to=eastus --confirm=contoso -g west-rg contoso 2>err & pid=$!
        await grep "has it begun? Asking" err
        kill -TERM $pid; wait $pid; echo "ended $?"; cat err'
    has "400123" "has it begun? Asking for up to 10 minutes" "and nobody says whether it has begun" "ended"
    has_not "nothing has begun" "ended 0"
}

@test "quota, as the service says it: each way that is possible" {
    for position in failover-limit=409 failover-limit=429 failover-limit=400 failover-day=utc failover-hour=start; do
        rm -rf state log
        sim 0 --doubt "$position" -- 'go --to=eastus >/dev/null 2>&1; rm -r state
            ended go --to=westus; ended go --to=westus --journal=other --ignore-limits; asked POST /failover$'
        has "409020: The IotHub contoso had a failover less than an hour ago" "ended" "3"
        [[ $position != failover-limit=4[02]* ]] || has "ended"
        [ "$(grep -xc 'ended [56]' <<<"$output")" -eq 2 ]
        # Whoever is told of a limit at night is told what has begun, too.
        [ "$(grep -c '409020.*; the hub is Active in eastus, and nothing has begun' <<<"$output")" -eq 2 ]
    done
    sim 0 --doubt failover-limit=409 --doubt failover-day=rolling --doubt failover-hour=end -- 'for to in eastus westus eastus westus; do
        go --to=$to >/dev/null 2>&1 || echo no; after 3800; done; rm -r state; ended go --to=eastus'
    has "had the 2 successful failovers that it may have in a day" "ended 6"
}

@test "a failover that fails: told why, and the hub stays" {
    template '.tags = {"hub-sim-failover": "fail"}'
    for position in Active FailoverFailed; do
        rm -rf state r.json
        sim 0 --doubt "failover-failed-state=$position" -- 'ended go --to=eastus --report=r.json >lines; cat lines
            jq -r .event state/hubpipe/failovers.jsonl | paste -sd" "; jq -c "[.result, .from, .to, .seconds.active]" r.json'
        has "the failover failed: 500020" "ended 6" "asked begun failed" '["failed","westus","eastus",null]'
    done
    # It counts for nothing: it may be tried at once, and after support has seen to it.
    sim 0 --operation-ms=60000 --doubt failover-limit=409 --doubt failover-failed-state=FailoverFailed -- 'over() { await grep -q FailingOver $1; after $2; }
        over one 61 & ended go --to=eastus >one; cat one; ended go --to=eastus; after 600; over two 661 & ended go --to=eastus >two; cat two'
    has "is FailoverFailed, not Active"
    [ "$(grep -x 'ended.*' <<<"$output" | paste -sd' ')" = "ended 6 ended 1 ended 6" ]
}

@test "the request was carried out, and nobody said so: it is looked at, not repeated" {
    for how in do=lose do=half do=status:500,applied=1 do=status:503,applied=1 do=badjson; do
        rm -rf log state
        sim 0 --fault "method=POST,path=*/failover,$how" -- 'ended go --to=eastus; echo "posts: $(asked POST /failover$)"'
        has "ended 0" "has moved from westus to eastus" "posts: 1" || { echo "$how"; return 1; }
    done
    [ "$(jq -r .event state/hubpipe/failovers.jsonl | paste -sd' ')" = "asked begun done" ]
    rm -rf log state
    for how in do=cut do=garbage do=status:500; do
        sim 0 --fault "method=POST,path=*/failover,$how" -- 'ended go --to=eastus; asked POST /failover$
            jq -r .event state/hubpipe/failovers.jsonl | paste -sd" "; ended go --to=eastus; asked POST /failover$'
        has "the hub is Active in westus, and nothing has begun" "asked failed" || { echo "$how"; return 1; }
        [[ $(grep -x 'ended.*\|[0-9]' <<<"$output" | paste -sd' ') == "ended "[56]" 1 ended 0 2" ]]
        rm -rf log state
    done
    # A yes that is none: nothing begins, and nothing is claimed.
    sim 0 --fault "method=POST,path=*/failover,do=empty" -- 'ended go --to=eastus; asked POST /failover$'
    has "is Active in westus: no failover to eastus is under way" $'ended 1\n1'
}
