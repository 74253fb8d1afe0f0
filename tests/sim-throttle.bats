# sim-throttle.bats: what a hub of some size lets through, holds and has: the
# throttles, quotas and tiers of CONTRACT 3.4, 11.4 and annex A.
# shellcheck shell=bash disable=SC2016 # text for a shell inside hub-sim

load helper

setup_file() {
    jq -nrc --argjson n 300 -f "$ROOT/examples/fleet.jq" \
        >"$BATS_FILE_TMPDIR/fleet.txt"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    FLEET=$BATS_FILE_TMPDIR/fleet.txt
    export FLEET
    # ask METHOD HUB PATH [CURL OPTION...], with status and headers on stdout;
    # arm METHOD PATH; bulk FROM COUNT: that many devices in one array.
    cat >functions <<'END'
token() {
    curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" \
        -d "client_id=$AZURE_CLIENT_ID" -d grant_type=client_credentials \
        --data-urlencode "client_secret=$AZURE_CLIENT_SECRET" \
        -d "scope=$1/.default" | jq -er .access_token
}
HUB_TOKEN=$(token https://iothubs.azure.net)
ARM_TOKEN=$(token https://management.azure.com)
ask() {
    local method=$1 hub=$2 path=$3
    shift 3
    [[ $path == *\?* ]] || path+='?'
    curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" -H "Authorization: Bearer $HUB_TOKEN" \
        -H 'Content-Type: application/json' -X "$method" \
        "https://$hub.azure-devices.net$path&api-version=2021-04-12" "$@"
}
status() { ask "$@" -o /dev/null -w '%{http_code}\n'; }
arm() {
    local method=$1 path=$2
    shift 2
    curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" -H "Authorization: Bearer $ARM_TOKEN" \
        -H 'Content-Type: application/json' -X "$method" \
        "https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID$path?api-version=2023-06-30" "$@"
}
bulk() { jq -nc "[range($1; $1 + $2) | {id: \"d\(.)\", importMode: \"create\", status: \"enabled\"}]"; }
END
}

# inside [SIM OPTION...] -- SHELL TEXT: two hubs, and what ends the simulator.
inside() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    hub-sim --from "$FIXTURES/two-hubs.json" --dest contoso-east "${options[@]}" -- \
        bash -euo pipefail -c ". ./functions; $2"
}

@test "one unit lets 200 through at once, then answers 429 as recorded, and has not carried it out" {
    expect_status 0 inside --sku S1 --throttle=real -- '
        bulk 0 100 | status POST contoso /devices -d @-
        bulk 100 100 | status POST contoso /devices -d @-
        bulk 200 100 | ask POST contoso /devices -d @- -D head
        echo
        cat head
        status GET contoso /devices/d199
        status GET contoso /devices/d200
        ask GET contoso /statistics/devices'
    has "200
200
" '{"Message":"ErrorCode:ThrottlingBacklogTimeout;The request has been throttled. Wait 10 seconds and try again. Operation type: CRUD","ExceptionMessage":"Tracking ID:' \
        "HTTP/1.1 429 " "iothub-errorcode: ThrottlingBacklogTimeout" "Connection: close" \
        "200
404
" '"totalDeviceCount":200' \
        "203 identity operations" "1 call was answered with 429"
    has_not "Retry-After"
}

@test "250 reads in a row on one unit: all of them succeed" {
    jq -nc '{id: "device-0002", status: "enabled"}' >one.txt
    expect_status 0 inside --speed 10 --throttle=real --registry one.txt -- '
        for ((i = 0; i < 250; i++)); do
            printf "url = \"https://contoso.azure-devices.net/devices/device-0002?api-version=2021-04-12\"\noutput = /dev/null\n"
        done >urls
        curl -s --parallel --parallel-max 32 --connect-to "::$HUBPIPE_CONNECT_TO" \
            -H "Authorization: Bearer $HUB_TOKEN" -w "%{http_code}\n" -K urls | sort | uniq -c'
    has "250 200" "contoso (S1 x1): 250 identity operations: on Azure about 2.5 min"
    has_not "429"
}

@test "a call that is not let through yet is answered late, and keeps nobody else waiting" {
    expect_status 0 inside --speed 4 --throttle=real --doubt throttle-burst=small -- '
        bulk 0 20 | status POST contoso /devices -d @-
        { status GET contoso /devices/d7; echo slow; } >slow &
        status GET contoso-east /devices/d7 >fast
        if [ -s slow ]; then echo "the slow one was first"; fi
        wait
        cat fast slow'
    has "200
404
200
slow" "contoso (S1 x1): 21 identity operations" "here calls were delayed by up to" \
        "contoso-east (S1 x1): 1 identity operation"
    has_not "429" "the slow one was first"
}

@test "each call counts in its class: bulk entries, pages, twins, jobs, configurations" {
    expect_status 0 inside --forecast -- '
        printf "%s" "[ {\"id\":\"a\",\"importMode\":\"create\",\"status\":\"enabled\",\"statusReason\":\"[,] \\\\\\\" {,\"},
            {\"id\":\"b\",\"importMode\":\"create\",\"status\":\"enabled\",\"tags\":{\"x\":[1],\"y\":{\"z\":1}}} ]" |
            status POST contoso /devices -d @-
        status GET contoso /devices/a
        status GET contoso "/devices?top=10"
        status GET contoso /statistics/devices
        status GET contoso /devices/a/modules
        status GET contoso /twins/a
        status PATCH contoso /twins/a -d "{\"tags\":{\"y\":1}}"
        status PUT contoso /twins/a -d "{\"tags\":{\"y\":1}}"
        status POST contoso /devices/query -d "{\"query\":\"SELECT * FROM devices\"}"
        status POST contoso /devices/query -H "x-ms-max-item-count: 1" -d "{\"query\":\"SELECT * FROM devices\"}"
        status GET contoso /configurations
        status POST contoso /devices/a/applyConfigurationContent -d "{}" >/dev/null
        status DELETE contoso /devices/a/commands
        ask GET contoso /jobs -o /dev/null
        status GET contoso-east /devices/a' 
    has "contoso (S1 x1): 6 identity operations, 1 twin read, 2 twin updates, 2 query pages, 1 job call, 2 configuration calls: on Azure about 6 s" \
        "contoso-east (S1 x1): 1 identity operation"
    has_not "Resource Manager"
}

@test "what others use is missing from the bucket and from what flows in" {
    expect_status 0 inside --sku S1 --throttle=real --load 50 -- '
        bulk 0 100 | status POST contoso /devices -d @-
        bulk 100 100 | status POST contoso /devices -d @-'
    has "200
429
" "(S1 x1, others use 50 %): 100 identity operations: on Azure about 2.0 min"
    expect_status 0 inside --sku S1 --throttle=real --load 100 -- '
        status GET contoso /devices/a
        status GET contoso /twins/a'
    has "429
429
" "nothing let through" "2 calls were answered with 429"
}

@test "sizes: three hundred times as much for S3, units count, twin reads are for the hub" {
    expect_status 0 inside --sku S3 --throttle=real -- '
        for ((i = 0; i < 1000; i += 100)); do bulk $i 100 | status POST contoso /devices -d @-; done'
    has "contoso (S3 x1): 1,000 identity operations: on Azure about 12 s"
    has_not 429
    expect_status 0 inside --sku S2:4 --throttle=real -- '
        for ((i = 0; i < 800; i += 100)); do bulk $i 100 | status POST contoso /devices -d @-; done'
    has "contoso (S2 x4): 800 identity operations: on Azure about 2.0 min"
    has_not 429
}

@test "queries and configurations have limits of their own, and say what they are" {
    expect_status 0 inside --sku S1 --throttle=real --load 95 -- '
        query="{\"query\":\"SELECT * FROM devices\"}"
        for i in 1 2 3 4; do ask POST contoso /devices/query -d "$query"; done
        for i in 1 2 3 4; do ask GET contoso /configurations; done
        status GET contoso /twins/nobody
        status GET contoso /devices/nobody'
    has "[][]" "Operation type: Query" "Operation type: ConfigurationWrite" "404
404
" "2 query pages, 2 configuration calls" "4 calls were answered with 429"
}

@test "a refusal can say when to come back, and can come late" {
    expect_status 0 inside --sku S1 --throttle=real --doubt throttle-retry-after=seconds --speed 2 -- '
        for i in 0 100 200; do bulk $i 100 | ask POST contoso /devices -d @- -D head -o /dev/null; done
        cat head'
    has "429" "Retry-After: 5"
    expect_status 0 inside --sku S1 --throttle=real --doubt throttle-refusal=late --speed 40 --load 99 -- '
        status GET contoso /devices/a; status GET contoso /devices/a
        { status GET contoso /devices/a; echo slow; } >slow &
        status GET contoso-east /devices/a >fast
        if [ -s slow ]; then echo "the slow one was first"; fi
        wait
        cat fast slow'
    has "429
slow"
    has_not "the slow one was first"
}

@test "Resource Manager: what is left is on each answer; then 429 with Retry-After" {
    expect_status 0 inside --throttle=real -- '
        arm GET /resourcegroups -D - -o /dev/null
        arm GET /resourcegroups -D - -o /dev/null
        arm PUT /resourcegroups/one -D - -o /dev/null -d "{\"location\":\"westus\"}"
        arm PUT /resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/third -D - -o /dev/null \
            -d "{\"location\":\"westus\",\"sku\":{\"name\":\"S1\",\"capacity\":1},\"properties\":{}}"
        arm DELETE /resourcegroups/none -D - -o /dev/null'
    has "remaining-subscription-reads: 11999" "remaining-subscription-reads: 11998" \
        "remaining-subscription-writes: 1199" "remaining-subscription-deletes: 14999" \
        "remaining-subscription-resource-requests: 4999" "1 hub made"
    writes='
        for ((i = 0; i < 1201; i++)); do
            printf "url = \"https://management.azure.com/subscriptions/%s/resourcegroups/g?api-version=2021-04-01\"\noutput = /dev/null\n" "$AZURE_SUBSCRIPTION_ID"
        done >urls
        curl -sS -X PUT -d "{\"location\":\"westus\"}" -H "Content-Type: application/json" \
            --connect-to "::$HUBPIPE_CONNECT_TO" -H "Authorization: Bearer $ARM_TOKEN" \
            -w "%{http_code}\n" -K urls | sort | uniq -c
        arm PUT /resourcegroups/one -D - -d "{\"location\":\"westus\"}"
        arm GET /resourcegroups/one -w "%{http_code}"'
    expect_status 0 inside --throttle=real -- "$writes"
    has "1 429" "HTTP/1.1 429" "Retry-After: 3" '{"error":{"code":"TooManyRequests"' \
        "writes: 0" "ResourceGroupNotFound" "2 calls were answered with 429"
    expect_status 0 inside --throttle=real --doubt throttle-code=SubscriptionRequestsThrottled -- "$writes"
    has '"code":"SubscriptionRequestsThrottled"'
    expect_status 0 inside --throttle=real -- "$writes"'
        curl -sS -X PUT -d 3601 "$HUB_SIM_CONTROL/clock" >/dev/null
        ARM_TOKEN=$(token https://management.azure.com)
        arm PUT /resourcegroups/one -D - -d "{\"location\":\"westus\"}"'
    has "1 429" "HTTP/1.1 201" "writes: 1199"
    expect_status 0 inside -- "$writes"
    has_not "429"
}

@test "nothing is said at the end unless it was asked for" {
    expect_status 0 inside -- 'status GET contoso /devices/a'
    has_not "on Azure"
    expect_status 0 inside --load 10 -- 'status GET contoso /devices/a'
    has_not "on Azure"
    expect_status 0 inside --forecast -q -- 'status GET contoso /devices/a'
    has_not "on Azure"
    expect_status 0 inside --forecast -- 'status GET contoso /devices/a'
    has "on Azure"
}

# ---- quotas ----

@test "a free hub holds 500 devices: the 501st is one outcome, the others are there" {
    jq -nc 'range(501) | {id: "d\(1000 + .)", status: "enabled",
        authentication: {type: "sas", symmetricKey: {primaryKey: ("k\(.)" | @base64 | . + "AAAAAAAAAAAAAAAAAAAAAAAA" | .[:32]),
            secondaryKey: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}}' >many.txt
    jq '.resources |= [.[0]]' "$FIXTURES/two-hubs.json" >one.json
    expect_status 0 hub-sim --from one.json --sku F1 -- bash -c '. ./functions
        registry-load -q --confirm=contoso contoso --auth=login <many.txt >outcomes; echo "status $?"
        ask GET contoso /statistics/devices; echo
        ask PUT contoso /devices/more -d "{\"deviceId\":\"more\"}" -D -; echo
        ask DELETE contoso /devices/d1000 -H "If-Match: *"
        status PUT contoso /devices/more -d "{\"deviceId\":\"more\"}"
        status PUT contoso /devices/d1001/modules/m -d "{\"deviceId\":\"d1001\",\"moduleId\":\"m\"}"'
    has "status 7" '"totalDeviceCount":500' "HTTP/1.1 403" "iothub-errorcode: IotHubQuotaExceeded" "
200
200"
    [ "$(jq -r '.code' outcomes)" = IotHubQuotaExceeded ]
}

@test "a free hub has ten configurations, others a hundred" {
    jq '.resources |= [.[0]]' "$FIXTURES/two-hubs.json" >one.json
    for sku in F1:10 S1:100; do
        N=${sku#*:} expect_status 0 hub-sim --from one.json --sku "${sku%:*}" -- bash -c '. ./functions
            for ((i = 0; i <= N; i++)); do
                ask PUT contoso "/configurations/c$i" -o body -w "%{http_code}\n" -d "{\"id\":\"c$i\",\"schemaVersion\":\"1.0\",
                    \"content\":{\"deviceContent\":{\"properties.desired.x\":1}},\"targetCondition\":\"*\",\"priority\":1}"
            done | sort | uniq -c; cat body'
        has "${sku#*:} 200" "1 413" "ConfigurationCountLimitExceeded"
    done
}

@test "a device has fifty modules, by another reading twenty" {
    for most in 50 20; do
        expect_status 0 inside --doubt max-modules=$most -- '
            status PUT contoso /devices/d -d "{\"deviceId\":\"d\"}" >/dev/null
            for ((i = 0; i < 51; i++)); do
                status PUT contoso /devices/d/modules/m$i -d "{\"deviceId\":\"d\",\"moduleId\":\"m$i\"}"
            done | sort | uniq -c
            ask PUT contoso /devices/d/modules/more -d "{\"deviceId\":\"d\",\"moduleId\":\"more\"}" -D - -o /dev/null'
        has "$most 200" "$((51 - most)) 413" "iothub-errorcode: TooManyModulesOnDevice"
    done
}

@test "one free hub, and fifty hubs, in a subscription" {
    expect_status 0 inside -- '
        hub=/resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs
        for i in 1 2; do
            arm PUT $hub/free$i -w "\n%{http_code}\n" -d "{\"location\":\"westus\",\"sku\":{\"name\":\"F1\",\"capacity\":1},\"properties\":{}}"
        done
        for ((i = 0; i < 48; i++)); do
            arm PUT $hub/more$i -o body -w "%{http_code}\n" -d "{\"location\":\"westus\",\"sku\":{\"name\":\"S1\",\"capacity\":1},\"properties\":{}}"
        done | sort | uniq -c
        cat body'
    has "201
" '400019' "Max number of Iot Hubs exceeded for sku = Free, Max Allowed = 1, Current = 1" \
        "47 201" "1 400" "Max Allowed = 50, Current = 50"
    # A deployment tells the same, and the tool says it in one line.
    expect_status 0 inside -- '
        for i in 1 2; do
            jq ".resources |= [.[0] * {name: \"free$i\", sku: {name: \"F1\"}}]" "$FIXTURES/two-hubs.json" |
                tmpl-deploy -q -g west-rg >/dev/null && echo "made $i" || echo "status $?"
        done'
    has "made 1" "status 6" "Max number of Iot Hubs exceeded for sku = Free"
}

# ---- tiers ----

@test "a basic hub has identities, import and export, and nothing of twins" {
    expect_status 0 inside --sku B1 -- '
        status PUT contoso /devices/d -d "{\"deviceId\":\"d\"}"
        status GET contoso /devices/d
        status GET contoso /statistics/devices
        echo "not:"
        ask GET contoso /twins/d -D - -o /dev/null
        status PATCH contoso /twins/d -d "{}"
        status GET contoso /configurations
        status DELETE contoso /devices/d/commands
        status POST contoso /devices/d/applyConfigurationContent -d "{}"
        status GET contoso /jobs/v2/query
        echo "query:"
        status POST contoso /devices/query -d "{\"query\":\"SELECT * FROM devices\"}"
        [ "$(status GET contoso /jobs)" != 403 ]'
    has "200
200
200
not:
HTTP/1.1 403" "iothub-errorcode: OperationNotAvailableInCurrentTier" "
403
403
403
403
403
query:
403"
    expect_status 0 inside --sku B1 --doubt basic-query=answered -- '
        status POST contoso /devices/query -d "{\"query\":\"SELECT * FROM devices\"}"'
    has 200
}

@test "what a basic hub holds is dumped, loaded into another and proved" {
    expect_status 0 inside --sku B1 --registry "$FLEET" -- '
        registry-dump -q >a.txt
        registry-load -q <a.txt && registry-diff -q a.txt'
    [ "$(wc -l <"$BATS_TEST_TMPDIR/a.txt")" = "$(wc -l <"$FLEET")" ]
}

# ---- --sku ----

@test "--sku: the hub of --from has that size, and no more partitions than that" {
    jq '.resources |= [.[0] * {properties: {eventHubEndpoints: {events: {partitionCount: 32, retentionTimeInDays: 7}}}}]' \
        "$FIXTURES/two-hubs.json" >one.json
    show='arm GET /resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/contoso |
        jq -c "[.sku.name, .sku.tier, .sku.capacity, .properties.eventHubEndpoints.events.partitionCount, .properties.eventHubEndpoints.events.retentionTimeInDays]"'
    while read -r sku want; do
        expect_status 0 hub-sim --from one.json --sku "$sku" -- bash -c ". ./functions; $show"
        has "$want"
    done <<'END'
F1 ["F1","Free",1,2,1]
B1:200 ["B1","Basic",200,8,7]
s2 ["S2","Standard",1,32,7]
S3:10 ["S3","Standard",10,32,7]
END
    # Where a parameter says it, too.
    jq '.parameters.size = {type: "string", defaultValue: "S1"} | .parameters.parts = {type: "int", defaultValue: 16}
        | .resources[0].sku.name = "[parameters('\''size'\'')]"
        | .resources[0].properties.eventHubEndpoints.events.partitionCount = "[parameters('\''parts'\'')]"' one.json >two.json
    expect_status 0 hub-sim --from two.json --sku F1 -- bash -c ". ./functions; $show"
    has '["F1","Free",1,2,1]'
}

@test "--sku: what no hub has is refused in one line" {
    for sku in X1 S1:0 S1:x S1: S1:201 S3:11 F1:2 '' S; do
        expect_status 2 hub-sim --from "$FIXTURES/two-hubs.json" --sku "$sku" -- true
        [ "${#lines[@]}" -eq 1 ]
        has "hub-sim: "
    done
    expect_status 2 hub-sim --sku S1 -- true
    has "--sku needs --from"
    expect_status 3 hub-sim --from "$ROOT/examples/contoso.json" --sku F1 -- true
    has "custom endpoints are more than the 1"
}

# ---- the tools against it ----

@test "dump, load and diff through the throttle: nothing lost, nothing left" {
    for options in "--sku S1" "--sku S3" "--sku S1 --load 50"; do
        echo "with $options:"
        # shellcheck disable=SC2086 # several options
        expect_status 0 inside $options --registry "$FLEET" --throttle=real --speed 3000 -- '
            export HUBPIPE_PACE=off # or the throttle would not be met
            registry-dump -q --retry-delay=0.05 >a.txt
            registry-load -q --retry-delay=0.05 --rejects=rejects <a.txt >outcomes
            registry-diff -q a.txt'
        [ "$(wc -l <a.txt)" = "$(wc -l <"$FLEET")" ]
        [ ! -s outcomes ]
        [ ! -s rejects ]
    done
}

@test "what a client signs by its own clock is good, however far ahead a fast hub is" {
    expect_status 0 inside --speed 100000 --registry "$FLEET" -- '
        sleep 0.1 # some three hours
        registry-dump -q >a.txt
        curl -sS -X PUT -d 1 "$HUB_SIM_CONTROL/speed" >/dev/null
        registry-dump -q >b.txt
        curl -sS -X PUT -d 7200 "$HUB_SIM_CONTROL/clock" >/dev/null
        registry-dump -q >c.txt
        ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 faketime -f -2h registry-dump -q >d.txt || echo "status $?"'
    cmp a.txt b.txt
    cmp a.txt c.txt
    [ "$(wc -l <a.txt)" = "$(wc -l <"$FLEET")" ]
    # The clock of the client itself is another matter.
    has "status 6" "the clock of this machine is"
}

@test "--sink: bulk calls are counted and called a success, and nothing is kept" {
    expect_status 0 inside --sink --forecast -- '
        bulk 0 100 | ask POST contoso /devices -d @-
        echo "[{\"status\":\"asleep\"}]" | status POST contoso /devices -d @-
        bulk 0 101 | status POST contoso /devices -d @-
        echo "[{]" | status POST contoso /devices -d @-
        echo "{}" | status POST contoso /devices -d @-
        ask GET contoso /statistics/devices'
    has '{"isSuccessful":true,"errors":[],"warnings":[]}200
413
400
400' '"totalDeviceCount":0' \
        "205 identity operations"
}

@test "a hub that lets nothing through is a failure that may pass" {
    head -20 "$FLEET" >few.txt
    expect_status 0 inside --throttle=real --load 100 -- '
        registry-load -q --retry-delay=0.05 --retry-max-time=0.3 <few.txt >outcomes || echo "status $?"
        grep -c "" outcomes'
    has "status 5" "throttled for longer than" "nothing let through" "never, since others use all there is"
    [ "$(wc -l <outcomes)" -eq 20 ]
}
