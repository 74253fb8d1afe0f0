# sim-jobs.bats: import, export and scheduled jobs of hub-sim (CONTRACT 16).
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent; HUB

load helper
load jobs

key='"authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg==","secondaryKey":"ZmVkY2JhOTg3NjU0MzIxMA=="},"type":"sas"}'

setup_file() {
    (umask 077 && jq -nrc --argjson n 200 -f "$ROOT/examples/fleet.jq" \
        >"$BATS_FILE_TMPDIR/fleet.txt")
    sim_start --from "$ROOT/examples/contoso.json" \
        --registry "$BATS_FILE_TMPDIR/fleet.txt"
    jobs_set_up
    declare -px ARM_TOKEN HUB_TOKEN STORAGE_KEY >>"$BATS_FILE_TMPDIR/sim.env"
    make_hub second S1
    make_hub free F1
    make_hub basic B1
}

teardown_file() {
    sim_stop
}

lines_of() {
    blob GET "$1" "$2" -f
}

@test "an export has the members of the service, in its order, modules after their device" {
    make_container order
    run export_to order
    jq -e '.type == "export" and .status == "completed" and .progress == 100
        and .failureReason == null and .endTimeUtc >= .startTimeUtc
        and .outputBlobContainerUri == ""' <<<"$output"
    lines_of order devices.txt >"$BATS_TEST_TMPDIR/devices.txt"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/devices.txt")" -eq 248 ]
    run jq -cs '[.[] | select(.moduleId == null and .deviceScope == null)]
        | map(keys_unsorted) | unique' "$BATS_TEST_TMPDIR/devices.txt"
    same <(echo "$output") - <<'END'
[["id","eTag","status","statusReason","authentication","twinETag","tags","properties","capabilities"]]
END
    run jq -cs '[.[] | select(.moduleId)] | map(keys_unsorted) | unique' \
        "$BATS_TEST_TMPDIR/devices.txt"
    same <(echo "$output") - <<'END'
[["id","moduleId","eTag","status","authentication","twinETag","tags","properties","capabilities"]]
END
    run jq -cs '[.[] | select(.deviceScope)] | map(keys_unsorted) | unique' \
        "$BATS_TEST_TMPDIR/devices.txt"
    has '"capabilities","deviceScope"]' '"capabilities","deviceScope","parentScopes"]'
    # Each module follows its device, and a system module has no keys.
    run jq -s 'reduce .[] as $l ({}; if $l.moduleId then
            if .at == $l.id then . else .bad += [$l.id] end
        else .at = $l.id end) | .bad' "$BATS_TEST_TMPDIR/devices.txt"
    [ "$output" = null ]
    run jq -cs 'map(select(.moduleId == "$edgeAgent") | .authentication) | unique' \
        "$BATS_TEST_TMPDIR/devices.txt"
    [ "$output" = '[null]' ]
    jq -se 'map(select(.id == "device-0009")) | .[0]
        | .statusReason == "" and .authentication.x509Thumbprint.primaryThumbprint == null
        and (.properties.desired | has("$metadata") | not)' \
        "$BATS_TEST_TMPDIR/devices.txt"
}

@test "a dump by REST and an export say the same" {
    make_container agree
    export_to agree '{includeConfigurations: true}'
    hub PUT /configurations/fw '{"id":"fw","content":{"deviceContent":{"properties.desired.fw":{"v":1}}},"targetCondition":"tags.none='"'x'"'","priority":3}' |
        jq -e '.id == "fw"'
    export_to agree '{includeConfigurations: true}'
    lines_of agree devices.txt >"$BATS_TEST_TMPDIR/export.txt"
    lines_of agree configurations.txt >"$BATS_TEST_TMPDIR/export.conf"
    registry-dump -q -o "$BATS_TEST_TMPDIR/dump.txt" \
        --configurations="$BATS_TEST_TMPDIR/dump.conf"
    expect_status 0 registry-diff --reported "$BATS_TEST_TMPDIR/dump.txt" \
        "$BATS_TEST_TMPDIR/export.txt"
    has 'equal: 248 entries'
    run jq -c '[keys_unsorted[:2], .Content.DeviceContent, .Priority]' \
        "$BATS_TEST_TMPDIR/export.conf"
    [ "$output" = '[["Id","SchemaVersion"],{"properties.desired.fw":{"v":1}},3]' ]
    same <(jq -S . "$BATS_TEST_TMPDIR/dump.conf") \
        <(jq -S . "$BATS_TEST_TMPDIR/export.conf")
    hub DELETE /configurations/fw
}

@test "an export goes where it is told, under the names it is told, without keys" {
    make_container named
    export_to named '{OUTPUTBLOBNAME: "a/b c.txt", ExcludeKeysInExport: true,
        includeConfigurations: true, configurationsBlobName: "c.txt"}' |
        jq -e '.excludeKeysInExport and .outputBlobName == "a/b c.txt"
            and .configurationsBlobName == "c.txt"'
    lines_of named a/b%20c.txt >"$BATS_TEST_TMPDIR/x"
    run head -1 "$BATS_TEST_TMPDIR/x"
    [[ $output == [A-Z]* ]]
    run jq -c 'select(.authentication != null)' <(tail -n +2 "$BATS_TEST_TMPDIR/x")
    [ "$output" = "" ]
    [ "$(tail -n +2 "$BATS_TEST_TMPDIR/x" | wc -l)" -eq 248 ]
    [ "$(lines_of named c.txt | wc -c)" -eq 0 ]
}

@test "a client that waits meets enqueued, running and completed" {
    local body id
    body=$(jq -nc --arg u "$(container jobs)" '{type: "EXPORT", outputBlobContainerUri: $u}')
    run hub POST /jobs/create "$body"
    jq -e '.status == "enqueued" and .progress == 0 and .type == "export"
        and (has("endTimeUtc") | not)' <<<"$output"
    id=$(jq -r .jobId <<<"$output")
    run wait_job "$id"
    run hub GET "/jobs/$id"
    jq -e '.status == "completed"' <<<"$output"
    id=$(hub POST /jobs/create "$body" | jq -r .jobId)
    sleep 0.3
    run hub GET "/jobs/$id"
    jq -e '.status == "running"' <<<"$output"
    run hub GET "/jobs/$id"
    jq -e '.status == "completed"' <<<"$output"
    run hub GET /jobs
    jq -e --arg id "$id" '.[0].jobId == $id and length > 1' <<<"$output"
}

@test "jobs that are not there, and what a request must say" {
    local none=00000000-0000-0000-0000-000000000000
    [ "$(hub_status GET /jobs/$none)" = '404 JobNotFound' ]
    [ "$(hub_status DELETE /jobs/$none)" = '500 ServerError' ]
    [ "$(hub_status POST /jobs/create '{}')" = '400 ArgumentInvalid' ]
    [ "$(hub_status POST /jobs/create '{"type":"export"}')" = '400 ArgumentInvalid' ]
    [ "$(hub_status POST /jobs/create '{"type":"backup"}')" = '400 ArgumentInvalid' ]
    [ "$(hub_status POST /jobs/create '{"type":"import","outputBlobContainerUri":"x"}')" = '400 ArgumentInvalid' ]
    [ "$(hub_status POST /jobs/create '{"type":')" = '400 DeserializationError' ]
    [ "$(hub_status PUT /jobs/create '{}')" = '405 GenericMethodNotAllowed' ]
    [ "$(hub_status POST /jobs '{}')" = '405 GenericMethodNotAllowed' ]
}

@test "who may not delete, write or read in a container is told so at once" {
    local uri
    for uri in "$(container jobs rwl)" "$(container jobs rdl)" \
        "$(container jobs wdl)" "$(container jobs racwdl 2020-01-01T00:00:00Z)" \
        "$(container nowhere)" 'https://elsewhere.blob.core.windows.net/c?sp=rwd' \
        'https://example.com/c'; do
        [ "$(hub_status POST /jobs/create \
            "{\"type\":\"export\",\"outputBlobContainerUri\":\"$uri\"}")" = \
            '400 BlobContainerValidationError' ]
        cat "$BATS_TEST_TMPDIR/body"
    done >"$BATS_TEST_TMPDIR/all"
    run cat "$BATS_TEST_TMPDIR/all"
    has 'Unauthorized to delete from output blob container' \
        'Unauthorized to write to output blob container' \
        'Unauthorized to read from output blob container' \
        'The specified container does not exist' \
        'hub-sim has no such storage account'
    run hub POST /jobs/create "$(jq -nc --arg r "$(container jobs rwdl)" \
        --arg w "$(container jobs w)" \
        '{type: "import", inputBlobContainerUri: $w, outputBlobContainerUri: $r}')"
    has 'Unauthorized to read from input blob container'
}

@test "a hub's identity needs its role on the storage account" {
    local uri='https://contosowestdata.blob.core.windows.net/jobs' id roles body
    body="{\"type\":\"export\",\"storageAuthenticationType\":\"identityBased\",\"outputBlobContainerUri\":\"$uri\"}"
    HUB=second
    [ "$(hub_status POST /jobs/create "$body")" = '400 BlobContainerValidationError' ]
    run cat "$BATS_TEST_TMPDIR/body"
    has 'no managed identity'
    make_hub second S1 ',"identity":{"type":"SystemAssigned"}'
    [ "$(hub_status POST /jobs/create "$body")" = '400 BlobContainerValidationError' ]
    run cat "$BATS_TEST_TMPDIR/body"
    has 'Unauthorized to read from output blob container'
    id=$(arm GET '/Microsoft.Devices/IotHubs/second?api-version=2023-06-30' |
        jq -r .identity.principalId)
    roles="/Microsoft.Storage/storageAccounts/contosowestdata/providers/Microsoft.Authorization/roleAssignments/6d1d2f2a-0000-4000-8000-000000000001?api-version=2022-04-01"
    arm PUT "$roles" -d "{\"properties\":{\"principalId\":\"$id\",\"roleDefinitionId\":\"/subscriptions/$AZURE_SUBSCRIPTION_ID/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe\"}}" |
        jq -e .id
    local i
    for ((i = 0; i < 100; i++)); do
        run hub POST /jobs/create "$body"
        [[ $output != *jobId* ]] || break
        sleep 0.05
    done
    jq -e '.storageAuthenticationType == "identityBased"' <<<"$output"
    run wait_job "$(jq -r .jobId <<<"$output")"
    jq -e '.status == "completed"' <<<"$output"
    # One that the hub does not have.
    body=$(jq -c '. + {identity: {userAssignedIdentity: "/subscriptions/x"}}' <<<"$body")
    [ "$(hub_status POST /jobs/create "$body")" = '400 BlobContainerValidationError' ]
    # And one that it has.
    HUB=contoso
    id=$(arm GET '/Microsoft.Devices/IotHubs/contoso?api-version=2023-06-30' |
        jq -r '.identity.userAssignedIdentities | keys[0]')
    body=$(jq -c --arg id "$id" '. + {identity: {userAssignedIdentity: $id}}' <<<"$body")
    arm PUT "${roles/0001/0002}" -d "{\"properties\":{\"principalId\":$(
        arm GET '/Microsoft.Devices/IotHubs/contoso?api-version=2023-06-30' |
            jq '[.identity.userAssignedIdentities[]][0].principalId'
    ),\"roleDefinitionId\":\"/subscriptions/$AZURE_SUBSCRIPTION_ID/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe\"}}" |
        jq -e .id
    run run_job "$body"
    echo "$output"
    jq -e --arg id "$id" '.status == "completed"
        and .identity.userAssignedIdentity == $id' <<<"$output"
}

@test "an import: every mode, by name in any case and by number" {
    make_container modes
    HUB=second
    import modes <<END
{"id":"m1","importMode":"create","status":"enabled",$key,"tags":{"a":1},"properties":{"desired":{"x":1},"reported":{"r":1}},"capabilities":{"iotEdge":false}}
{"id":"m2","importMode":"CREATE","status":"disabled","statusReason":"lost",$key}
{"id":"m3","status":"enabled","authentication":null,"tags":{"a":1}}
{"id":"m4","importMode":1,"status":"enabled",$key}
{"id":"m5","importMode":0,"status":"enabled",$key}
{"id":"m1","moduleId":"mod","importMode":"createOrUpdate","status":"enabled",$key,"tags":{"t":1}}
END
    [ "$(lines_of modes importErrors.log | wc -c)" -eq 0 ]
    hub GET /devices/m1 | jq -e '.authentication.symmetricKey.primaryKey == "MDEyMzQ1Njc4OWFiY2RlZg=="'
    hub GET /devices/m2 | jq -e '.status == "disabled" and .statusReason == "lost"'
    hub GET /devices/m3 | jq -e '.authentication.symmetricKey.primaryKey | length == 44'
    hub GET /twins/m1 | jq -e '.tags == {a: 1} and .properties.desired.x == 1 and .properties.reported.r == 1'
    hub GET /twins/m1/modules/mod | jq -e '.tags == {t: 1}'
    local e1 t1
    e1=$(hub GET /devices/m1 | jq -r .etag)
    t1=$(hub GET /twins/m1 | jq -r .etag)
    import modes <<END
{"id":"m1","importMode":"updateTwinIfMatchETag","twinETag":"$t1","status":"enabled","tags":{"b":2},"properties":{"desired":{"y":2},"reported":{"s":2}}}
{"id":"m1","importMode":"updateIfMatchETag","eTag":"$e1","status":"disabled",$key}
{"id":"m2","importMode":2,"status":"enabled",$key}
{"id":"m3","importMode":"UPDATETWIN","status":"enabled","tags":{"c":3}}
{"id":"m4","importMode":"Delete","status":"enabled"}
{"id":"m5","importMode":"createorupdateifmatchetag","eTag":"x","status":"enabled",$key}
{"id":"m6","importMode":"createOrUpdateIfMatchETag","eTag":"x","status":"enabled",$key}
{"id":"m1","importMode":"updateTwinIfMatchETag","twinETag":"$t1","status":"enabled","tags":{"z":9}}
{"id":"m1","importMode":"deleteIfMatchETag","eTag":"$e1","status":"enabled"}
END
    run lines_of modes importErrors.log
    same <(jq -c '[.deviceId, .errorCode]' <<<"$output") - <<'END'
["m5",412001]
["m1",412001]
["m1",412001]
END
    # What the line says replaces the twin; what it does not say stays.
    hub GET /twins/m1 | jq -e '.tags == {b: 2} and .status == "disabled"
        and (.properties.desired | del(.["$metadata", "$version"])) == {y: 2}
        and (.properties.reported | del(.["$metadata", "$version"])) == {s: 2}'
    hub GET /twins/m3 | jq -e '.tags == {c: 3}'
    hub GET /devices/m2 | jq -e '.status == "enabled" and .statusReason == null'
    [ "$(hub_status GET /devices/m4)" = '404 DeviceNotFound' ]
    [ "$(hub_status GET /devices/m6)" = '200 ' ]
}

@test "a job whose lines all fail is completed, and its log says why" {
    make_container fails
    HUB=second
    run import fails <<END
{"id":"f1","importMode":"update","status":"enabled"}
{"id":"f1","importMode":"delete","status":"enabled"}
{"id":"f1","importMode":"updateTwin","status":"enabled","tags":{}}
{"id":"f1","moduleId":"m","status":"enabled"}
{"id":"f 2","status":"enabled"}
{"id":"f3","status":"enabled","deviceScope":"ms-azure-iot-edge://none-1"}
{"id":"f4","moduleId":"\$edgeAgent","status":"enabled","authentication":null}
END
    jq -e '.status == "completed" and .failureReason == null' <<<"$output"
    run lines_of fails importErrors.log
    same <(jq -c '[.deviceId, .moduleId, .errorCode]' <<<"$output") - <<'END'
["f1",null,404001]
["f1",null,404001]
["f1",null,404001]
["f1","m",404001]
["f 2",null,400004]
["f3",null,400000]
["f4","$edgeAgent",401000]
END
    jq -se 'all(.errorStatus | length > 5) and .[0].errorStatus == "A device with ID '\''f1'\'' is not registered."' <<<"$output"
}

@test "lines that cannot be read are quoted in the log, and harm no other" {
    make_container bad
    HUB=second
    {
        printf '\xef\xbb\xbf{"id":"b0","status":"enabled"}\r\n'
        printf '\n  \r\n'
        printf '# a comment\n{"id":"b1"}\n{"id":"b2","status":"enabled"\n'
        printf '{"status":"enabled"}\n{"id":"b3","status":"on"}\n'
        printf '{"id":"b4","status":"enabled","importMode":"merge"}\n'
        printf '{"id":"b5","status":"enabled","importMode":9}\n'
        printf '{"id":"b6","status":"enabled","tags":[1]}\n'
        printf '{"id":7,"status":"enabled"}\nnull\n[]\n"x"\n'
        printf '{"id":"b\xff8","status":"enabled"}\n'
        printf '{"id":"b9\0","status":"enabled"}\n'
        printf '{"id":"c1","status":"enabled","x":'
        head -c 5000 /dev/zero | tr '\0' '['
        printf '\n{"id":"c2","status":"enabled","tags":{"a":"'
        head -c 1200000 /dev/zero | tr '\0' a
        printf '"}}\n{"id":"c3","status":"enabled","x":"'
        head -c 5000000 /dev/zero | tr '\0' a
        printf '"}\n{"id":"c4","status":"enabled"}'
    } | import bad | jq -e '.status == "completed"'
    lines_of bad importErrors.log >"$BATS_TEST_TMPDIR/log"
    run jq -c '[.deviceId, .errorCode]' "$BATS_TEST_TMPDIR/log"
    same <(sort <<<"$output" | uniq -c | sed 's/^ *//') - <<'END'
1 ["b6",400004]
1 ["c2",400004]
15 [null,400012]
END
    run grep -c 'Invalid device format in line: ' "$BATS_TEST_TMPDIR/log"
    [ "$output" -eq 15 ]
    run head -2 "$BATS_TEST_TMPDIR/log"
    has 'Invalid device format in line: # a comment. ' \
        "line: {\\\"id\\\":\\\"b1\\\"}. Required property 'status' not found"
    local id
    for id in b0 c4; do
        [ "$(hub_status GET /devices/$id)" = '200 ' ]
    done
    [ "$(hub_status GET /devices/c3)" = '404 DeviceNotFound' ]
}

@test "Edge: scopes of the file are another hub's; parents by the scope they have here" {
    make_container edge
    HUB=second
    import edge <<END
{"id":"gw","status":"enabled",$key,"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://gw-111"}
END
    [ "$(lines_of edge importErrors.log | wc -c)" -eq 0 ]
    local scope
    scope=$(hub GET /devices/gw | jq -r .deviceScope)
    [ "$scope" != ms-azure-iot-edge://gw-111 ]
    import edge <<END
{"id":"gw","importMode":"update","status":"disabled",$key,"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://gw-111"}
{"id":"leaf","status":"enabled",$key,"deviceScope":"$scope"}
{"id":"stray","status":"enabled",$key,"deviceScope":"ms-azure-iot-edge://gw-111"}
{"id":"low","status":"enabled",$key,"capabilities":{"iotEdge":true},"parentScopes":["$scope"]}
{"id":"only","status":"enabled",$key,"parentScopes":["$scope"]}
END
    run lines_of edge importErrors.log
    jq -se 'map([.deviceId, .errorCode]) == [["stray", 400000]]' <<<"$output"
    hub GET /devices/gw | jq -e --arg s "$scope" '.status == "disabled" and .deviceScope == $s'
    hub GET /devices/leaf | jq -e --arg s "$scope" '.parentScopes == [$s]'
    hub GET /devices/low | jq -e --arg s "$scope" '.parentScopes == [$s]'
    hub GET /devices/only | jq -e '.parentScopes == []'
}

@test "configurations are imported, with a log of their own" {
    make_container conf
    HUB=second
    put conf configurations.txt <<'END'
{"Id":"one","SchemaVersion":"1.0","Labels":{"a":"b"},"Content":{"DeviceContent":{"properties.desired.q":1},"ModulesContent":null},"TargetCondition":"tags.q='y'","Priority":7,"Metrics":{"Queries":{"m":"SELECT deviceId FROM devices"}},"importMode":"createOrUpdateIfMatchETag"}
{"id":"two","content":{},"importMode":"create"}
{"Id":"three","importMode":"delete"}
not json
END
    import conf '{includeConfigurations: true}' </dev/null |
        jq -e '.status == "completed" and .includeConfigurations'
    hub GET /configurations/one | jq -e '.priority == 7 and .labels == {a: "b"}
        and .content.deviceContent == {"properties.desired.q": 1}
        and .metrics.queries.m == "SELECT deviceId FROM devices"'
    run lines_of conf importConfigErrors.log
    jq -se 'map([.configurationId, .errorCode])
        == [["two", 400403], ["three", 404301], [null, 400012]]' <<<"$output"
    [ "$(lines_of conf importErrors.log | wc -c)" -eq 0 ]
}

@test "a full hub fails the import, and keeps what came before" {
    make_container full
    HUB=free
    jq -nrc 'range(510) | {id: "q\(.)", status: "enabled"}' |
        run import full
    jq -e '.status == "failed" and (.failureReason | test("quota"))' <<<"$output"
    hub GET /statistics/devices | jq -e '.totalDeviceCount == 500'
    lines_of full importErrors.log | jq -e '.errorCode == 403002 and .deviceId == "q500"'
}

@test "a container that is not there any more, or a blob, fails the job" {
    make_container goes
    HUB=second
    run run_job "$(jq -nc --arg u "$(container goes)" \
        '{type: "import", inputBlobContainerUri: $u, outputBlobContainerUri: $u, inputBlobName: "none"}')"
    echo "$output"
    jq -e '.status == "failed" and (.failureReason | test("none"))' <<<"$output"
}

@test "the log goes under the name that is given" {
    make_container log
    HUB=second
    echo '# comment' | import log '{outputBlobName: "other.log"}'
    lines_of log other.log | jq -e '.errorCode == 400012'
    run blob GET log importErrors.log
    has BlobNotFound
}

@test "the other door: exportDevices, importDevices and jobs of Resource Manager" {
    local hub=/Microsoft.Devices/IotHubs/second v='api-version=2023-06-30' job i
    make_container door
    job=$(arm POST "$hub/exportDevices?$v" -d "$(jq -nc --arg u "$(container door)" \
        '{exportBlobContainerUri: $u, excludeKeys: true, exportBlobName: "e.txt", includeConfigurations: false}')")
    jq -e '.type == "export" and (.startTimeUtc | test(" GMT$"))' <<<"$job"
    for ((i = 0; i < 100; i++)); do
        run arm GET "$hub/jobs/$(jq -r .jobId <<<"$job")?$v"
        [[ $output != *completed* ]] || break
        sleep 0.02
    done
    jq -e '.status == "completed" and .endTimeUtc' <<<"$output"
    run arm GET "$hub/jobs?$v"
    jq -e '.value | length > 0' <<<"$output"
    [ "$(lines_of door e.txt | head -c1)" != '{' ]
    echo '{"id":"by-arm","status":"enabled"}' | put door in.txt
    job=$(arm POST "$hub/importDevices?$v" -d "$(jq -nc --arg u "$(container door)" \
        '{inputBlobContainerUri: $u, outputBlobContainerUri: $u, inputBlobName: "in.txt"}')")
    HUB=second
    wait_job "$(jq -r .jobId <<<"$job")" | jq -e '.type == "import" and .status == "completed"'
    [ "$(hub_status GET /devices/by-arm)" = '200 ' ]
    run arm GET "$hub/jobs/none?$v"
    jq -e '.code == 404002' <<<"$output"
    run arm POST "$hub/exportDevices?$v" -d '{"excludeKeys":false}'
    jq -e '.message | test("exportBlobContainerUri")' <<<"$output"
}

@test "who may only read the registry starts no job" {
    local host=contoso.azure-devices.net se=4102444800 name key sig token
    name=registryRead
    key=$(arm POST '/Microsoft.Devices/IotHubs/contoso/IotHubKeys/registryRead/listkeys?api-version=2023-06-30' -d '' |
        jq -r .primaryKey)
    sig=$(printf '%s\n%s' "$host" "$se" | hmac "$key" | jq -sRr @uri)
    token="SharedAccessSignature sr=$host&sig=$sig&se=$se&skn=$name"
    run to_sim -H "Authorization: $token" -d '{"type":"export"}' \
        "https://$host/jobs/create?$api"
    has IotHubUnauthorizedAccess RegistryWrite
    run to_sim -H "Authorization: $token" "https://$host/jobs?$api"
    jq -e type <<<"$output"
    run to_sim -H "Authorization: $token" "https://$host/jobs/v2/query?$api"
    has ServiceConnect
}

@test "a scheduled job changes the twins that match, when its time has come" {
    local i body
    # The longest time that a client can say is no overflow.
    body=$(jq -nc '{jobId: "j1", type: "scheduleUpdateTwin", startTime: null,
        queryCondition: "tags.site = '\''Kraków'\''", maxExecutionTimeInSeconds: 9223372036854775807,
        updateTwin: {etag: "*", tags: {job: "j1"}, properties: {desired: {job: {n: 1}}}}}')
    run hub PUT /jobs/v2/j1 "$body"
    jq -e '.jobId == "j1" and .status == "enqueued" and .type == "scheduleUpdateTwin"
        and .deviceJobStatistics.deviceCount == 0' <<<"$output"
    [ "$(hub_status PUT /jobs/v2/j1 "$body")" = '409 JobAlreadyExists' ]
    for ((i = 0; i < 100; i++)); do
        run hub GET /jobs/v2/j1
        [[ $output != *'"completed"'* ]] || break
        sleep 0.02
    done
    jq -e '.status == "completed" and .deviceJobStatistics.failedCount == 0
        and .deviceJobStatistics.succeededCount == .deviceJobStatistics.deviceCount
        and .deviceJobStatistics.deviceCount > 10 and .endTime' <<<"$output"
    local n
    n=$(jq .deviceJobStatistics.deviceCount <<<"$output")
    run hub POST /devices/query '{"query":"SELECT COUNT() AS n FROM devices WHERE tags.job = '"'j1'"' AND properties.desired.job.n = 1 AND tags.site = '"'Kraków'"'"}'
    [ "$(jq '.[0].n' <<<"$output")" -eq "$n" ]
    # One for later waits, and can be cancelled.
    body=$(jq -c '.jobId = "j2" | .startTime = "2099-01-01T00:00:00.000Z"' <<<"$body")
    run hub PUT /jobs/v2/j2 "$body"
    jq -e '.status == "scheduled" and (.startTime | test("^2099-01-01T00:00:00"))' <<<"$output"
    run hub GET '/jobs/v2/query?jobStatus=scheduled'
    jq -e 'map(.jobId) == ["j2"]' <<<"$output"
    run hub POST /jobs/v2/j2/cancel
    jq -e '.status == "cancelled"' <<<"$output"
    [ "$(hub_status GET /jobs/v2/none)" = '404 JobNotFound' ]
    # Pages of one.
    hub GET '/jobs/v2/query' '' -H 'x-ms-max-item-count: 1' \
        -D "$BATS_TEST_TMPDIR/head" | jq -e 'length == 1'
    n=$(awk 'tolower($1) == "x-ms-continuation:" { print $2 + 0 }' "$BATS_TEST_TMPDIR/head")
    hub GET '/jobs/v2/query' '' -H 'x-ms-max-item-count: 1' \
        -H "x-ms-continuation: $n" -D "$BATS_TEST_TMPDIR/head" | jq -e 'length == 1'
    run grep -ci x-ms-continuation "$BATS_TEST_TMPDIR/head"
    [ "$output" = 0 ]
}

@test "a job hangs, fails and is cancelled by somebody else, as the control room wants" {
    local u job
    knob() {
        curl -sS -o "$BATS_TEST_TMPDIR/knob" -w '%{http_code}' \
            "$HUB_SIM_CONTROL/jobs/$1" -d "$2"
    }
    make_container knob
    u=$(container knob)
    [ "$(knob second 'cancel')" = 404 ]
    [ "$(knob none 'hold')" = 404 ]
    [ "$(knob second 'explode')" = 400 ]
    [ "$(knob second 'hold')" = 200 ]
    HUB=second
    job=$(hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -r .jobId)
    sleep 0.1
    run hub GET "/jobs/$job"
    jq -e '.status == "enqueued"' <<<"$output"
    [ "$(hub_status POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}")" = \
        '403 JobQuotaExceeded' ]
    [ "$(knob second 'fail the disk is broken')" = 200 ]
    wait_job "$job" | jq -e '.status == "failed" and .failureReason == "the disk is broken"'
    run blob GET knob devices.txt
    has BlobNotFound
    job=$(hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -r .jobId)
    [ "$(knob second cancel)" = 200 ]
    wait_job "$job" | jq -e '.status == "cancelled"'
    job=$(hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -r .jobId)
    [ "$(knob second release)" = 200 ]
    wait_job "$job" | jq -e '.status == "completed"'
    blob GET knob devices.txt -f
}

@test "scheduled jobs: methods fail on devices that are not online; tiers; bad requests" {
    local i body
    body='{"jobId":"m1","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot","payload":null,"responseTimeoutInSeconds":30},"queryCondition":"deviceId IN ['"'device-0009','none'"']"}'
    hub PUT /jobs/v2/m1 "$body" | jq -e '.cloudToDeviceMethod.methodName == "reboot"'
    for ((i = 0; i < 100; i++)); do
        run hub GET /jobs/v2/m1
        [[ $output != *'"completed"'* ]] || break
        sleep 0.02
    done
    jq -e '.deviceJobStatistics == {deviceCount: 1, failedCount: 1, succeededCount: 0, runningCount: 0, pendingCount: 0}' <<<"$output"
    hub POST /devices/query '{"query":"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '"'m1'"' AND status = '"'failed'"'"}' |
        jq -e 'map([.deviceId, .jobId, .jobType, .error.code, .outcome.deviceMethodResponse]) ==
            [["device-0009", "m1", "scheduleDeviceMethod", "DeviceNotOnline", null]]'
    hub POST /devices/query '{"query":"SELECT deviceId FROM devices.jobs WHERE jobId = '"'none'"'"}' |
        jq -e '. == []'
    [ "$(HUB=basic hub_status PUT /jobs/v2/x "$body")" = '403 OperationNotAvailableInCurrentTier' ]
    [ "$(hub_status PUT /jobs/v2/two%20words "$body")" = '400 ArgumentInvalid' ]
    [ "$(hub_status PUT /jobs/v2/x '{"type":"scheduleUpdateTwin","updateTwin":{},"queryCondition":"tags.x ="}')" = '400 ArgumentInvalid' ]
    [ "$(hub_status PUT /jobs/v2/x '{"type":"export"}')" = '400 ArgumentInvalid' ]
    [ "$(hub_status PUT /jobs/v2/x '{"type":"scheduleUpdateTwin","queryCondition":"*"}')" = '400 ArgumentInvalid' ]
    [ "$(hub_status PUT /jobs/v2/x '{"type":"scheduleUpdateTwin","updateTwin":{},"queryCondition":"*","startTime":"soon"}')" = '400 ArgumentInvalid' ]
}
