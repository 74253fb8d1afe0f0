# sim-pages.bats: how hub-sim answers queries: in pages, groups too, and late
# (CONTRACT 14).
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

load helper
load dataplane

@test "queries: pages that end, whatever their size and order" {
    local page token
    own_sim --doubt=list-order=created --doubt=query-max=100
    jq -nc '[range(100) | {id: "d\(997 * . % 250)", importMode: "create", status: "enabled", tags: {n: (. % 2)}}]' >"$BATS_TEST_TMPDIR/1"
    jq -nc '[range(100; 200) | {id: "d\(997 * . % 250)", importMode: "create", status: "enabled", tags: {n: (. % 2)}}]' >"$BATS_TEST_TMPDIR/2"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/1"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/2"
    hub 200 GET /devices
    is '.[0].deviceId' d0
    is '.[1].deviceId' d247
    # A page of 1000 is cut to 100 by this hub.
    q 200 'SELECT * FROM devices' -H 'x-ms-max-item-count: 1000'
    is length 100
    for page in 30 100; do
        : >"$BATS_TEST_TMPDIR/seen"
        token=
        while :; do
            q 200 'SELECT deviceId FROM devices WHERE tags.n = 1' \
                -H "x-ms-max-item-count: $page" ${token:+-H "x-ms-continuation: $token"}
            jq -r '.[].deviceId' <<<"$output" >>"$BATS_TEST_TMPDIR/seen"
            token=$(header x-ms-continuation)
            [ "$token" ] || break
        done
        [ "$(wc -l <"$BATS_TEST_TMPDIR/seen")" -eq 100 ]
        [ "$(sort -u "$BATS_TEST_TMPDIR/seen" | wc -l)" -eq 100 ]
    done
    q 200 'SELECT * FROM devices' -H 'x-ms-max-item-count: 10'
    token=$(header x-ms-continuation)
    q 400 'SELECT deviceId FROM devices' -H "x-ms-continuation: $token"
    q 400 'SELECT * FROM devices' -H 'x-ms-continuation: bm9uc2Vuc2U='
    q 400 'SELECT * FROM devices' -H 'x-ms-max-item-count: some'
    # TOP counts over pages.
    q 200 'SELECT TOP 12 * FROM devices' -H 'x-ms-max-item-count: 10'
    token=$(header x-ms-continuation)
    q 200 'SELECT TOP 12 * FROM devices' -H 'x-ms-max-item-count: 10' -H "x-ms-continuation: $token"
    is length 2
    [ -z "$(header x-ms-continuation)" ]
}

@test "queries lag: the deleted are still found, the new not yet; modules unconnected" {
    own_sim --doubt=query-lag=on --doubt=modules-query=connected
    hub 200 PUT /devices/gone -d '{}'
    hub 204 DELETE /devices/gone -H 'If-Match: *'
    hub 200 PUT /devices/new -d '{}'
    hub 200 PUT /devices/new/modules/m -d '{}'
    q 200 'SELECT * FROM devices'
    is 'map(.deviceId)' '["gone"]'
    hub 200 GET /devices
    is 'map(.deviceId)' '["new"]'
    q 200 'SELECT * FROM devices.modules'
    is length 0
}

@test "queries: groups come in pages too, each once" {
    local token seen=$BATS_TEST_TMPDIR/seen
    make_hub many '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=many
    for n in 0 1 2; do
        jq -nc --argjson n $n '[range(100) | . + 100 * $n | {id: "d\(.)", importMode: "create", status: "enabled", tags: {g: (. % 97), n: .}}]' >"$BATS_TEST_TMPDIR/c"
        hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/c"
    done
    token=
    : >"$seen"
    for n in 1 2 3 4 5; do
        q 200 'SELECT tags.g AS g, COUNT() AS c, SUM(tags.n) AS s FROM devices GROUP BY tags.g' \
            -H 'x-ms-max-item-count: 20' ${token:+-H "x-ms-continuation: $token"}
        [ "$(header x-ms-item-type)" = Raw ]
        jq -c '.[]' <<<"$output" >>"$seen"
        token=$(header x-ms-continuation)
        [ "$token" ] || break
    done
    [ "$n" -eq 5 ]
    [ "$(jq -r .g "$seen" | sort -nu | wc -l)" -eq 97 ]
    [ "$(jq -s 'map(.c) | add' "$seen")" -eq 300 ]
    [ "$(jq -s 'map(.s) | add' "$seen")" -eq $((299 * 150)) ]
    q 200 'SELECT TOP 3 tags.g, COUNT() AS c FROM devices GROUP BY tags.g'
    is length 3
    q 200 'SELECT COUNT() AS c, AVG(tags.nobody) AS a FROM devices WHERE tags.n < 0'
    is . '[{"c":0}]'
}

@test "queries: pages stand while devices come and go" {
    local token seen=$BATS_TEST_TMPDIR/seen i=0
    make_hub moving '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=moving
    jq -nc '[range(100) | {id: "k\(. + 100)", importMode: "create", status: "enabled"}]' >"$BATS_TEST_TMPDIR/c"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/c"
    : >"$seen"
    token=
    while :; do
        q 200 'SELECT deviceId FROM devices' -H 'x-ms-max-item-count: 7' \
            ${token:+-H "x-ms-continuation: $token"}
        jq -r '.[].deviceId' <<<"$output" >>"$seen"
        token=$(header x-ms-continuation)
        [ "$token" ] || break
        # One before the place, one after it, and the last that was shown.
        hub 200 POST /devices -d "[{\"id\":\"a$i\",\"importMode\":\"create\",\"status\":\"enabled\"},{\"id\":\"z$i\",\"importMode\":\"create\",\"status\":\"enabled\"},{\"id\":\"$(tail -1 "$seen")\",\"importMode\":\"delete\"}]"
        i=$((i + 1))
    done
    [ -z "$(sort "$seen" | uniq -d)" ]
    [ "$(grep -c '^k' "$seen")" -eq 100 ]
    # A token is of its query and of its hub.
    q 200 'SELECT * FROM devices' -H 'x-ms-max-item-count: 7'
    token=$(header x-ms-continuation)
    [ "$token" ]
    HUB=hub1
    q 400 'SELECT * FROM devices' -H "x-ms-continuation: $token"
}

@test "queries lag by the simulated clock: late for the new, ghosts for 25 minutes, in pages" {
    own_sim --doubt=query-lag=on --speed=100
    jq -nc '[range(30) | {id: "g\(. + 10)", importMode: "create", status: "enabled", tags: {n: .}}]' >"$BATS_TEST_TMPDIR/c"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/c"
    soon_q 30 length 'SELECT * FROM devices'
    hub 200 PUT /devices/kept -d '{}'
    soon_q 31 length 'SELECT * FROM devices'
    jq -c '.[:25] | map(.importMode = "delete")' "$BATS_TEST_TMPDIR/c" >"$BATS_TEST_TMPDIR/d"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/d"
    hub 404 GET /devices/g10
    q 200 'SELECT COUNT() AS n FROM devices'
    is . '[{"n":31}]'
    : >"$BATS_TEST_TMPDIR/seen"
    token=
    while :; do
        q 200 'SELECT deviceId FROM devices WHERE tags.n >= 0' -H 'x-ms-max-item-count: 4' ${token:+-H "x-ms-continuation: $token"}
        jq -r '.[].deviceId' <<<"$output" >>"$BATS_TEST_TMPDIR/seen"
        token=$(header x-ms-continuation)
        [ "$token" ] || break
    done
    [ "$(sort -u "$BATS_TEST_TMPDIR/seen" | wc -l)" -eq 30 ]
    [ "$(wc -l <"$BATS_TEST_TMPDIR/seen")" -eq 30 ]
    q 200 'SELECT TOP 7 * FROM devices'
    is length 7
}
