# options.bats: long names and options that no other test uses.
# shellcheck shell=bash disable=SC2016 # text for a shell inside hub-sim

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    jq -nrc --argjson n 20 -f "$ROOT/examples/fleet.jq" >fleet.txt
}

sim() {
    expect_status "$1" hub-sim --from "$ROOT/examples/contoso.json" \
        --registry fleet.txt --log log -- bash -o pipefail -c "$2"
}

@test "long options do what the short ones do" {
    sim 0 'hub-export --quiet --resource-group=west-rg --output=a --jobs=2 --timeout=5 contoso &&
        hub-export -q -g west-rg -o b -j 2 contoso && cmp a b &&
        tmpl-rewrite --quiet --name=third --location=eastus --output=new a &&
        key-inject --quiet --dry-run new >plan && key-inject --quiet --output=keyed new &&
        rm log && tmpl-deploy --dry-run --quiet --resource-group=third-rg --output=steps keyed &&
        tmpl-rewrite --quiet --dry-run --name=fourth a >changes &&
        registry-load --quiet --dry-run --rate=60 --confirm=contoso env:IOTHUB_CONN_STRING <fleet.txt >load'
    [ "$(wc -l <plan)" -ge 6 ]
    grep -q '^+ Microsoft.Devices/IotHubs third$' steps
    grep -q '"contoso" -> "fourth"' changes
    jq -es 'any(.[]; .step == "create devices" and .records > 10)' load
    [ "$(jq -s '[.[] | select(.method == "PUT")] | length' log)" -eq 0 ]
}

@test "--progress: a word that is none is a usage error in every tool" {
    for t in registry-dump hub-export tmpl-rewrite key-inject tmpl-deploy \
        registry-load registry-diff registry-edit hub-sim; do
        expect_status 2 "$t" --progress=sometimes
        has "$t: --progress: 'sometimes' is not one of auto|json|none"
    done
}

@test "deletes beside wrong lines: nothing, unless --allow-partial" {
    { echo bad; echo '{"id":"one","importMode":"delete"}'; } >del
    for option in '' --allow-partial; do
        run hub-sim --from "$ROOT/examples/contoso.json" --registry <(printf '%s\n' \
            '{"id":"one","status":"enabled","authentication":{"type":"certificateAuthority"}}') -- \
            bash -c 'export H=$IOTHUB_CONN_STRING; unset IOTHUB_CONN_STRING
            registry-load '$option' --max-delete=1 --no-undo --expect=2 --confirm=contoso env:H <del >out; echo "status $?"
            registry-dump -q env:H | wc -l'
        echo "$output"
        case $option in
        '') has "status 3" "--allow-partial" && [ "${lines[-1]}" -eq 1 ] ;;
        *) has "status 7" && [ "${lines[-1]}" -eq 0 ] ;;
        esac
    done
}
