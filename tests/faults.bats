# faults.bats: pulled plugs.  Whatever is killed, whenever: the same command
# again ends where an undisturbed run ends.
# shellcheck shell=bash disable=SC2016 # text for a shell inside hub-sim

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    jq -nrc --argjson n 120 -f "$ROOT/examples/fleet.jq" >fleet.txt
    # east: the destination, without what every hub counts for itself.
    cat >east <<'END'
registry-dump -q env:DEST_IOTHUB_CONN_STRING |
    sed -E 's/"(eTag|twinETag)":"[^"]*",?//g; s/(ms-azure-iot-edge:..[^"]*)-[0-9]+"/\1"/g'
END
    chmod +x east
}

# struck: waits until the fault has been met, which the log says then.
readonly STRUCK='struck() {
    for ((i = 0; i < 200; i++)); do grep -q "\"status\":null" log && return; sleep 0.02; done
    echo "no fault was met"
}
'

sim() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    expect_status 0 hub-sim --from "$FIXTURES/two-hubs.json" \
        --dest contoso-east --operation-ms 1 "${options[@]}" -- \
        bash -o pipefail -c "$STRUCK$2"
}

@test "registry-load: kill -9 behind each of its steps, then again: as if undisturbed" {
    sim -- 'registry-load -q <fleet.txt && ./east >want'
    [ "$(wc -l <want)" -eq "$(wc -l <fleet.txt)" ]
    # Where: bulk creation, scopes, parents, modules, last writes.
    for where in 'method=POST' 'method=POST,skip=1' 'method=POST,skip=2' \
        'method=GET' 'method=PUT' 'method=PUT,skip=3'; do
        sim --log log --fault "host=contoso-east.*,$where,do=hang" -- '
            registry-load -q <fleet.txt >/dev/null 2>&1 & pid=$!
            struck; kill -9 $pid; wait $pid; test $? -eq 137 || echo "it had ended already"
            registry-load -q <fleet.txt && ./east >have'
        echo "$where"
        has_not "ended already" "no fault"
        same <(sort want) <(sort have)
        rm log
    done
}

@test "registry-load: told to end, it can be started again" {
    sim -- 'registry-load -q <fleet.txt && ./east >want'
    for signal in INT TERM HUP PIPE; do
        rm -f log
        sim --log log --fault 'host=contoso-east.*,skip=2,do=hang' -- '
            sh -c "trap - INT; exec registry-load -q <fleet.txt >/dev/null 2>&1" & pid=$!
            struck; kill -'$signal' $pid; sleep 0.1; kill -9 $pid 2>/dev/null; wait $pid
            registry-load -q <fleet.txt && ./east >have'
        has_not "no fault"
        same <(sort want) <(sort have)
    done
}

@test "registry-dump: killed, it leaves no file that looks whole" {
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" --registry fleet.txt \
        --log log --fault 'path=*modules*,skip=2,do=hang' -- bash -c "$STRUCK"'
        registry-dump -q -o dump --manifest=m.json & pid=$!
        struck; kill -9 $pid; wait $pid
        [ ! -e dump ] && { [ ! -e m.json ] || ! grep -q "\"complete\":true" m.json; } || exit 9
        registry-dump -q -o dump --manifest=m.json && registry-diff -q dump fleet.txt &&
        jq -e ".complete" m.json'
}

@test "the service is killed in the middle, and comes back with its state: the same end" {
    sim -- 'registry-load -q <fleet.txt && ./east >want'
    # hub-sim itself dies and is started again; what it acknowledged is there.
    hub-sim --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 --db state \
        --fault 'host=contoso-east.*,method=POST,skip=1,do=lose' -- bash -c '
        registry-load -q --retry-max-time=0 <fleet.txt >/dev/null 2>&1 & pid=$!
        sleep 0.3; kill -9 $HUB_SIM_PID $pid' || true
    hub-sim --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 --db state -- \
        bash -o pipefail -c 'registry-load -q <fleet.txt && ./east >have'
    same <(sort want) <(sort have)
}

@test "tmpl-deploy: kill -9 at each request, then again: as if undisturbed" {
    cp "$ROOT/examples/contoso.json" .
    cat >steps <<'END'
[ -e east.json ] || hub-export -q -g west-rg contoso | tmpl-rewrite -q --name contoso-east --location eastus | key-inject -q >east.json
END
    local show='hub-export -q -g east-rg contoso-east'
    expect_status 0 hub-sim --from contoso.json -- bash -o pipefail -c \
        ". ./steps && tmpl-deploy -q -g east-rg east.json >result && $show >want"
    for where in 'path=*/east-rg' 'path=*validate' 'method=PUT,path=*deployments*' 'path=*operations*,method=GET'; do
        # Operations are asked for only while the deployment runs.
        local takes=()
        [[ $where == *operations* ]] && takes=(--operation-ms 1500)
        for how in hang lose; do
            rm -f log
            expect_status 0 hub-sim --from contoso.json --log log "${takes[@]}" \
                --fault "$where,do=$how" -- bash -o pipefail -c "$STRUCK
                { tmpl-deploy -q -g east-rg east.json >result 2>&1 & } 2>/dev/null; pid=\$!
                struck; kill -9 \$pid 2>/dev/null; wait \$pid
                tmpl-deploy -q -g east-rg east.json >result && $show >have"
            echo "$where $how"
            has_not "no fault"
            same <(sort want) <(sort have)
            [ "$(jq -r .provisioningState result)" = Succeeded ]
        done
    done
}
