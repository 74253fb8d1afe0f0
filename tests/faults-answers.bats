# faults-answers.bats: answers that tests/matrix has found believed, or not
# believed, wrongly; see there for all of them, at 10,000 devices.
# shellcheck shell=bash disable=SC2016,SC2154

load helper
load jobs

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    jq -nrc --argjson n 60 -f "$ROOT/examples/fleet.jq" >f.txt
    cat >load <<'END'
DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING IOTHUB_CONN_STRING='' exec registry-load --retry-delay=0.01 "$@"
END
    # equal: the hub is like f.txt, whatever it was asked before.
    cat >equal <<'END'
curl -sfX DELETE "$HUB_SIM_CONTROL/faults" >/dev/null
registry-diff -q f.txt env:IOTHUB_CONN_STRING
END
    chmod +x load equal
}

sim() {
    simulate --from "$ROOT/examples/contoso.json" --operation-ms 1 --log log : "$@"
}

@test "200 without a body to a write is no success" {
    for path in '/devices/*' '/twins/*'; do
        sim 0 --fault "host=contoso.*,method=PUT,path=$path,count=3,do=empty" -- \
            './load -q <f.txt && ./equal'
        [ "$(grep -c '"fault"' log)" -eq 3 ]
        rm log
    done
    # Nor is it an empty page of a query, or a delete.
    sim 0 --doubt query-lag=off --fault 'path=/devices/query,do=empty' --registry f.txt -- \
        'registry-dump -q --retry-delay=0.01 --where "is_defined(deviceId)" | registry-diff -q f.txt -'
    sim 0 --fault 'method=DELETE,path=/devices/*,count=2,do=empty' --registry f.txt -- '
        grep "camera" f.txt | registry-edit --mode=delete >gone.txt
        DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING IOTHUB_CONN_STRING= registry-load -q --retry-delay=0.01 --confirm=contoso \
            --expect=$(wc -l <gone.txt) --max-delete=100% --no-undo env:DEST_IOTHUB_CONN_STRING <gone.txt
        ! registry-dump -q | grep camera'
}

@test "one call in five is told that its token has expired: the others get in, so it is asked again" {
    sim 0 --fault 'host=contoso.*,prob=0.2,count=0,do=expired' -- './load <f.txt && ./equal'
    has "78 applied" "0 failed, 0 rejected, 0 not tried"
    sim 0 --fault 'host=contoso.*,prob=0.2,count=0,do=expired' --registry f.txt -- \
        'registry-dump -q --retry-delay=0.01 >d.txt; status=$?; registry-diff -q f.txt d.txt; exit $status'
    # A key that is wrong is told at once.
    rm log
    sim 6 -- 'IOTHUB_CONN_STRING=${IOTHUB_CONN_STRING%?????}AAAA= registry-dump'
    has "IotHubUnauthorized"
    [ "$(jq -s 'map(select(.host == "contoso.azure-devices.net" and .status == 401)) | length' log)" -le 4 ]
}

@test "a module of a device that is enabled, refused with 401: once more" {
    sim 0 --fault 'host=contoso.*,path=*/modules/*,count=6,do=expired' -- './load -j 1 <f.txt && ./equal'
    has "0 failed"
    sim 0 --fault 'host=contoso.*,path=/devices/*/modules,skip=2,count=3,do=expired' --registry f.txt -- \
        'registry-dump -q -j 1 | registry-diff -q f.txt -'
}

@test "every first answer is lost, after all was done: no reject, and nothing twice" {
    for via in rest job; do
        sim 0 --fault once=1,count=0,do=lose -- \
            "./load --via=$via --rejects=r.txt --outcomes=all <f.txt >out && ./equal"
        has "0 failed, 0 rejected, 0 not tried"
        [ ! -s r.txt ]
        [ "$(jq -r .line out | sort -n | paste -sd ' ')" = "$(seq -s ' ' 78)" ]
        [ "$(jq -s 'map(select(.fault)) | length' log)" -gt 20 ]
        rm log
    done
    for via in rest job; do
        sim 0 --fault once=1,count=0,do=lose --registry f.txt -- \
            "registry-dump -q --via=$via --retry-delay=0.01 | registry-diff -q f.txt -"
    done
}

# wait_for COMMAND...: until it is true.
wait_for() {
    local i
    for ((i = 0; i < 400; i++)); do
        "$@" && return
        sleep 0.02
    done
    return 1
}

@test "a job of a run that was careful is not believed to hold what it does not" {
    # There already, with another twin: the second run leaves them to calls.
    # Those that are looked at when a job is believed are others.
    jq -nc '("x" * 24 | @base64) as $k | range(200) | {id: "d\(.)", status: "enabled", authentication: {type: "sas",
        symmetricKey: {primaryKey: $k, secondaryKey: $k}}, tags: {n: .}, properties: {desired: {n: .}}}' >f.txt
    sed -n 2,4p f.txt | jq -c '.tags = {old: 1}' >old.txt
    sed '2,4s/{/{"importMode":"updateTwin",/' f.txt >in.txt
    cat >run <<'END'
./load -q <old.txt || exit
running() { sqlite3 -cmd '.timeout 5000' db 'SELECT count(*) FROM job WHERE status < 2' | grep -qx "$1"; }
asked() { grep -q jobs/create log; }
# The first is killed before its job has begun,
curl -sd 'path=/jobs/create,do=hang' "$HUB_SIM_CONTROL/faults" >/dev/null
./load -q --via=job --journal=j <in.txt >out 2>err & pid=$!
wait_for asked; kill -9 $pid; wait $pid
curl -sX DELETE "$HUB_SIM_CONTROL/faults" >/dev/null
# the second while its own runs,
curl -sd hold "$HUB_SIM_CONTROL/jobs/contoso" >/dev/null
./load -q --via=job --journal=j <in.txt >out 2>err & pid=$!
wait_for running 1; sleep 0.3; kill -9 $pid; wait $pid
curl -sd release "$HUB_SIM_CONTROL/jobs/contoso" >/dev/null
# and the third goes on with that.
./load --via=job --journal=j --outcomes=all <in.txt >out
status=$?
./equal || exit 9
exit $status
END
    sim 0 --db db -- "$(declare -f wait_for); . ./run"
    has "goes on with import job" "200 applied"
}
