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
