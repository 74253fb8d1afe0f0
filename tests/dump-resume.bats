# registry-dump --state: killed at any moment, it goes on; no line twice, none
# missing.
# shellcheck shell=bash disable=SC2016 # $ in what hub-sim's shell evaluates

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    jq -nrc --argjson n "${FLEET-200}" -f "$ROOT/examples/fleet.jq" >f.txt
    cat >load <<'END'
DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING IOTHUB_CONN_STRING= registry-load -q <f.txt
END
    # kill_until_done COMMAND...: kill -9, each time a little later, and again.
    cat >kill_until_done <<'END'
# Unwinding every allocation would take longer than it may live.
export ASAN_OPTIONS=detect_leaks=0 LSAN_OPTIONS=
ms=40 n=0 status=137
while [ $status -eq 137 ]; do
    n=$((n + 1)) ms=$((ms + 3 + ms / 20))
    [ ! -e d.txt ] || cmp -s want.txt d.txt || exit 99 # not complete, and there
    status=$(exec 2>err; timeout -s KILL $((ms / 1000)).$(printf %03d $((ms % 1000))) "$@" >out; echo $?)
done
grep -v HUBPIPE_CONNECT_TO err
echo "$n runs"
exit $status
END
    chmod +x load kill_until_done
}

sim() {
    simulate --from "$FIXTURES/two-hubs.json" \
        --dest contoso-east --operation-ms 1 : "${@:1:$#-1}" "./load && ${!#}"
}

@test "kill -9 until done: the same bytes, and a manifest that is right" {
    sim 0 -- 'registry-dump -q -o want.txt --manifest=want.json &&
        ./kill_until_done registry-dump -o d.txt --state=s --manifest=m.json'
    cmp want.txt d.txt
    [ "$(jq -r .sha256 m.json)" = "$(sha256sum <d.txt | cut -d ' ' -f 1)" ]
    [ "$(jq -c 'del(.time)' want.json)" = "$(jq -c 'del(.time)' m.json)" ]
    [ ! -e d.txt.part ]
    [ "$(stat -c %a d.txt)" = 600 ]
}

@test "the same of more than a thousand devices, whose ids come by query" {
    jq -nrc --argjson n 1200 -f "$ROOT/examples/fleet.jq" >f.txt
    sim 0 -- 'registry-dump -q -o want.txt &&
        ./kill_until_done registry-dump -o d.txt --state=s'
    cmp <(sort want.txt) <(sort d.txt)
}

@test "complete: nothing is read, and the status is as it was" {
    sim 0 -- 'registry-dump -q -o d.txt --state=s --manifest=m && cp d.txt e.txt &&
        curl -sd "host=contoso.*;path=/devices*;do=status:500" $HUB_SIM_CONTROL/faults &&
        registry-dump -o d.txt --state=s --manifest=m'
    has "'s': is complete: nothing is left to do" "200 devices"
    cmp d.txt e.txt
    [ "$(jq .complete m)" = true ]
}

@test "a service that fails in the middle, and the same command again" {
    sim 0 -- 'registry-dump -q -o want.txt
        curl -sd "path=/twins/*,skip=120,count=0,do=status:403" $HUB_SIM_CONTROL/faults >/dev/null
        registry-dump -o d.txt --state=s; echo "first: $?"
        [ ! -e d.txt ] && [ -s d.txt.part ] && stat -c "part: %a" d.txt.part
        curl -sX DELETE $HUB_SIM_CONTROL/faults
        registry-dump -o d.txt --state=s && cmp want.txt d.txt'
    has "first: 6" "part: 600" "devices were read before"
}

@test "killed between its last line and its name, and before the manifest" {
    sim 0 -- 'registry-dump -q -o d.txt --state=s --manifest=m.json && cp d.txt want.txt && cp m.json want.json
        sed -i "\$d" s && mv d.txt d.txt.part && rm m.json
        registry-dump -o d.txt --state=s --manifest=m.json && cmp want.txt d.txt && cmp want.json m.json &&
        sed -i "\$d" s && rm m.json && registry-dump -o d.txt --state=s --manifest=m.json && cmp want.json m.json'
    has "200 devices"
}

# half: a dump that was killed in the middle: d.txt.part and s.
half='registry-dump -q -o want.txt
    curl -sd "path=/twins/*,skip=120,count=0,do=status:403" $HUB_SIM_CONTROL/faults >/dev/null
    registry-dump -q -o d.txt --state=s 2>/dev/null; curl -sX DELETE $HUB_SIM_CONTROL/faults; '

@test "torn at any byte: the tail of the part, and of the journal" {
    sim 0 -- "$half"' cp s s0; cp d.txt.part p0
        for cut in 1 17 80 150 300; do
            head -c -$cut s0 >s; { cat p0; echo "{\"id\":\"dev"; } >d.txt.part
            rm -f d.txt; registry-dump -q -o d.txt --state=s && cmp want.txt d.txt || exit 1
        done 2>/dev/null'
}

@test "a part that is not as it was left is refused, and not touched" {
    sim 0 -- "$half"'
        # What the last line that is on disk speaks for, or more, must be there.
        registry-dump -q -o d.txt --state=s 2>/dev/null; mv d.txt d.txt.part; sed -i "\$d" s
        cp d.txt.part p0
        head -c 5000 p0 >d.txt.part; registry-dump -o d.txt --state=s; echo "short: $?"
        sed "3s/enabled/ENABLED/" p0 >d.txt.part; cp d.txt.part p1; registry-dump -o d.txt --state=s; echo "edited: $?"
        cmp p1 d.txt.part; rm d.txt.part; registry-dump -o d.txt --state=s; echo "gone: $?"; [ ! -e d.txt ]'
    has "short: 3" "edited: 3" "gone: 3" "is not as it was left"
}

@test "another hub, other options, no state at all, two at once" {
    sim 0 -- "$half"'
        registry-dump -o d.txt --state=s env:DEST_IOTHUB_CONN_STRING; echo "hub: $?"
        registry-dump -o d.txt --state=s --exclude-keys; echo "options: $?"
        registry-dump -o d.txt --state=f.txt; echo "state: $?"
        registry-dump --state=s; echo "stdout: $?"
        flock s sh -c "registry-dump -o d.txt --state=s; echo two: \$?"'
    has "hub: 2" "was begun with the hub contoso.azure-devices.net, not contoso-east" \
        "options: 2" "state: 3" "is no file that registry-dump has begun" "stdout: 2" \
        "two: 4" "another run is at work with it"
    # What was refused was not touched.
    jq -nrc --argjson n 200 -f "$ROOT/examples/fleet.jq" | cmp - f.txt
}

@test "a condition and a limit belong to the state, quotes and all" {
    cat >w <<'END'
is_defined(deviceId) AND status != 'x"y'
END
    sim 0 -- 'where=$(cat w); registry-dump -q -o want.txt --where "$where" --limit=70
        ./kill_until_done registry-dump -o d.txt --state=s --where "$where" --limit=70
        registry-dump -o d.txt --state=s --limit=70; echo "options: $?"
        registry-dump -o d.txt --state=s --where "$where" --limit=70'
    has "options: 2" "is complete"
    cmp want.txt d.txt
}

@test "disk full: one clear line, and the same command goes on" {
    sim 0 -- 'registry-dump -q -o want.txt
        (ulimit -f 40; trap "" XFSZ; registry-dump -o d.txt --state=s); echo "full: $?"
        [ ! -e d.txt ] && registry-dump -o d.txt --state=s && cmp want.txt d.txt'
    has "full: 4" "write failed: File too large"
}

# By a job of the hub: job WANT COMMANDS, in a hub with a storage account.
job() {
    expect_status "$1" hub-sim --from "$ROOT/examples/contoso.json" --registry f.txt \
        --operation-ms 1 -- bash -o pipefail -c "$2"
}

@test "by a job: kill -9 until done, the same bytes, no container left" {
    job 0 'registry-dump -q --via=rest -o want.txt --configurations=want.conf
        ./kill_until_done registry-dump --via=job -o d.txt --state=s --manifest=m.json --configurations=d.conf &&
        registry-dump --via=job -o d.txt --state=s --manifest=m.json --configurations=d.conf &&
        cmp want.conf d.conf && registry-dump --via=job -o e.txt 2>err && ! grep "that died\|goes on" err'
    has "is complete: nothing is left to do"
    cmp want.txt d.txt
    cmp want.txt e.txt
    [ "$(jq -r .sha256 m.json)" = "$(sha256sum <d.txt | cut -d ' ' -f 1)" ]
    [ "$(jq -c '[.path,.devices,.lines,.complete]' m.json)" = "[\"job\",200,$(wc -l <d.txt),true]" ]
}

# begin OUT STATE: a dump by job that is killed when some of it is written.  One
# piece of the blob comes; where that is not the first, it is begun again.
begin='begin() {
    for try in {1..9}; do
        curl -sd "method=GET,path=/hubpipe-*/devices*,skip=1,count=0,do=hang" $HUB_SIM_CONTROL/faults >/dev/null
        registry-dump --via=job -o $1 --state=$2 & for i in {1..50}; do grep -q "^[PS] [1-9]" $2 2>/dev/null && break; sleep 0.1; done
        kill -9 $!; wait $!; echo "killed: $?"; curl -sX DELETE $HUB_SIM_CONTROL/faults
        grep -q "^[PS] [1-9]" $2 && break
    done
}
'

@test "by a job: what was written is not written again, not even by another job" {
    jq -nrc --argjson n 4000 -f "$ROOT/examples/fleet.jq" >f.txt
    job 0 "$begin"'registry-dump -q --via=job -o want.txt
        begin d.txt s; [ -s d.txt.part ] && [ ! -e d.txt ] || exit
        cp s s0; cp d.txt.part p0
        registry-dump -o d.txt --state=s 2>err || exit; cat err; cmp want.txt d.txt || exit
        # Another job, since that one is over.
        cp s0 s; mv p0 d.txt.part; rm d.txt
        registry-dump -o d.txt --state=s && cmp want.txt d.txt'
    has "killed: 137" "devices were read before" "4000 devices"
}

@test "begun by calls or by a job, it goes on in that way" {
    job 0 'curl -sd "path=/twins/*,skip=120,count=0,do=status:403" $HUB_SIM_CONTROL/faults >/dev/null
        registry-dump -q --via=rest -o d.txt --state=s 2>/dev/null; curl -sX DELETE $HUB_SIM_CONTROL/faults
        registry-dump --via=job -o d.txt --state=s; echo "job: $?"
        registry-dump -q -o d.txt --state=s; echo "calls: $?"
        registry-dump -q -o e.txt && cmp d.txt e.txt'
    has "'s' was begun with --via=rest: it goes on in that way" "job: 2" "calls: 0"
}

@test "gone on with in another order, by calls and by a job: none twice, none missing" {
    jq -nrc --argjson n 2000 -f "$ROOT/examples/fleet.jq" >f.txt
    cat >other <<'END'
h=$IOTHUB_CONN_STRING
jq -c 'select(.moduleId == null and (.id | test("00[37]$"))) + {importMode: "delete"}' f.txt >gone
n=$(wc -l <gone)
IOTHUB_CONN_STRING='' H=$h registry-load -q --no-undo --max-delete=50 --expect=$n --confirm=contoso env:H <gone >/dev/null &&
    echo '{"id":"a-new","status":"enabled","authentication":{"type":"certificateAuthority"}}' |
    IOTHUB_CONN_STRING='' H=$h registry-load -q env:H
END
    job 0 "$begin"'curl -sd "path=/twins/*,skip=1500,count=0,do=status:403" $HUB_SIM_CONTROL/faults >/dev/null
        registry-dump -q --via=rest -o d.txt --state=s 2>/dev/null; curl -sX DELETE $HUB_SIM_CONTROL/faults
        begin e.txt t; cp e.txt.part p0
        bash other || exit; curl -sX PUT -d 60 $HUB_SIM_CONTROL/clock >/dev/null
        registry-dump -q -o d.txt --state=s && registry-dump -q --via=rest -o want.txt || exit
        # The job of that time is gone with its container.
        registry-dump -q --via=job --exclude-keys -o x.txt 2>/dev/null; registry-dump --via=job -o e.txt --state=t'
    for got in d.txt e.txt; do
        [ "$(jq -r '"\(.id)/\(.moduleId)"' $got | sort | uniq -d | wc -l)" -eq 0 ]
        [ -z "$(comm -13 <(jq -r .id $got | sort -u) <(jq -r .id want.txt | sort -u))" ]
        grep -q '"a-new"' $got
    done
    has "devices were read before"
    # Of those that are gone, what was written before stays.
    comm -23 <(jq -r .id e.txt | sort -u) <(jq -r .id want.txt | sort -u) >stay
    [ -s stay ]
    [ "$(grep -vc '00[37]$' stay)" -eq 0 ]
}
