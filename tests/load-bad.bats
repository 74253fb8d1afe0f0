# registry-load on bad paths: inputs that change under its hands, files that
# cannot be written, options that make no sense.  Each ends with one clear line,
# and nothing that was done goes unsaid.
# shellcheck shell=bash disable=SC2016 # $ in what hub-sim's shell evaluates

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    # fault SPEC: from now on; heal: none any more.
    printf '#!/bin/sh\ncurl -sfd "$1" "$HUB_SIM_CONTROL/faults" >/dev/null\n' >fault
    printf '#!/bin/sh\ncurl -sfX DELETE "$HUB_SIM_CONTROL/faults" >/dev/null\n' >heal
    chmod +x fault heal
}

sim() {
    simulate --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 : "$@"
}

# many PREFIX N [JQ: more members]: records, quickly
many() {
    jq -nc --arg p "$1" --argjson n "$2" '("x" * 24 | @base64) as $k | range($n)
        | {id: "\($p)\(.)", status: "enabled", authentication: {type: "sas",
            symmetricKey: {primaryKey: $k, secondaryKey: $k}}}'" + ${3-{\}}"
}

# What becomes of 3000 records, far more than are read at once, when their file
# is changed by $1 after some were applied.
changed='./fault "method=POST,path=/devices,count=0,do=delay:60"
    registry-load -j1 --outcomes=all --journal=j --rejects=r.txt <f.txt >out 2>err & pid=$!
    until grep -qsE "^A|^B.* A" j; do sleep 0.02; done; CHANGE; wait $pid; echo "status: $?"; ./heal
    grep -v -e CONNECT_TO -e operation err; registry-dump -q env:DEST_IOTHUB_CONN_STRING | jq -r .id | sort >there
    cp kept.txt again.txt; registry-load --journal=j <again.txt >out2; echo "second: $?"
    registry-diff -q kept.txt env:DEST_IOTHUB_CONN_STRING && registry-dump -q --metadata env:DEST_IOTHUB_CONN_STRING >d.txt'

@test "the input is written to meanwhile: all that was done is told, and nothing of the new lines is used" {
    many d 3000 >kept.txt
    many evil 4000 >evil.txt
    for change in 'echo >>f.txt' 'cat evil.txt >f.txt' ': >f.txt'; do
        rm -f j r.txt out
        cp kept.txt f.txt
        sim 0 -- "${changed/CHANGE/$change}"
        has "status: 3" "second: 0" "records were finished before" \
            "registry-load: warning: 'stdin': the file was written to while it was loaded (load it again: what is done is not done twice)" \
            "registry-load: warning: 'r.txt': is not written: its lines can no longer be read from stdin"
        [ "$(grep -c "'stdin'" <<<"$output")" -eq 1 ]
        [ ! -e r.txt ]
        # A line for each, and what it says is so.
        [ "$(jq .line out | sort -un | wc -l)" -eq 3000 ]
        [ "$(wc -l <out)" -eq 3000 ]
        [ "$(jq -r .code out | sort -u | tr '\n' ' ')" = "NotTried applied " ]
        jq -r 'select(.code == "applied") | "d\(.line - 1)"' out | sort | cmp - there
        [ -s there ]
        [ "$(jq 'select(.version > 1)' d.txt | wc -l)" -eq 0 ]
    done
}

@test "the input is written to before anything is done: nothing is, and that is told" {
    many d 200 >good.txt
    many d 3 '{moduleId: "m"}' >>good.txt
    { cat good.txt; echo 'no record'; } >kept.txt
    # When all is read, the outcome of the last line goes over the first.
    for journal in '' '--journal=j'; do
        cp kept.txt f.txt
        sim 0 -- "registry-load $journal --rejects=r.txt <f.txt 1<>f.txt 2>err"'; echo "status: $?"
            registry-dump -q env:DEST_IOTHUB_CONN_STRING | wc -l; grep -v CONNECT_TO err
            registry-load --journal=j <good.txt; echo "then: $?"'
        has "status: 3" "'stdin': the file was written to while it was loaded" "203 applied" "then: 0"
        grep -qx 0 <<<"$output" || { echo "$output"; return 1; }
        [ ! -e r.txt ]

        rm -f j
    done
}

# Both as a hub that takes neither by a bulk call (CONTRACT 16.3).
created() {
    many d 3
    many d 3 '{moduleId: "m", managedBy: "IotEdge", importMode: "create"}'
    many edge 1 '{capabilities: {iotEdge: true}, deviceScope: "ms-azure-iot-edge://edge0-1"}'
    many leaf 3 '{deviceScope: "ms-azure-iot-edge://edge0-1", importMode: "create"}'
}

@test "create: what a bulk call of ours made, but for managedBy or its parent, is finished after a kill, and not another's" {
    created >f.txt
    # The call is answered, or its answer is lost; then the process dies before it has looked.
    for path in '/devices/leaf*' '/devices/*/modules/*'; do
        for lose in true "./fault method=POST,path=/devices,skip=$([[ $path == *leaf* ]] && echo 1 || echo 2),do=lose"; do
            rm -f j
            sim 0 --doubt bulk-module-managed-by=dropped --doubt bulk-edge-scope=ignored -- "$lose"'
                ./fault "method=GET,path='"$path"',count=0,do=hang"
                timeout -s KILL 1.5 registry-load -q --retry-delay=0.01 --journal=j <f.txt; echo "killed: $?"; ./heal
                registry-load --journal=j <f.txt; echo "again: $?"; registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING; echo "differs: $?"'
            has "killed: 137" "10 applied" "again: 0" "differs: 0"
        done
    done
}

@test "create: an answer is lost: what is there without managedBy is ours, with another it is not" {
    created >f.txt
    many d 3 '{moduleId: "m", managedBy: "other", importMode: "create"}' >others.txt
    sim 0 --doubt bulk-module-managed-by=dropped --doubt bulk-edge-scope=ignored -- './fault method=POST,path=/devices,count=3,do=lose
        registry-load --retry-delay=0.01 <f.txt; echo "first: $?"; registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING; echo "differs: $?"
        ./heal; ./fault method=POST,path=/devices,count=3,do=lose
        registry-load <others.txt; echo "others: $?"; ./heal
        # Nobody can tell without a journal.
        registry-edit --drop managedBy <others.txt | registry-edit --mode=createOrUpdate | registry-load -q
        registry-load <others.txt; echo "nobody: $?"'
    has "first: 0" "differs: 0" "others: 6" "nobody: 6" '"code":"ModuleAlreadyExistsOnDevice"'
}

# refused STATUS TEXT COMMAND: nothing else is said, and nothing is asked of any hub.
refused() {
    local want=$1 text=$2
    shift 2
    HUBPIPE_CONNECT_TO=127.0.0.1:9 IOTHUB_CONN_STRING='HostName=h.azure-devices.net;SharedAccessKeyName=p;SharedAccessKey=AAAA' \
        DEST_IOTHUB_CONN_STRING='HostName=i.azure-devices.net;SharedAccessKeyName=p;SharedAccessKey=AAAA' \
        expect_status "$want" timeout 20 "$@" <f.txt
    has "$text"
    [ "$(grep -vc CONNECT_TO <<<"$output")" -eq 1 ] || { echo "$output"; return 1; }
}

@test "files that could not be written in the end are told before anything is asked" {
    many d 3 >f.txt
    mkdir dir
    local option
    for option in rejects=dir rejects=/nonexistent/r rejects=/proc/r; do
        refused 4 "'${option#*=}': cannot be written: " registry-load "--$option"
    done
    for option in manifest=dir manifest=/nonexistent/r configurations=dir configurations=/nonexistent/r output=dir; do
        refused 4 "'${option#*=}': cannot be written: " registry-dump "--$option"
    done
    for option in rejects journal undo configurations manifest; do
        refused 2 "--$option: needs the name of a file" registry-load "--$option="
    done
    for option in rejects journal undo; do
        refused 2 "--$option: needs the name of a file" registry-load "--$option=-"
    done
    for option in manifest configurations ids state; do
        refused 2 "--$option: needs the name of a file" registry-dump -o x "--$option="
    done
    refused 2 "--output: needs the name of a file" registry-dump -o ''
    refused 2 "--state: needs the name of a file, not stdout" registry-dump -o x --state=-
    refused 2 "--configurations: stdin has the records (name a file" registry-load --configurations=-
    [ "$(ls -A)" = $'dir\nf.txt\nfault\nheal' ]
}

@test "two names of one file: neither takes the other's place" {
    many d 3 >f.txt
    echo '{}' >c
    ln -s c link
    refused 2 "'r': --rejects and --journal name the same file: one would take the other's place" registry-load --rejects=r --journal=./r
    refused 2 "'c': --rejects and --configurations name the same file" registry-load --rejects=c --configurations=link
    refused 2 "'c': --journal and --manifest name the same file" registry-load --journal=c --manifest=c
    refused 2 "'x': --output and --manifest name the same file" registry-dump -o x --manifest=x
    refused 2 "'x': --output and --configurations name the same file" registry-dump -o x --configurations=../"${PWD##*/}"/x
    refused 2 "'x': --output and --state name the same file" registry-dump -o x --state=x
    refused 2 "'s': --state and --manifest name the same file" registry-dump -o x --state=s --manifest=s
    refused 2 "'c': --output and --ids name the same file" registry-dump -o c --ids=c
    refused 2 "--output and --manifest would both be on stdout (name a file)" registry-dump --manifest=-
    refused 2 "--output and --configurations would both be on stdout" registry-dump --configurations=-
    [ "$(cat c)" = '{}' ]
    # What was read may be replaced by what is left of it; pipes and devices take anything.
    sim 0 -- 'echo bad >>f.txt; registry-load -q --rejects=f.txt <f.txt; registry-load -q --rejects=/dev/null --undo=/dev/null --journal=j <f.txt
        mkfifo p; cat p >got & registry-dump -q -o x --manifest=p && wait && [ -p p ] && registry-dump -q -o y --manifest=- >m && cmp m got >&2 || cat got'
    [ "$(cat f.txt)" = bad ]
    cmp x y
    jq -e .complete m
}

@test "the disk is full in the end, or the audit's: what was done is told all the same" {
    { many d 800; echo '{"id": "x", "moduleId": "m", "authentication": {"type": "none"}}'; } >f.txt
    sim 0 -- 'registry-load --rejects=/dev/full --outcomes=all <f.txt >out; echo "status: $?"'
    has "800 applied" "'/dev/full': write failed: No space left on device" "status: 4"
    [ "$(wc -l <out)" -eq 801 ]
    # Room for a few lines of it, each of a call of a hundred.
    sim 0 -- '(trap "" XFSZ; ulimit -f 1; exec registry-load -j1 --audit=a --outcomes=all <f.txt) | cat >out; echo "status: ${PIPESTATUS[0]}"
        registry-dump -q env:DEST_IOTHUB_CONN_STRING | wc -l'
    has "'a': write failed: " "status: 4"
    has_not Success
    there=${lines[-1]} told=$(grep -c '"applied"' out)
    echo "there $there, told $told"
    [ "$told" -ge 100 ] && [ "$((there - told))" -le 100 ]
}

@test "SIGTERM while configurations are sent: no more of them, all is told, and it dies by the signal" {
    many d 3 >f.txt
    echo bad >>f.txt
    for i in {1..40}; do echo "{\"Id\":\"c$i\",\"Content\":{\"DeviceContent\":{\"properties.desired.fw\":{\"v\":1}}},\"TargetCondition\":\"tags.a='x'\",\"Priority\":10}"; done >c.txt
    sim 0 -- './fault "method=PUT,path=/configurations/*,count=0,do=delay:100"
        registry-load --outcomes=all --audit=a --configurations=c.txt --rejects=r.txt <f.txt >out 2>err & pid=$!
        until grep -qs c3 a; do sleep 0.02; done; kill -TERM $pid; wait $pid; echo "status: $?"; cat err; ./heal
        registry-dump -q -o x --configurations=there env:DEST_IOTHUB_CONN_STRING
        registry-load --configurations=c.txt <f.txt; echo "again: $?"'
    has "status: 143" "'contoso-east': stopped: the configurations that are left are not sent" "again: 7" "configurations: 40 applied"
    [ "$(cat r.txt)" = bad ]
    [ "$(wc -l <out)" -eq 44 ]
    [ "$(jq -r 'select(.configurationId and .code == "applied") | .configurationId' out | wc -l)" -eq "$(wc -l <there)" ]
    [ "$(grep -c '"NotTried"' out)" -eq "$((40 - $(wc -l <there)))" ]
    [ "$(wc -l <there)" -lt 40 ]
}

@test "no room for temporary files: that is seen when the input is read, and nothing is done" {
    many d 12000 >f.txt
    sim 0 -- '(trap "" XFSZ; ulimit -f 350; exec registry-load --journal=j <f.txt); echo "status: $?"
        registry-dump -q env:DEST_IOTHUB_CONN_STRING | wc -l'
    has "'temporary file': write failed: File too large (TMPDIR names another place)" "status: 4"
    [ "${lines[-1]}" = 0 ]
}

@test "a dump that was complete without configurations or a manifest does not pass for one with them" {
    sim 0 -- 'registry-dump -q -o x --state=s; registry-dump -o x --state=s; echo "same: $?"
        registry-dump -o x --state=s --configurations=c; echo "configurations: $?"; registry-dump -o x --state=s --manifest=m; echo "manifest: $?"'
    has "'s': is complete: nothing is left to do" "same: 0" "configurations: 2" "manifest: 2" \
        "'c': is not there, and 's' is of a dump that was complete without it (begin another state)" "'m': is not there"
    [ ! -e c ] && [ ! -e m ]
}

@test "an undo file that was there before is no way back, however often the same command is given" {
    many d 30 >f.txt
    many d 2 '{importMode: "delete"}' >del.txt
    echo old >u
    sim 0 -- 'registry-load -q <f.txt
        delete() { registry-load --journal=j --undo=u --expect=2 --confirm=contoso-east env:DEST_IOTHUB_CONN_STRING <del.txt; echo "$1: $?"; }
        delete first; delete again; registry-dump -q env:DEST_IOTHUB_CONN_STRING | wc -l; cat u
        # Killed when its own is written, and nothing is sent: that one is kept.
        rm u; ./fault "method=DELETE,count=0,do=hang"
        registry-load -q --journal=j --undo=u --expect=2 --confirm=contoso-east env:DEST_IOTHUB_CONN_STRING <del.txt & pid=$!
        for _ in {1..200}; do [ -s u ] && grep -q "^L0:" j && break; sleep 0.05; done; kill -KILL $pid; wait $pid; ./heal; cp u kept
        delete on; cmp u kept && registry-load -q <u && registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING; echo "back: $?"'
    has "first: 2" "again: 2" $'\n30\nold' "'u': exists already" "on: 0" "2 applied (0 were equal already)" "back: 0"
}
