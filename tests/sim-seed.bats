# sim-seed.bats: hub-sim --registry FILE.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent is no variable

load helper
load dataplane

@test "a fleet is loaded at the start, in whatever order its lines are" {
    local parent
    jq -nrc --argjson n 200 -f "$ROOT/examples/fleet.jq" | tac >"$BATS_TEST_TMPDIR/fleet"
    printf 'a warning, as exports without keys begin\n\n' |
        cat - "$BATS_TEST_TMPDIR/fleet" >"$BATS_TEST_TMPDIR/lines"
    seeded "$BATS_TEST_TMPDIR/lines"
    hub 200 GET /statistics/devices
    is .totalDeviceCount 200
    q 200 'SELECT COUNT() AS n FROM devices.modules'
    is '.[0].n' "$(grep -c moduleId "$BATS_TEST_TMPDIR/fleet")"
    hub 200 GET /devices/factory-0050
    parent=$(jq -r .deviceScope <<<"$output")
    hub 200 GET /devices/line-0050
    is .parentScopes "[\"$parent\"]"
    is '[.authentication.symmetricKey.primaryKey | @base64d | .[:12]]' '["line-0050/p."]'
    hub 200 GET '/twins/line-0050/modules/%24edgeAgent'
    is .properties.desired.runtime.type docker
}

@test "loading keeps bytes, and reported properties" {
    cat >"$BATS_TEST_TMPDIR/lines" <<'END'
{"id":"k","status":"disabled","statusReason":"\u00e9\/","tags":{ "b" : 1.0,"a":[1e2 , "\ud83d\ude00"]},"properties":{"desired":{"n":4503599627370495,"$version":7,"$metadata":{}},"reported":{"r":-0}}}
{"id":"k","moduleId":"m","status":"enabled","tags":{"x":0.10}}
END
    seeded "$BATS_TEST_TMPDIR/lines"
    hub 200 GET /twins/k
    has '"tags":{ "b" : 1.0,"a":[1e2 , "\ud83d\ude00"]}' '"statusReason":"\u00e9\/"' \
        '"desired":{"n":4503599627370495,"$metadata":' '"reported":{"r":-0,'
    is '.properties.desired["$version"]' 1
    hub 200 GET /twins/k/modules/m
    has '"tags":{"x":0.10}'
}

@test "a file that cannot be loaded is refused with the line" {
    refused() {
        printf '%s\n' '{"id":"ok"}' "$1" >"$BATS_TEST_TMPDIR/lines"
        expect_status 3 hub-sim --from "$ROOT/examples/contoso.json" \
            --registry "$BATS_TEST_TMPDIR/lines" -- true
        has 'line 2: ' "$2"
    }
    refused '{"id":"ok"}' 'already registered'
    refused '{"id":"x"' 'at byte'
    refused '{"status":"enabled"}' 'device id'
    refused '{"id":"a b"}' 'device id'
    refused '{"id":"x","moduleId":"m"}' "'x' is not registered"
    refused '{"id":"x","deviceScope":"ms-azure-iot-edge://ok-1"}' 'no Edge device'
    refused '{"id":"x","tags":{"a.b":1}}' 'not allowed'
    refused '{"id":"x","authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}}' 'both keys'
}
