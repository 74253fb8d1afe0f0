# sim-registry.bats: the data plane of hub-sim: identities, modules, bulk calls,
# statistics (CONTRACT 11, 12), asked with curl.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent is no variable

load helper
load dataplane

scheme=ms-azure-iot-edge://

@test "create, create again, read: errors in the service's form" {
    hub 200 PUT /devices/c1 -d '{"deviceId":"c1","statusReason":"h\u00e9","status":"disabled"}'
    is .status disabled
    is .connectionStateUpdatedTime 0001-01-01T00:00:00
    has '"statusReason":"h\u00e9"'
    [ "$(header etag)" = "\"$(jq -r .etag <<<"$output")\"" ]
    jq -e '.etag | @base64d | test("^[0-9]+$")' <<<"$output"
    hub 409 PUT /devices/c1 -d '{"deviceId":"c1"}'
    error_is DeviceAlreadyExists
    is .Message "ErrorCode:DeviceAlreadyExists;A device with ID 'c1' is already registered."
    jq -e '.ExceptionMessage | test("^Tracking ID:[0-9A-F]{32}-G2:-TimeStamp:20")' <<<"$output"
    hub 404 GET /devices/c2
    error_is DeviceNotFound
    hub 200 GET /devices/c1
    is .connectionStateUpdatedTime 0001-01-01T00:00:00Z
    # An empty If-Match is none.
    hub 200 PUT /devices/c3 -H 'If-Match: ""' -d '{"deviceId":"c3"}'
    hub 400 PUT /devices/c4 -d '{"deviceId":"other"}'
    hub 400 PUT /devices/c4 -d '{"deviceId":"c4"'
    error_is DeserializationError
    hub 400 PUT /devices/c4 -d '[]'
    hub 400 PUT "/devices/c%20d" -d '{}'
    hub 200 GET "/devices/?top=1"
    is length 1
}

@test "update and delete: etags quoted or not, stale, missing, star" {
    local old
    hub 200 PUT /devices/u1 -d '{"deviceId":"u1"}'
    old=$(jq -r .etag <<<"$output")
    hub 404 PUT /devices/u2 -H 'If-Match: *' -d '{"deviceId":"u2"}'
    hub 200 PUT /devices/u1 -H "If-Match: $old" -d "$output"
    hub 200 PUT /devices/u1 -H 'If-Match: *' -d '{"deviceId":"u1","status":"disabled"}'
    [ "$(jq -r '.etag | @base64d' <<<"$output")" -eq $(($(base64 -d <<<"$old") + 2)) ]
    jq -e '.statusUpdatedTime | test("^20")' <<<"$output"
    hub 412 PUT /devices/u1 -H "If-Match: \"$old\"" -d '{"deviceId":"u1"}'
    error_is PreconditionFailed
    has 'ETag mismatch'
    hub 412 DELETE /devices/u1
    has 'Etag missing'
    hub 412 DELETE /devices/u1 -H "If-Match: \"$old\""
    hub 404 DELETE /devices/u2 -H 'If-Match: *'
    hub 204 DELETE /devices/u1 -H 'If-Match: "*"'
    [ -z "$output" ]
    hub 404 GET /devices/u1
    hub 404 GET /twins/u1
}

@test "without authentication the hub makes new keys; halves and bad lengths are refused" {
    local first second
    hub 200 PUT /devices/k1 -d '{"deviceId":"k1","authentication":{"symmetricKey":{"primaryKey":"","secondaryKey":""},"type":"sas"}}'
    first=$(jq -r .authentication.symmetricKey.primaryKey <<<"$output")
    [ "$(base64 -d <<<"$first" | wc -c)" -ge 16 ]
    hub 200 PUT /devices/k1 -H 'If-Match: *' -d '{"deviceId":"k1"}'
    second=$(jq -r .authentication.symmetricKey.primaryKey <<<"$output")
    [ "$first" != "$second" ]
    # The whole identity sent back keeps them.
    hub 200 PUT /devices/k1 -H 'If-Match: *' -d "$output"
    is .authentication.symmetricKey.primaryKey "$second"
    hub 400 PUT /devices/k2 -d '{"authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}}'
    has 'Either no keys or both keys can be set'
    hub 400 PUT /devices/k2 -d '{"authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2Rl","secondaryKey":"MDEyMzQ1Njc4OWFiY2Rl"}}}'
    has 'Invalid device key length'
    hub 400 PUT /devices/k2 -d '{"authentication":{"symmetricKey":{"primaryKey":"no base64!","secondaryKey":"no base64!"}}}'
    # .NET spells + as \u002B.
    hub 200 PUT /devices/k2 -d '{"authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY\u002BRlZg==","secondaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}}'
    is .authentication.symmetricKey.primaryKey MDEyMzQ1Njc4OWFiY+RlZg==
}

@test "certificates: thumbprints as typed, other types without secrets, none refused" {
    local t=0123456789abcdefABCD0123456789abcdefABCD
    hub 200 PUT /devices/x1 -d "{\"authentication\":{\"type\":\"selfSigned\",\"x509Thumbprint\":{\"primaryThumbprint\":\"$t\",\"secondaryThumbprint\":\"$t\"}}}"
    is .authentication.x509Thumbprint.primaryThumbprint $t
    is .authentication.symmetricKey.primaryKey null
    hub 400 PUT /devices/x2 -d '{"authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"01:23"}}}'
    has StringIsNotThumbprint
    hub 200 PUT /devices/x2 -d '{"authentication":{"type":"certificateAuthority"}}'
    is .authentication.type certificateAuthority
    is .authentication.symmetricKey.primaryKey null
    hub 400 PUT /devices/x3 -d '{"authentication":{"type":"none"}}'
    hub 400 PUT /devices/x3 -d "{\"statusReason\":\"$(printf '%0129d' 0)\"}"
    hub 200 PUT /devices/x3 -d "{\"statusReason\":\"$(printf '%0128d' 0)\"}"
}

@test "ids with # % ? and the rest of what ids may hold" {
    hub 200 PUT '/devices/a%23b%25c%3Fd' -d '{"deviceId":"a#b%c?d"}'
    is .deviceId 'a#b%c?d'
    hub 200 PUT "/devices/-.+%25_%23*%3F!(),=@\$'" -d '{}'
    is .deviceId "-.+%_#*?!(),=@\$'"
    hub 200 PUT '/devices/a%23b%25c%3Fd/modules/m%23' -d '{"moduleId":"m#","deviceId":"a#b%c?d"}'
    hub 200 GET '/twins/a%23b%25c%3Fd/modules/m%23'
    is '[.deviceId, .moduleId]' '["a#b%c?d","m#"]'
    hub 204 DELETE '/devices/a%23b%25c%3Fd' -H 'If-Match: *'
    hub 404 GET '/twins/a%23b%25c%3Fd/modules/m%23'
}

@test "modules: full replacement, duplicates in the second form, at most 50" {
    local i
    hub 200 PUT /devices/m1 -d '{}'
    hub 200 PUT /devices/m1/modules/one -d '{"moduleId":"one","deviceId":"m1","managedBy":"me"}'
    is .managedBy me
    is 'has("status")' false
    hub 409 PUT /devices/m1/modules/one -d '{}'
    error_is ModuleAlreadyExistsOnDevice
    is .errorCode 409301
    hub 200 PUT /devices/m1/modules/one -H 'If-Match: *' -d '{}'
    is .managedBy null
    hub 404 GET /devices/m1/modules/two
    error_is ModuleNotFound
    hub 401 PUT '/devices/m1/modules/%24mine' -d '{}'
    hub 200 GET /devices/m1/modules
    is 'map(.moduleId)' '["one"]'
    hub 204 DELETE /devices/m1/modules/one -H 'If-Match: *'
    for ((i = 0; i < 50; i++)); do
        echo "{\"id\":\"m1\",\"moduleId\":\"m$i\",\"importMode\":\"create\",\"status\":\"enabled\"}"
    done | jq -sc . >"$BATS_TEST_TMPDIR/fifty"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/fifty"
    hub 413 PUT /devices/m1/modules/one-too-many -d '{}'
    error_is TooManyModulesOnDevice
}

@test "modules of missing and of disabled devices: 401 with a signature, unless told otherwise" {
    hub 200 PUT /devices/off -d '{}'
    hub 200 PUT /devices/off/modules/m -d '{}'
    hub 200 PUT /devices/off -H 'If-Match: *' -d '{"status":"disabled"}'
    hub 200 GET /devices/off/modules/m
    AUTH=$(policy_sas iothubowner)
    hub 401 GET /devices/off/modules/m
    hub 401 GET /devices/off/modules
    hub 401 GET /devices/nobody/modules/m
    hub 200 GET /twins/off/modules/m
    hub 200 PATCH /twins/off/modules/m -d '{"tags":{"a":1}}'
    own_sim --doubt=module-of-disabled=answered
    AUTH=$(policy_sas iothubowner)
    hub 200 PUT /devices/off -d '{"status":"disabled"}'
    hub 200 PUT /devices/off/modules/m -d '{}'
    hub 200 GET /devices/off/modules/m
    hub 404 GET /devices/nobody/modules
}

@test "Edge: scopes of the hub's own, system modules, parents" {
    local top below
    hub 200 PUT /devices/top-1 -d '{"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://mine-1"}'
    top=$(jq -r .deviceScope <<<"$output")
    [[ $top == ${scheme}top-1-* ]]
    is .deviceScope "${scheme}top-1-$(jq -r .generationId <<<"$output")"
    hub 200 GET /devices/top-1/modules
    is 'map([.moduleId, .managedBy, .authentication.type])' '[["$edgeAgent","iotEdge","none"],["$edgeHub","iotEdge","none"]]'
    hub 200 PATCH '/twins/top-1/modules/%24edgeAgent' -d '{"properties":{"desired":{"a":1}}}'
    hub 401 PUT '/devices/top-1/modules/%24edgeAgent' -H 'If-Match: *' -d '{}'
    error_is SystemModuleModifyUnauthorizedAccess
    hub 401 DELETE '/devices/top-1/modules/%24edgeHub' -H 'If-Match: *'
    hub 200 PUT /devices/below -d "{\"capabilities\":{\"iotEdge\":true},\"parentScopes\":[\"$top\"]}"
    below=$(jq -r .deviceScope <<<"$output")
    is .parentScopes "[\"$top\"]"
    # The parent of a leaf is its deviceScope; parentScopes alone is ignored.
    hub 200 PUT /devices/leaf -d "{\"deviceScope\":\"$below\"}"
    is '[.deviceScope, .parentScopes]' "[\"$below\",[\"$below\"]]"
    hub 200 PUT /devices/leaf2 -d "{\"parentScopes\":[\"$below\"]}"
    is '[.deviceScope, .parentScopes]' '[null,[]]'
    hub 400 PUT /devices/leaf3 -d '{"deviceScope":"ms-azure-iot-edge://top-1-123"}'
    error_is InvalidDeviceScope
    hub 400 PUT /devices/leaf3 -d '{"deviceScope":"ms-azure-iot-edge://leaf-123"}'
    hub 400 PUT /devices/below -H 'If-Match: *' -d '{"capabilities":{"iotEdge":true}}'
    has 'Device scope is immutable'
    hub 200 PUT /devices/below -H 'If-Match: *' -d "{\"capabilities\":{\"iotEdge\":true},\"deviceScope\":\"$below\"}"
    is .parentScopes '[]'
    hub 200 GET /twins/leaf
    is .deviceScope "$below"
}

@test "bulk: modes in any case, part failure, twins, both spellings of codes" {
    hub 200 POST /devices -d '[{"id":"q1","importMode":"create","status":"enabled","tags":{"a":1.0},"properties":{"desired":{"d":1},"reported":{"r":2}}},{"id":"q2","importMode":"Create","status":"disabled","statusReason":"lost"}]'
    is . '{"isSuccessful":true,"errors":[],"warnings":[]}'
    hub 200 GET /twins/q1
    has '"tags":{"a":1.0}'
    is '[.version, .properties.desired.d, .properties.reported.r]' '[2,1,2]'
    is '.properties.desired["$metadata"].d["$lastUpdatedVersion"]' 1
    hub 400 POST /devices -d '[{"id":"q1","importMode":"create","status":"enabled"},{"id":"q3","importMode":"create","status":"enabled"},{"id":"nobody","importMode":"UpdateTwin","status":"enabled","tags":{}},{"id":"q2","importMode":"updateIfMatchETag","eTag":"MQ==","status":"enabled"}]'
    is '.errors | map([.deviceId, .moduleId, .errorCode, .operation])' \
        '[["q1",null,"DeviceAlreadyExists","create"],["nobody",null,"DeviceNotFound","updateTwin"],["q2",null,"PreconditionFailed","updateIfMatchETag"]]'
    hub 200 GET /devices/q3
    hub 200 POST /devices -d '[{"id":"q1","importMode":"updateTwin","status":"enabled","tags":{"b":2}},{"id":"q2","importMode":"Update","status":"enabled","tags":{"ignored":1}},{"id":"q3","importMode":"Delete","status":"enabled"}]'
    hub 200 GET /twins/q1
    is '[.tags, .properties.desired.d, .version]' '[{"b":2},1,3]'
    hub 200 GET /twins/q2
    is '[.status, .tags]' '["enabled",{}]'
    hub 404 GET /devices/q3
    hub 400 POST /devices -d '[{"id":"q4","importMode":"create","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}},{"id":"q5","importMode":"create","status":"enabled","properties":{"desired":{"n":4503599627370496}}}]'
    is '.errors | map([.deviceId, .errorCode])' '[["q4","ArgumentInvalid"],["q5","ArgumentInvalid"]]'
    hub 404 GET /devices/q5
}

@test "bulk: calls that are refused as a whole" {
    hub 400 POST /devices -d '[{"id":"w1","importMode":"create","status":"enabled"},{"id":"w1","importMode":"create","status":"enabled"}]'
    error_is DeviceDefinedMultipleTimes
    hub 400 POST /devices -d '[{"id":"w1","importMode":"create","status":"enabled"},{"id":"w1","moduleId":"m","importMode":"create","status":"enabled"}]'
    error_is DeviceDefinedMultipleTimes
    hub 400 POST /devices -d '[{"id":"w1","importMode":"createOrUpdate","status":"enabled"}]'
    error_is ArgumentInvalid
    hub 400 POST /devices -d '[{"id":7,"importMode":"create"}]'
    error_is DeserializationError
    hub 400 POST /devices -d '{"id":"w1"}'
    hub 400 POST /devices -d '[]'
    jq -nc '[range(101) | {id: "w\(.)", importMode: "create", status: "enabled"}]' >"$BATS_TEST_TMPDIR/many"
    hub 413 POST /devices -d "@$BATS_TEST_TMPDIR/many"
    error_is TooManyDevices
    hub 404 GET /devices/w1
    # Two modules of one device are two identities.
    hub 200 PUT /devices/w1 -d '{}'
    hub 200 POST /devices -d '[{"id":"w1","moduleId":"a","importMode":"create","status":"enabled"},{"id":"w1","moduleId":"b","importMode":"create","status":"enabled"}]'
}

@test "bulk, the other way round: all or nothing, numbers, scopes and reported ignored" {
    own_sim --doubt=bulk-partial=none --doubt=bulk-error-code=number \
        --doubt=bulk-edge-scope=ignored --doubt=reported-on-create=ignored \
        --doubt=bulk-update-twin=both
    local scope
    hub 200 PUT /devices/e -d '{"capabilities":{"iotEdge":true}}'
    scope=$(jq -r .deviceScope <<<"$output")
    hub 400 POST /devices -d '[{"id":"g","importMode":"create","status":"enabled"},{"id":"e","importMode":"create","status":"enabled"}]'
    is '.errors | map(.errorCode)' '[409001]'
    hub 404 GET /devices/g
    hub 200 POST /devices -d "[{\"id\":\"g\",\"importMode\":\"create\",\"status\":\"enabled\",\"deviceScope\":\"$scope\",\"properties\":{\"reported\":{\"r\":1}}}]"
    hub 200 GET /twins/g
    is '[.deviceScope, .properties.reported.r]' '[null,null]'
    hub 200 POST /devices -d '[{"id":"g","importMode":"update","status":"enabled","tags":{"t":1}}]'
    hub 200 GET /twins/g
    is .tags '{"t":1}'
}

@test "statistics; what is not simulated says so" {
    make_hub counted '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=counted
    hub 200 PUT /devices/a -d '{}'
    hub 200 PUT /devices/b -d '{"status":"disabled"}'
    hub 200 PUT /devices/a/modules/m -d '{}'
    hub 200 GET /statistics/devices
    is . '{"totalDeviceCount":2,"enabledDeviceCount":1,"disabledDeviceCount":1}'
    hub 200 GET /statistics/service
    is .connectedDeviceCount 0
    hub 501 POST /twins/a/methods -d '{}'
    has 'hub-sim does not simulate'
}

@test "tiers: a free hub ends at 500 devices, a basic one has no twins" {
    local i
    make_hub free '{"location":"westus","sku":{"name":"F1","capacity":1},"properties":{}}'
    make_hub basic '{"location":"westus","sku":{"name":"B1","capacity":1},"properties":{}}'
    HUB=free
    for i in 0 1 2 3 4; do
        jq -nc --argjson i $i '[range(100) | {id: "d\($i * 100 + .)", importMode: "create", status: "enabled"}]' >"$BATS_TEST_TMPDIR/c"
        hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/c"
    done
    hub 403 PUT /devices/one-more -d '{}'
    error_is IotHubQuotaExceeded
    HUB=basic
    hub 200 PUT /devices/a -d '{}'
    hub 403 GET /twins/a
    error_is OperationNotAvailableInCurrentTier
}

@test "what was acknowledged survives kill -9, and a deleted hub forgets its devices" {
    own_sim --db="$BATS_TEST_TMPDIR/state.db"
    jq -nc '[range(100) | {id: "d\(.)", importMode: "create", status: "enabled"}]' >"$BATS_TEST_TMPDIR/c"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/c"
    hub 200 PATCH /twins/d7 -d '{"tags":{"kept":1.0}}'
    kill -9 "$SIM_PID"
    wait "$SIM_PID" || true
    again --db="$BATS_TEST_TMPDIR/state.db"
    ARM_TOKEN=$(entra https://management.azure.com)
    BEARER=$(entra https://iothubs.azure.net)
    hub 200 GET /statistics/devices
    is .totalDeviceCount 100
    hub 200 GET /twins/d7
    has '"tags":{"kept":1.0}'
    arm DELETE '/providers/Microsoft.Devices/IotHubs/hub1?api-version=2023-06-30' >/dev/null
    sleep 0.1
    make_hub hub1 '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    hub 404 GET /devices/d7
}
