# registry-load --journal: killed at any moment, it goes on; nothing lost,
# nothing twice.
# shellcheck shell=bash disable=SC2016 # $ in what hub-sim's shell evaluates

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    # kill_until_done COMMAND...: kill -9, each time a little later, and again.
    cat >kill_until_done <<'END'
# Unwinding every allocation would take longer than it may live.
export ASAN_OPTIONS=detect_leaks=0 LSAN_OPTIONS=
ms=40 n=0 status=137
while [ $status -eq 137 ]; do
    n=$((n + 1)) ms=$((ms + 3 + ms / 20))
    status=$(exec 2>err; timeout -s KILL $((ms / 1000)).$(printf %03d $((ms % 1000))) "$@" <f.txt >out; echo $?)
done
grep -v HUBPIPE_CONNECT_TO err
echo "$n runs"
exit $status
END
    # fault SPEC: from now on; heal: none any more.
    printf '#!/bin/sh\ncurl -sfd "$1" "$HUB_SIM_CONTROL/faults" >/dev/null\n' >fault
    printf '#!/bin/sh\ncurl -sfX DELETE "$HUB_SIM_CONTROL/faults" >/dev/null\n' >heal
    # call METHOD PATH BODY: what an operator does to the destination meanwhile.
    cat >call <<'END'
#!/usr/bin/env python3
import base64, hashlib, hmac, http.client, os, re, sys, time, urllib.parse
c = dict(p.split("=", 1) for p in os.environ["DEST_IOTHUB_CONN_STRING"].split(";"))
until = str(int(time.time()) + 600)
sig = base64.b64encode(hmac.digest(base64.b64decode(c["SharedAccessKey"]),
    f"{c['HostName']}\n{until}".encode(), hashlib.sha256))
h = http.client.HTTPConnection(os.environ["HUBPIPE_CONNECT_TO"])
h.request(sys.argv[1], sys.argv[2] + "?api-version=2021-04-12", sys.argv[3], {
    "Host": c["HostName"], "Content-Type": "application/json", "If-Match": "*",
    "Authorization": f"SharedAccessSignature sr={c['HostName']}&sig="
    f"{urllib.parse.quote(sig, safe='')}&se={until}&skn={c['SharedAccessKeyName']}"})
r = h.getresponse()
sys.exit(0 if r.status < 300 else r.read().decode())
END
    chmod +x kill_until_done fault heal call
}

sim() {
    simulate --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 : "$@"
}

fleet() {
    jq -nrc --argjson n "$1" -f "$ROOT/examples/fleet.jq"
}

device() {
    local key
    key=$(printf '%s................' "$1" | base64 -w 0)
    echo "{\"id\":\"$1\",\"status\":\"enabled\",\"authentication\":{\"type\":\"sas\",\"symmetricKey\":{\"primaryKey\":\"$key\",\"secondaryKey\":\"$key\"}}${2-}}"
}

@test "kill -9 until done: equal, every outcome, nothing twice, no key in the journal" {
    fleet 400 >f.txt
    sim 0 -- './kill_until_done registry-load --outcomes=all --rejects=r.txt --journal=j &&
        registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING &&
        registry-dump -q --metadata env:DEST_IOTHUB_CONN_STRING >d.txt'
    # The last run tells of all records, those of earlier runs too.
    [ "$(jq -c '[.id, .moduleId]' out | sort -u | wc -l)" -eq "$(wc -l <f.txt)" ]
    [ "$(wc -l <out)" -eq "$(wc -l <f.txt)" ]
    [ "$(jq -r .code out | sort -u | tr '\n' ' ')" = "applied " ]
    [ ! -s r.txt ]
    # A twin comes with its device, or is written once.
    [ "$(jq 'select(.properties.desired["$version"] > 2 or .properties.reported["$version"] > 2)' d.txt | wc -l)" -eq 0 ]
    [ "$(stat -c %a j)" = 600 ]
    jq -r '.authentication.symmetricKey.primaryKey? // empty' f.txt | grep -v '^null' >keys
    [ -s keys ]
    [ "$(grep -cFf keys j)" -eq 0 ]
    [ "$(grep -c device- j)" -eq 0 ]
}

@test "the same with faults, and with each first answer lost" {
    fleet 150 >f.txt
    sim 0 --fault 'prob=0.05,count=0,do=lose' --fault 'prob=0.05,count=0,do=status:500' -- '
        ./kill_until_done registry-load --retry-delay=0.01 --journal=j; ./heal
        registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
}

@test "complete: the same command again sends nothing that writes, and ends 0" {
    fleet 40 >f.txt
    sim 0 -- 'registry-load --journal=j <f.txt && ./fault "method=POST,path=/devices*,count=0,do=status:500" && ./fault "method=PUT,count=0,do=status:500" &&
        registry-load --audit=a --journal=j <f.txt && ./heal'
    has "'j': is complete: nothing is left to do" "applied (0 were equal already), 0 failed"
    [ ! -s a ]
}

# First half, then an end: the hub refuses more writes.
half='./fault "method=PUT,skip=12,count=0,do=status:403"; ./fault "method=POST,path=/devices,skip=1,count=0,do=status:403"
    registry-load -q --journal=j <f.txt >out0 2>/dev/null; echo "first: $?"; ./heal; '

@test "another input, hub, option or file; no input; two at once" {
    fleet 150 >f.txt
    sim 0 -- "$half"'cp j j0; sed 77s/0/1/ f.txt | registry-load --journal=j; echo "input: $?"
        head -n -1 f.txt | registry-load --journal=j; echo "short: $?"
        registry-load --journal=j --confirm=contoso env:IOTHUB_CONN_STRING <f.txt; echo "hub: $?"
        registry-load --journal=j --generate-keys <f.txt; echo "options: $?"
        registry-load --journal=f.txt <f.txt; echo "file: $?"
        registry-load --journal=/dev/null <f.txt; echo "device: $?"
        sed "1s/version\":1/version\":2/" j >v
        registry-load --journal=v <f.txt; echo "version: $?"
        flock j sh -c "registry-load --journal=j <f.txt; echo two: \$?"
        cmp j j0 && registry-load --journal=j <f.txt'
    has "first: 6" "input: 3" "short: 3" "was begun with another input, of 187 records" \
        "hub: 2" "was begun with the hub contoso-east.azure-devices.net, not contoso.azure" \
        "options: 2" "file: 3" "is no file that registry-load has begun" "device: 2" \
        "version: 3" "is of another version" "two: 4" "another run is at work with it" "records were finished before"
}

@test "a journal torn at any byte, or with a hole in it" {
    fleet 150 >f.txt
    sim 0 -- "$half"'cp j j0; size=$(wc -c <j0)
        for n in 0 1 60 150 $((size / 2)) $((size - 1)); do
            head -c $n j0 >j; registry-load -q --journal=j <f.txt || exit 1
        done; { head -c $((size - 40)) j0; head -c 512 /dev/zero; } >j; registry-load -q --journal=j <f.txt &&
        registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING &&
        registry-dump -q --metadata env:DEST_IOTHUB_CONN_STRING >d.txt'
    [ "$(jq 'select(.properties.desired["$version"] > 2)' d.txt | wc -l)" -eq 0 ]
}

@test "what another has written meanwhile is skipped and told; --overwrite takes it" {
    for i in {10..69}; do device "d$i" ',"tags":{"by":"us"}'; done >f.txt
    sim 0 -- 'registry-edit --set "tags.by=\"old\"" <f.txt | registry-load -q
        ./fault "path=/twins*,method=PUT,skip=20,count=0,do=status:403"
        registry-load -q -j2 --journal=j <f.txt >/dev/null 2>&1; echo "first: $?"; ./heal
        sleep 1.1; for i in 10 68; do ./call PATCH /twins/d$i "{\"properties\":{\"desired\":{\"speed\":1}}}"; done
        registry-load --journal=j --rejects=r.txt <f.txt; echo "second: $?"
        registry-dump -q env:DEST_IOTHUB_CONN_STRING | jq -r .tags.by | sort | uniq -c
        registry-load --journal=j --overwrite --rejects=r2.txt <f.txt; echo "third: $?"
        registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING >diff; echo "diff: $?"'
    has "first: 6" '"code":"ChangedSince","message":"its desired properties were written","retry":false' \
        "59 applied" "1 failed" "second: 7" "59 us" "1 old" "third: 0" "diff: 1"
    # What was finished before is not looked at: d10.
    [ "$(grep -c ChangedSince <<<"$output")" -eq 1 ]
    grep '"d68"' f.txt | cmp - r.txt
    [ ! -s r2.txt ]
    # It has no properties, so those that are there stay.
    [ "$(jq -r '.id + .path' diff | tr '\n' ' ')" = "d10/properties/desired/speed d68/properties/desired/speed " ]
}

@test "devices that were used meanwhile are not deleted, unless --overwrite" {
    for i in {100..499}; do device "d$i"; done >f.txt
    sim 0 -- 'registry-load -q <f.txt
        registry-edit --mode delete <f.txt >del.txt
        delete="registry-load --journal=j --expect=400 --confirm=contoso-east env:DEST_IOTHUB_CONN_STRING"
        registry-load --list-options | grep -q -- --max-delete && delete="$delete --max-delete=100%"
        ./fault "method=POST,path=/devices,count=0,do=status:403"
        $delete -q -j1 <del.txt >/dev/null 2>&1; echo "first: $?"; ./heal
        sleep 1.1; ./call PATCH /twins/d490 "{\"properties\":{\"desired\":{\"speed\":1}}}"
        $delete <del.txt; echo "second: $?"
        registry-dump -q env:DEST_IOTHUB_CONN_STRING | jq -r .id
        $delete --overwrite <del.txt; echo "third: $?"
        registry-dump -q env:DEST_IOTHUB_CONN_STRING | wc -l'
    has "first: 6" "second: 7" '"id":"d490"' '"code":"ChangedSince"' $'\nd490\n' "third: 0"
    [ "${lines[-1]}" = 0 ]
}

@test "records that failed are tried again, and rejects are those of all runs" {
    { fleet 30; echo 'no record'; } >f.txt
    sim 0 -- './fault "method=PUT,path=*edgeAgent,count=0,do=status:400"
        registry-load -q --journal=j --rejects=r1 <f.txt >out1; echo "first: $?"; ./heal
        registry-load --journal=j --rejects=r2 <f.txt >out2; echo "second: $?"
        registry-load --journal=j --rejects=r3 --outcomes=all <f.txt >out3; echo "third: $?"
        head -n -1 f.txt >g.txt; registry-diff -q g.txt env:DEST_IOTHUB_CONN_STRING'
    has "first: 7" "second: 7" "third: 7" "is complete: nothing is left to do"
    grep -q edgeAgent r1
    [ "$(cat r2)" = "no record" ]
    [ "$(cat r3)" = "no record" ]
    [ "$(jq -r .code out2)" = BadRecord ]
    [ "$(wc -l <out3)" -eq "$(wc -l <f.txt)" ]
}

@test "create: what an earlier run may have made is applied, what others made exists" {
    { for i in 1 2 3; do device "d$i" ',"importMode":"create"'; done; } >f.txt
    device d3 | jq -c '.authentication.symmetricKey.primaryKey = "b3RoZXJzb3RoZXJzb3RoZXJz"' >others.txt
    sim 0 -- 'registry-load -q <others.txt
        # The answer is lost, and then the process.
        ./fault "method=POST,path=/devices,do=hang"
        timeout -s KILL 1 registry-load -q --journal=j <f.txt
        head -2 f.txt | registry-load -q
        registry-load --journal=j <f.txt; echo "second: $?"'
    has "second: 7" "2 applied" '"id":"d3"' '"code":"DeviceAlreadyExists"'
}

@test "a disabled device is opened again for a module that failed" {
    { device d1 | sed 's/enabled/disabled/'; device d1 ',"moduleId":"m1"'; device d1 ',"moduleId":"m2"'; } >f.txt
    sim 1 -- './fault "path=*m2*,count=0,do=status:400"; ./fault "method=POST,path=/devices,skip=1,count=0,do=status:500"
        registry-load -q --retry-delay=0.01 --journal=j <f.txt >out1; echo "first: $?"; ./heal
        registry-load --journal=j <f.txt; echo "second: $?"
        registry-edit --set "status=\"enabled\"" --where "has(\"moduleId\") | not" <f.txt | registry-load -q
        registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
    has "first: 7" "second: 0" '"path":"/status","a":"disabled","b":"enabled"'
    has_not "m2"
}

@test "SIGTERM: what is under way ends, all is told, and it dies by the signal" {
    fleet 400 >f.txt
    sim 0 -- './fault "method=POST,path=/devices,count=0,do=delay:400"
        registry-load -j1 --journal=j --rejects=r.txt <f.txt >out & pid=$!
        until grep -qsE "^A|^B.* A" j; do sleep 0.02; done; kill -TERM $pid; wait $pid; echo "status: $?"
        ./heal; registry-load --journal=j <f.txt >out2; echo "second: $?"
        registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
    has "stopping: what is under way is finished first" "not tried" "status: 143" "records were finished before" "second: 0"
    has_not "'contoso-east': 0 of" "'contoso-east': 0 applied"
    [ -s r.txt ]
    [ "$(wc -l <r.txt)" -eq "$(wc -l <out)" ]
    jq -e 'select(.code == "NotTried" and .retry)' out >/dev/null
}

@test "disk full: one clear line, and the same command goes on" {
    for i in {10..40}; do device "d$i"; done >f.txt
    sim 0 -- './fault "method=POST,path=/devices,count=0,do=status:403"; registry-load -q --journal=j <f.txt >/dev/null 2>&1; ./heal
        # As if it were long already: no room but for some hundred bytes.
        sed -n 1p j >k; yes "$(sed -n 2p j)" | head -c 30600 | head -n -1 >>k
        (trap "" XFSZ; ulimit -f 30; registry-load -j1 --journal=k <f.txt >out 2>err); echo "full: $?"
        grep -v -e CONNECT_TO -e operation err; wc -l <out
        registry-load --journal=k <f.txt; echo "second: $?"; registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
    has "registry-load: warning: 'k': write failed: File too large (the same command goes on from here)" \
        "full: 4" "second: 0"
}

@test "-n tells what is left, and touches nothing" {
    fleet 150 >f.txt
    sim 0 -- 'registry-load -n --journal=j <f.txt >whole && [ ! -e j ]; '"$half"'cp j j0
        registry-load -n --journal=j <f.txt >rest; cmp j j0'
    [ "$(jq -s 'map(.records) | add' rest)" -lt "$(jq -s 'map(.records) | add' whole)" ]
}
