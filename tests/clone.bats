# The whole job: a routed hub cloned to another region, and proved equal.
# shellcheck shell=bash

load helper

setup_file() {
    jq -nrc --argjson n 200 -f "$ROOT/examples/fleet.jq" \
        >"$BATS_FILE_TMPDIR/fleet.txt"
    jq -nrc --argjson n 40 -f "$ROOT/examples/fleet.jq" \
        >"$BATS_FILE_TMPDIR/small.txt"
}

# in_sim [SIM OPTION...] -- SHELL TEXT
in_sim() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    hub-sim --from "$ROOT/examples/contoso.json" -g west-rg \
        --registry "${FLEET:-$BATS_FILE_TMPDIR/small.txt}" \
        --dest contoso-east "${options[@]}" -- \
        bash -o pipefail -c "cd '$BATS_TEST_TMPDIR' && $2"
}

readonly PIPE='hub-export -g west-rg contoso |
    tmpl-rewrite --name contoso-east --location eastus |
    key-inject | tmpl-deploy -g east-rg >deployed.json'
readonly REGISTRY='registry-dump | registry-load && registry-diff'

@test "the pipeline of the first page clones a hub and proves it" {
    FLEET=$BATS_FILE_TMPDIR/fleet.txt
    expect_status 0 in_sim -- "$PIPE && $REGISTRY"
    jq -e '.provisioningState == "Succeeded"' "$BATS_TEST_TMPDIR/deployed.json"
}

@test "keys by reference instead of literals, the same clone" {
    expect_status 0 in_sim -- "${PIPE/key-inject/key-inject --by-reference} && $REGISTRY"
}

@test "the clone's template is the original's but for name and region" {
    expect_status 0 in_sim -- "$PIPE
        hub-export -g west-rg contoso >a.json
        hub-export -g east-rg contoso-east |
            tmpl-rewrite --name contoso --location westus >b.json
        tmpl-rewrite <a.json | diff - b.json"
}

@test "one device's key broken on the clone: the proof fails and names it" {
    expect_status 1 in_sim -- "$PIPE && registry-dump | registry-load &&
        registry-dump env:DEST_IOTHUB_CONN_STRING |
            registry-edit --where '.id == \"device-0014\" and (.moduleId | not)' \
                --mode update \
                --set 'authentication.symmetricKey.primaryKey=\"YnJva2VuIGJyb2tlbiBicm9rZW4=\"' |
            registry-load && registry-diff >differences"
    [ "$(jq -r '.id + " " + .path' "$BATS_TEST_TMPDIR/differences")" = \
        "device-0014 /authentication/symmetricKey/primaryKey" ]
    has_not YnJva2Vu
    run cat "$BATS_TEST_TMPDIR/differences"
    has_not YnJva2Vu ZGV2aWNl
}

@test "loading twice changes nothing; a third hub's records come by file" {
    expect_status 0 in_sim -- "$PIPE && registry-dump >a.txt && registry-load <a.txt &&
        registry-dump env:DEST_IOTHUB_CONN_STRING | registry-edit --drop eTag >b.txt &&
        registry-load <a.txt &&
        registry-dump env:DEST_IOTHUB_CONN_STRING | registry-edit --drop eTag >c.txt &&
        cmp b.txt c.txt &&
        registry-diff a.txt c.txt && registry-diff a.txt"
}

@test "the dump's lines are equal at any -j" {
    expect_status 0 in_sim -- "registry-dump -j 1 >a && registry-dump -j 16 >b && cmp a b"
}

@test "deploying again says there is nothing to do" {
    expect_status 0 in_sim -- "$PIPE; hub-export -g west-rg contoso |
        tmpl-rewrite --name contoso-east --location eastus | key-inject |
        tmpl-deploy -n -g east-rg"
    has "plan: 0 to add, 0 to change, 0 to delete"
}

@test "no secret in any message, plan or history" {
    expect_status 0 in_sim --log "$BATS_TEST_TMPDIR/log" -- \
        "{ ${PIPE//hub-export/hub-export -v}; $REGISTRY; } 2>messages
        hub-export -g west-rg contoso | tmpl-rewrite --name third |
            key-inject -v 2>>messages | tmpl-deploy -v -n -g third-rg >>messages 2>&1
        registry-dump -v 2>>messages >/dev/null
        echo \"\$IOTHUB_CONN_STRING\" >secrets"
    key=$(sed 's/.*SharedAccessKey=//' "$BATS_TEST_TMPDIR/secrets")
    [ "${#key}" -ge 40 ]
    run cat "$BATS_TEST_TMPDIR/messages" "$BATS_TEST_TMPDIR/deployed.json" "$BATS_TEST_TMPDIR/log"
    [ "$status" -eq 0 ]
    has_not "$key" "ZGV2aWNlLTAw" "Bearer ey" "sig="
    run grep -Ec 'AccountKey=[^*]|SharedAccessKey=[^*]' "$BATS_TEST_TMPDIR/messages"
    [ "$output" = 0 ]
}

@test "the demo's numbers follow its inputs, and it fits a screen" {
    expect_status 0 env DEVICES=60 "$ROOT/examples/demo"
    [ "${#lines[@]}" -le 24 ]
    has "equal" "$(jq -nrc --argjson n 60 -f "$ROOT/examples/fleet.jq" | wc -l) records"
    expect_status 0 env DEVICES=30 "$ROOT/examples/demo"
    has "$(jq -nrc --argjson n 30 -f "$ROOT/examples/fleet.jq" | wc -l) records"
}
