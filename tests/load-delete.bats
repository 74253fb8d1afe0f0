# load-delete: what deletes is counted, held to what was meant, and written
# down first, so that there is a way back.
# shellcheck shell=bash disable=SC2016 # $ in what hub-sim's shell evaluates

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 022
    jq -nrc --argjson n 60 -f "$ROOT/examples/fleet.jq" >f.txt
    chmod 600 f.txt
}

# sim STATUS [OPTION...] -- SCRIPT: in bash; contoso-east (C) has f.txt.
sim() {
    # shellcheck disable=SC2016 # theirs
    simulate --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 : \
        "${@:1:$#-1}" 'export C=$DEST_IOTHUB_CONN_STRING
            registry-load -q <f.txt || exit 99
            delete() { registry-load --confirm=contoso-east "$@" env:C; }
            '"${!#}"
}

# lines IDS...: that delete these devices.
lines() {
    printf '{"id":"%s","status":"enabled","importMode":"delete"}\n' "$@"
}

# Twenty devices, with what they carry, and two modules of one that stays.
twenty() {
    jq -r 'select(.moduleId == null) | .id' f.txt | sed -n '1,20p' |
        jq -Rc '{id: ., status: "enabled", importMode: "delete"}'
    jq -c 'select(.moduleId and .id == "device-0029") | {id, moduleId, status, importMode: "delete"}' f.txt
}

@test "deleted, then the undo file is loaded: the same devices, keys, modules, twins and parents" {
    twenty >d.txt
    [ "$(wc -l <d.txt)" -eq 22 ]
    sim 0 -- '
        registry-dump -q -o before env:C &&
        delete --max-delete=50% --expect=22 --undo=undo.txt <d.txt >out && registry-dump -q -o without env:C &&
        registry-load --audit=a.txt <undo.txt >>out && registry-diff before env:C && registry-load <undo.txt'
    [ ! -s out ]
    has "'contoso-east': deletes 20 devices with their modules and 2 modules of others, of 60 devices" \
        "records as they are now are in 'undo.txt'" "22 applied (0 were equal already)" "equal: "
    [ "$(stat -c %a undo.txt)" = 600 ]
    [ "$(jq -r .importMode undo.txt | sort -u)" = createOrUpdate ]
    # All that the hub had of them, and of nobody else.
    same <(jq -c 'del(.importMode)' undo.txt | sort) <(grep -vFxf without before | jq -c . | sort)
    [ "$(jq -r 'select(.moduleId == null) | .id' undo.txt | wc -l)" -eq 20 ]
    grep -q "$(printf 'factory-0000/p................................' | head -c 32 | base64)" undo.txt
}

@test "the undo file is complete and on disk before the first delete" {
    lines device-0020 device-0021 >d.txt
    # The hub says no to every delete: the file is there all the same.
    sim 6 --fault 'host=contoso-east.*,method=POST,path=/devices*,skip=3,count=0,do=status:403' -- '
        delete --expect=2 --undo=u.txt <d.txt >out; s=$?; wc -l <u.txt; registry-dump -q env:C | grep -c "device-002[01]"; exit $s'
    has "deletes 2 devices"
    # It cannot be read whole: nothing is deleted, and there is no file.
    sim 5 --fault 'host=contoso-east.*,method=GET,path=/twins/device-0021*,count=0,do=status:503' -- '
        delete --retry-max-time=0 --expect=2 --undo=v.txt --audit=a.txt <d.txt >out'
    [ ! -e v.txt ]
    [ ! -s a.txt ]
}

@test "an undo file is never overwritten, and one that cannot be written stops all" {
    lines device-0020 >d.txt
    echo mine >u.txt
    ln -s nowhere link
    mkdir dir
    sim 0 -- '
        no() { want=$1; shift; delete "$@" --audit=a.txt <d.txt; test $? -eq $want; }
        no 2 --expect=1 --undo=u.txt && no 4 --expect=1 --undo=none/u.txt && no 2 --expect=1 --undo=dir &&
        no 2 --expect=1 --undo=link && no 2 --expect=1 --undo= && no 2 --expect=1 --undo=- &&
        no 2 --expect=1 --undo=x --no-undo && no 4 --expect=1 --undo=/proc/u.txt && registry-diff -q f.txt env:C'
    has "'u.txt': exists already" "the undo file cannot be written" "--undo=FILE names another" \
        "--undo and --no-undo exclude each other" "needs the name of a file"
    [ "$(cat u.txt)" = mine ]
    [ ! -e nowhere ]
    [ ! -s a.txt ]
}

@test "without --undo a new file is made and named; with --no-undo none; nothing there: none" {
    lines device-0020 >d.txt
    lines device-0021 >e.txt
    sim 0 -- 'delete --expect=1 <d.txt && ls undo-* >name && delete --expect=1 --no-undo <e.txt && delete --expect=1 --undo=again.txt <d.txt &&
        delete --expect=1 -n <e.txt'
    [ "$(wc -l <name)" -eq 1 ]
    has "are in '$(cat name)'" "nothing of it is there"
    [[ $(cat name) =~ ^undo-contoso-east-[0-9]{8}T[0-9]{6}Z\.txt$ ]]
    [ "$(jq -r .id "$(cat name)")" = device-0020 ]
    [ "$(stat -c %a "$(cat name)")" = 600 ]
    [ ! -e again.txt ]
    [ "$(find . -name 'undo-*' | wc -l)" -eq 1 ]
}

@test "more than a tenth of the registry is refused, with the count and the option; a dry run says so" {
    jq -r 'select(.moduleId == null) | .id' f.txt | sed -n '11,17p' | jq -Rc '{id: ., status: "enabled", importMode: "delete"}' >seven.txt
    head -n 6 seven.txt >six.txt
    sim 0 -- '
        no() { delete "$@" --expect=7 --audit=a.txt <seven.txt; test $? -eq 2; }
        no && no --max-delete=6 && no --max-delete=11.6% && no --max-delete=0 && delete -n <seven.txt >plan &&
        registry-diff -q f.txt env:C && delete --expect=6 <six.txt && registry-load -q <f.txt && delete --expect=7 --max-delete=7 <seven.txt &&
        registry-load -q <f.txt && delete --no-undo --expect=7 --max-delete=11.7% <seven.txt'
    has "'contoso-east': deletes 7 devices with their modules, of 60 devices: more than --max-delete=10%, nothing is done (--max-delete=7 allows it)" \
        "refused without --max-delete=7"
    grep -q 'delete devices' plan
    # Only what the last three runs were allowed is in the audit of the refused: nothing.
    [ ! -s a.txt ]
}

@test "what --max-delete is not: status 2, before the hub is asked" {
    lines device-0020 >d.txt
    sim 0 -- 'for x in "" % 101% -1 1e9 0x10 ten 10%% "10 %" " 10" 1.5 .5% 5,5% 99999999999 nan inf 1.2.3%; do
        delete --expect=1 --max-delete="$x" <d.txt; s=$?
        test $s -eq 2 || { echo "[$x] $s"; exit 1; }
    done; registry-diff -q f.txt env:C'
    [ "$(grep -c "neither a number nor a percentage" <<<"$output")" -eq 17 ] || { echo "$output"; false; }
}

@test "modules count too; those that go with their device count once; a hub that does not say how many it has" {
    # Not those of disabled devices, which a key does not delete alone.
    jq -c 'select(.moduleId and (.moduleId | startswith("$") or . == "disabled-too" | not)) | {id, moduleId, status, importMode: "delete"}' f.txt >d.txt
    n=$(wc -l <d.txt)
    sim 0 -- 'n='"$n"'; { delete --max-delete=7 --expect=$n <d.txt; test $? -eq 2; } && delete --max-delete=$n --expect=$n --undo=u.txt <d.txt && registry-load <u.txt && registry-diff f.txt env:C'
    has "deletes $n modules, of 60 devices" "$n applied (0 were equal already)"
    lines device-0020 >e.txt
    sim 0 --fault 'host=contoso-east.*,path=/statistics*,count=0,do=status:404' -- '
        { delete --expect=1 <e.txt; test $? -ne 0; } && registry-diff -q f.txt env:C && delete --max-delete=1 --expect=1 <e.txt'
    has "of how many devices 1 are 10% is not known (--max-delete=1 needs no count)"
}

@test "killed while it deletes: what is gone does not count, so the same command goes on" {
    twenty >d.txt
    head -n 12 d.txt >first.txt
    sim 0 -- '
        delete -q --max-delete=50% --expect=12 <first.txt &&
        { delete --max-delete=15% --expect=22 <d.txt; test $? -eq 2; } &&
        delete --max-delete=50% --expect=22 --undo=u.txt <d.txt && delete --max-delete=50% --expect=22 --undo=v.txt <d.txt'
    # Looked no further than it had to, to say no.
    has "of 48 devices: more than --max-delete=15%, nothing is done" "22 applied (12 were equal already)" "22 applied (22 were equal already)"
    [ "$(jq -r 'select(.moduleId == null) | .id' u.txt | wc -l)" -eq 8 ]
    [ ! -e v.txt ]
}

@test "what is held to --max-delete is held to it also by a run that goes on, with or without a journal" {
    twenty >d.txt
    # Refused; and the journal that was begun is no way around that.
    sim 2 -- '
        { delete --journal=j --expect=22 <d.txt; test $? -eq 2; } && registry-diff -q f.txt env:C &&
        delete --journal=j --expect=22 <d.txt; s=$?; registry-diff -q f.txt env:C && exit $s'
    [ "$(grep -c "of 60 devices: more than --max-delete=10%, nothing is done" <<<"$output")" -eq 2 ]
    # Stopped half-way: of the registry as it was, and not of what is left.
    sim 0 -- '
        rm j
        curl -sS "$HUB_SIM_CONTROL/faults" -d "host=contoso-east.*,method=POST,path=/devices*,skip=1,do=hang"
        timeout -s KILL 3 registry-load --confirm=contoso-east -q --max-delete=37% --expect=22 --journal=j --undo=u.txt env:C <d.txt
        delete --max-delete=37% --expect=22 --journal=j --undo=u.txt <d.txt'
    has "22 applied" "deletes 20 devices with their modules and 2 modules of others (20 are gone already), of 40 devices"
    # The first of them is still there, and others are gone.
    sed 1d d.txt | head -n 11 >some.txt
    sim 0 -- 'delete -q --max-delete=50% --expect=11 <some.txt && delete --max-delete=25% --expect=22 --undo=w.txt <d.txt'
    has "(11 are gone already), of 49 devices"
}

@test "modules that a key does not show: their device is not deleted without them" {
    id=$(jq -r 'select(.moduleId == "disabled-too") | .id' f.txt | head -n 1)
    lines "$id" >d.txt
    # By a query that can know of them.
    sim 0 --doubt module-of-disabled=refused --doubt query-lag=off --doubt modules-query=all -- 'unset AZURE_CLIENT_ID AZURE_TENANT_ID AZURE_CLIENT_SECRET
        { delete --expect=1 --undo=u.txt <d.txt; test $? -eq 6; } && test ! -e u.txt && delete --expect=1 --no-undo <d.txt'
    has "would lack the modules of 1 disabled devices, which a key does not show: nothing is done"
    sim 0 -- 'registry-dump -q -o before env:C && delete --expect=1 --undo=u.txt <d.txt && registry-load <u.txt && registry-diff before env:C'
    has "equal: "
}

@test "killed while it deletes, with a journal: the same command goes on with the same undo file" {
    twenty >d.txt
    sim 0 --fault 'host=contoso-east.*,method=POST,path=/devices*,skip=3,count=1,do=hang' -- '
        registry-dump -q -o before env:C
        registry-load --confirm=contoso-east -q --max-delete=100% --expect=22 --journal=j --undo=u.txt env:C <d.txt & pid=$!
        for i in $(seq 100); do test -e u.txt && break; sleep 0.05; done; sleep 0.3
        kill -9 $pid; wait $pid; cp u.txt u.old
        delete -q --max-delete=100% --expect=22 --journal=j --undo=u.txt <d.txt && cmp u.txt u.old &&
        registry-load -q <u.txt && registry-diff before env:C'
    has "equal: "
}
