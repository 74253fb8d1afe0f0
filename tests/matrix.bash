# matrix.bash: what tests/matrix loads, runs within hub-sim, and looks at.
#
# The judge is not only registry-diff: what is on the hub is read out of
# hub-sim's database, keys byte for byte, and triggers in it have counted each
# write to each identity.
# shellcheck shell=bash disable=SC2154 # SEED, root: of the script

fail() {
    echo "$*" >&2
    exit 1
}

# -- what is loaded ----------------------------------------------------------

# Some of the fleet are on the hub already: equal (32), with another key and
# twin (34 to 36), another twin (37).
present='select(has("moduleId") | not) | (.id | capture("(?<n>[0-9]{4})").n | tonumber) as $n
    | select($n < 2000) | ($n % 50) as $k | select($k == 32 or ($k >= 34 and $k <= 37))
    | if $k >= 34 then .tags = {old: true} | .properties.desired = {old: {of: $n}} else . end
    | if $k >= 34 and $k <= 36 then .authentication.symmetricKey |= with_entries(.value = "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk") else . end'
# And what comes in tells so in many ways.
modes='. as $r | (.id | (capture("(?<n>[0-9]{4})").n // "9999") | tonumber) as $n
    | if has("moduleId") or $n >= 2000 then . else
        {"35": {importMode: "updateIfMatchETag", eTag: $etags[.id]},
         "36": {importMode: "createOrUpdateIfMatchETag", eTag: $etags[.id]},
         "37": {importMode: "updateTwin"}, "40": {importMode: "create"},
         "41": {importMode: "createOrUpdate", eTag: ""}, "42": {eTag: "\"W/odd\\"}, "43": {eTag: null},
         "44": {eTag: "AAAA", importMode: "createOrUpdate", twinETag: "=="}}["\($n % 50)"] as $more
        | . + ($more // {}) end'

# load_here VIA OPTION...: into the one hub there is.
load_here() {
    local via=$1
    shift
    DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING IOTHUB_CONN_STRING='' \
        registry-load --via="$via" "$@"
}

# rows DATABASE: all that a registry holds, one identity a line.  The number in
# an Edge scope is each hub's own.
rows() {
    sqlite3 -separator $'\t' "$1" 'SELECT id, module, disabled, reason, auth, key1, key2, thumb1, thumb2,
        edge, parent, managed, tags, desired, reported FROM registry ORDER BY id, module' |
        sed -E 's/(ms-azure-iot-edge:[^\t]*)-[0-9]+\t/\1\t/'
}

# keys_of: the digest of ids and keys, of lines as the service's job writes them.
keys_of() {
    jq -r '[.id, .moduleId // "", .authentication.symmetricKey.primaryKey // "",
        .authentication.symmetricKey.secondaryKey // ""] | @tsv' | sort | sha256sum
}

# keys_in DATABASE: the same.
keys_in() {
    sqlite3 -separator $'\t' "$1" 'SELECT id, module, ifnull(key1, ""), ifnull(key2, "") FROM registry' |
        jq -rR 'split("\t") | @tsv' | sort | sha256sum
}

watch() {
    sqlite3 "$1" '
        CREATE TABLE touched (op TEXT, id TEXT, module TEXT);
        CREATE TRIGGER touched_i AFTER INSERT ON registry BEGIN
            INSERT INTO touched VALUES ("insert", new.id, new.module); END;
        CREATE TRIGGER touched_u AFTER UPDATE ON registry BEGIN
            INSERT INTO touched VALUES ("update", new.id, new.module); END;
        CREATE TRIGGER touched_d AFTER DELETE ON registry BEGIN
            INSERT INTO touched VALUES ("delete", old.id, old.module); END;'
}

# touched DATABASE: how often what was done to whom.
touched() {
    sqlite3 -separator $'\t' "$1" 'SELECT op, id, module, count(*) FROM touched GROUP BY 1, 2, 3 ORDER BY 1, 2, 3'
}

prepare() {
    local via
    umask 077
    cd "$1" || return
    jq -nrc --argjson n "$DEVICES" -f "$root/examples/fleet.jq" >fleet.txt || return
    sim --db source.db --registry fleet.txt -- registry-dump -q --via=rest -o dump.txt || return
    rows source.db >want.rows
    watch source.db
    sim --db empty.db -- true || return
    watch empty.db
    jq -c "$present" fleet.txt >present.txt || return
    sim --db some.db -- bash -c "$(declare -f load_here)"'
        load_here rest -q <present.txt && registry-dump -q --via=rest -o present.dump' || return
    jq -c --slurpfile d present.dump \
        'reduce $d[] as $r ({}; .[$r.id] = $r.eTag)' -n >etags.json || return
    jq -c --argjson etags "$(cat etags.json)" "$modes" fleet.txt >in.txt || return
    watch some.db
    # Undisturbed: what a load has to write at least.
    for via in rest job; do
        cp some.db "base-$via.db"
        sim --db "base-$via.db" -- bash -c "$(declare -f load_here); load_here $via -q <in.txt" || return
        rows "base-$via.db" | cmp - want.rows || return
        touched "base-$via.db" >"base-$via.touched"
    done
    keys_of <fleet.txt >keys.want
    keys_of <dump.txt | cmp - keys.want && registry-diff -q fleet.txt dump.txt
}

# make_lines hundredth|half: into lines, of which some are bad in ten ways, or
# half in the five that only the hub finds; good: the others; ways: line and
# way of the bad ones.
make_lines() {
    awk -v n="$([ "$1" = half ]; echo $((DEVICES * (1 + 9 * $?))))" -v every="$([ "$1" = half ] && echo 2 || echo 100)" \
        -v from="$([ "$1" = half ] && echo 5 || echo 0)" 'BEGIN {
        key = "\"a2V5a2V5a2V5a2V5a2V5a2V5\""
        rest = "\"status\":\"enabled\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":" key
        half = rest "},\"type\":\"sas\"}"
        rest = rest ",\"secondaryKey\":" key "},\"type\":\"sas\"}"
        for (i = 0; i < 7; i++) long = long "a reason of many words "
        for (i = 0; i < 100; i++) big = big "0123456789"
        for (i = 0; i < 12; i++) tags = tags (i ? "," : "") "\"t" i "\":\"" big "\""
        for (i = 1; i <= n; i++) {
            id = "{\"id\":\"d-" i "\","
            if (i % every != int(every / 2)) {
                print id rest "}" >"good"
                print id rest "}"
                continue
            }
            way = from + int(i / every) % (10 - from)
            print i "\t" way >"ways"
            if (way == 0) print "oops " i
            else if (way == 1) print id rest ",\"tags\":{\"a\":\"\303(\"}}"
            else if (way == 2) print id rest ",\"tags\":{},\"tags\":{}}"
            else if (way == 3) print "{\"id\":\"d-2\"," rest ",\"tags\":{\"n\":" i "}}"
            else if (way == 4) print id half "}"
            else if (way == 5) print id "\"importMode\":\"update\"," rest "}"
            else if (way == 6) print id rest ",\"tags\":{\"a.b\":1}}"
            else if (way == 7) print id "\"statusReason\":\"" long "\"," rest "}"
            else if (way == 8) print id "\"moduleId\":\"m\"," rest "}"
            else print id rest ",\"tags\":{" tags "}}"
        }
    }' >lines
}

# What is said of each way.
sayings='["BadRecord no JSON: unexpected", "BadRecord no JSON: invalid UTF-8", "BadRecord tags is there twice",
    "DuplicateId the same id as line 2", "HalfKey one of the two keys", "DeviceNotFound ", "ArgumentInvalid tags: a property name",
    "ArgumentInvalid The status reason", "DeviceNotFound ", "ArgumentInvalid tags: the size"]'

# -- within hub-sim, in the folder of the combination ------------------------

knob() {
    curl -sS -d "$*" "$HUB_SIM_CONTROL/jobs/contoso" >/dev/null
}

# meet_job KIND COMMAND...: something happens to the job that the command waits
# for.  Its status is in the file status.
meet_job() {
    local kind=$1 container api='api-version=2023-05-01' status=0
    shift
    knob hold
    "$@" &
    until [ "$(sqlite3 -cmd '.timeout 9000' db 'SELECT count(*) FROM job')" -gt 0 ]; do
        kill -0 $! || break
        sleep 0.05
    done
    case $kind in
    job-fails) knob 'fail the disk is broken' ;;
    job-cancelled) knob cancel ;;
    container-vanishes)
        container=$(sqlite3 db "SELECT name FROM resource WHERE name LIKE '%hubpipe-%'")
        ARM_TOKEN=$(entra https://management.azure.com)
        arm DELETE "/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers/${container##*/}?$api"
        ;;
    sas-expires) while [ "$(date +%s)" -le "$expiry" ]; do sleep 0.5; done ;;
    esac
    knob release
    wait $! || status=$?
    echo "$status" >status
}

# until_done FILE COMMAND...: kill -9 after 50 ms, and once more.  Where a run
# has left nothing new in FILE, the next may live longer.
until_done() {
    local file=$1 ms=50 n=0 status=137 size before=none
    shift
    while [ "$status" -eq 137 ]; do
        n=$((n + 1))
        status=$(
            exec 2>>killed
            timeout -s KILL $((ms / 1000)).$(printf %03d $((ms % 1000))) "$@"
            echo $?
        )
        size=$(stat -c %s "$file" 2>/dev/null)
        [ "$size" != "$before" ] || ms=$((ms + 3 + ms / 20))
        before=$size
    done
    echo "$n" >runs
    echo "$status" >status
}

# The signature of a container, which ends soon.
short_lived() {
    export STORAGE_KEY=${STORAGE_ACCT_CONN_STRING##*AccountKey=} ARM_TOKEN
    STORAGE_KEY=${STORAGE_KEY%%;*}
    ARM_TOKEN=$(entra https://management.azure.com)
    make_container short
    expiry=$(($(date +%s) + 10))
    export STORAGE_ACCT_CONN_STRING
    STORAGE_ACCT_CONN_STRING=$(container short racwdl "$(date -u -d "@$expiry" +%FT%TZ)")
    STORAGE_ACCT_CONN_STRING="BlobEndpoint=https://contosowestdata.blob.core.windows.net;SharedAccessSignature=${STORAGE_ACCT_CONN_STRING#*\?}"
}

dump() {
    registry-dump --via="$via" --manifest=manifest -o out.txt "$@" 2>err
}

load() {
    load_here "$via" --outcomes=all --rejects=rejects "$@" <../in.txt >out 2>err
}

inside_dump() {
    local i
    case $kind in
    kill) [ "$via" = job ] && until_done err "$self" --dump "$@" || until_done out.txt.part "$self" --dump --state=state "$@" ;;
    job-* | container-* | sas-*)
        meet_job "$kind" dump "$@"
        mv status first.status
        mv err first.err
        STORAGE_ACCT_CONN_STRING=$storage
        dump
        echo $? >status
        ;;
    *)
        # There is not much that can go wrong with a job.
        for ((i = $([ "$via" = rest ]; echo $((1 + 7 * $?))); i > 0; i--)); do
            [ ! -e out.txt ] || cmp out.txt ../dump.txt || return
            dump "$@"
            echo $? >status
        done
        ;;
    esac
}

inside_load() {
    case $kind in
    kill) until_done journal "$self" --load --journal=journal "$@" ;;
    job-* | container-* | sas-*) meet_job "$kind" load "$@" ;;
    *)
        load "$@"
        echo $? >status
        ;;
    esac
    curl -sSX DELETE "$HUB_SIM_CONTROL/faults" >/dev/null
    STORAGE_ACCT_CONN_STRING=$storage
    : >again
    if [ -s rejects ]; then
        # With the devices of modules, which may be disabled by now, and without
        # a mode: who creates what was in doubt is told that it is there.
        jq -nc --slurpfile r rejects '($r | map({key: .id, value: 1}) | from_entries) as $k
            | inputs | select($k[.id])' ../fleet.txt >again.txt
        load_here "$via" -q <again.txt >again 2>again.err
        echo $? >again.status
    fi
    registry-diff --via=job ../fleet.txt env:IOTHUB_CONN_STRING >diff 2>&1
    echo $? >diff.status
}

inside_lines() {
    load_here "$via" --rejects=rejects <lines >out 2>err
    echo $? >status
}

inside() {
    local way=${1%-*} via=${1#*-} kind=$2 storage=$STORAGE_ACCT_CONN_STRING expiry
    shift 2
    # shellcheck source=tests/hmac.bash
    . "$root/tests/hmac.bash"
    # shellcheck source=tests/jobs.bash
    . "$root/tests/jobs.bash"
    # The others fail; a bulk call takes longer than what is asked of one.
    [[ $kind != hang* ]] || set -- --timeout="$([ "$way" = dump ] && echo 0.7 || echo 1.5)" -j48
    set -- --retry-delay=0.01 "$@"
    [[ " $* " != *" --sku="* ]] || export HUBPIPE_PACE=on
    if [ "$kind" = sas-expires ]; then
        short_lived
        set -- --container=short "$@"
    fi
    export via
    "inside_$way" "$@"
}

# -- judges, in the folder of the combination --------------------------------

count() {
    sqlite3 db "SELECT count(*) FROM $1"
}

no_rest() {
    [ "$(count blob)" -eq 0 ] || fail "blobs are left"
    [ "$(sqlite3 db "SELECT count(*) FROM resource WHERE name LIKE '%/hubpipe-%'")" -eq 0 ] || fail "a container is left"
}

check_status() {
    [ "$(cat status)" = 0 ] || fail "status $(cat status): $(tail -n 3 err)"
}

# An undisturbed dump is what there is; a killed one may have another order.
check_dump() {
    local via=$1 kind=$2 jobs
    check_status
    if [ "$kind/$via" = kill/rest ]; then
        sort out.txt | cmp - <(sort ../dump.txt)
    else
        cmp out.txt ../dump.txt
    fi || fail "another dump than of a hub that answers"
    keys_of <out.txt | cmp - ../keys.want || fail "keys"
    jq -e --arg sum "$(sha256sum <out.txt | cut -d ' ' -f 1)" \
        '.complete and .sha256 == $sum' manifest >manifest.ok || fail "manifest: $(cat manifest)"
    [ "$(count touched)" -eq 0 ] || fail "a dump that writes"
    jobs=$(count job)
    case $via/$kind in
    rest/kill) [ "$(cat runs)" -ge 10 ] || fail "only $(cat runs) runs" ;;
    job/kill) [ "$jobs" -ge 1 ] && [ "$jobs" -le 2 ] || fail "$jobs jobs, of $(cat runs) runs" ;;
    rest/*) [ "$jobs" -eq 0 ] || fail "jobs" ;;
    job/job-* | job/container-* | job/sas-*)
        [[ $(cat first.status) == [56] ]] || fail "first: status $(cat first.status): $(tail -n 3 first.err)"
        [ "$jobs" -eq 2 ] || fail "$jobs jobs"
        ;;
    *) [ "$jobs" -eq 8 ] || fail "more jobs than one" ;;
    esac
    [ "$kind" = sas-expires ] || no_rest
}

# Each record has one outcome, and where it is, is known.
check_outcomes() {
    jq -r .line out | sort -n >lines
    seq "$(wc -l <../in.txt)" | cmp - lines || fail "not one outcome for each record"
    jq -e -n '[inputs | select(has("id") and has("tried") and has("code") | not)] == []' out >/dev/null ||
        fail "half an outcome"
    # The rejects are what was not applied, byte for byte.
    jq -r 'select(.code != "applied" and .code != "equal") | .line' out |
        awk 'NR == FNR { bad[$1]; next } FNR in bad' - ../in.txt | sort >bad
    sort rejects | cmp - bad || fail "the rejects are not those of which it is said"
}

check_source() {
    rows db | cmp - ../want.rows || fail "the hub is not like its source"
    keys_in db | cmp - ../keys.want || fail "keys"
    [ "$(cat diff.status)" = 0 ] || fail "registry-diff: $(tail -n 3 diff)"
    [ "$(count "touched WHERE op = 'delete'")" -eq 0 ] || fail "something was deleted"
    touched db | awk -F '\t' '$1 == "insert" && $4 > 1' >twice
    [ ! -s twice ] || fail "made twice: $(head -n 1 twice)"
}

# More writes than by a load without faults: done twice.  But what a lost bulk
# call did not make is made by two calls, one for the twin.
check_once() {
    local extra=1
    case $kind in
    429* | *-applied | delay | lose | half | badjson | throttle* | expired | first-lost) extra=0 ;;
    esac
    touched db | awk -F '\t' -v extra=$extra 'NR == FNR { want[$1 FS $2 FS $3] = $4; next }
        $4 > want[$1 FS $2 FS $3] + ($1 == "update" && ("insert" FS $2 FS $3) in want ? extra : 0)' \
        "../base-$via.touched" - >twice
    [ ! -s twice ] || fail "$(wc -l <twice) written once too often: $(head -n 1 twice)"
}

# Refused are those of which it is said; again with them, all is there.  What
# is refused may be the job, and 404 is status 1.
check_again() {
    [[ $(cat status) == [0567] || $kind/$(cat status) == refused-404/1 ]] || fail "status $(cat status): $(tail -n 3 err)"
    [ ! -s rejects ] || [ "$(cat again.status)" = 0 ] ||
        fail "again, without faults: status $(cat again.status): $(tail -n 3 again.err) $(head -n 1 again)"
}

check_load() {
    local via=$1 kind=$2 jobs
    check_outcomes
    check_source
    case $kind in
    refused-*)
        [ -s rejects ] || fail "nothing was refused"
        check_again
        ;;
    job-* | container-*) check_again ;;
    sas-*)
        check_again
        return
        ;;
    kill)
        check_status
        check_once
        [ "$(cat runs)" -ge "$([ "$via" = rest ] && echo 10 || echo 4)" ] || fail "only $(cat runs) runs"
        ;;
    *)
        check_status
        [ ! -s rejects ] || fail "rejects"
        check_once
        jobs=$(sqlite3 "../base-$via.db" 'SELECT count(*) FROM job WHERE import')
        [ "$(count 'job WHERE import')" -eq "$jobs" ] || fail "more jobs than needed"
        ;;
    esac
    no_rest
}

check_lines() {
    local via=$1
    [ "$(cat status)" = 7 ] || fail "status $(cat status): $(tail -n 3 err)"
    # Each in its way, and nothing else.
    jq -r --argjson say "$sayings" --rawfile ways ways -n '
        ($ways | split("\n") | map(select(. != "") | split("\t")) | map({key: .[0], value: (.[1] | tonumber)}) | from_entries) as $way
        | [inputs] | (map(select(($say[$way["\(.line)"] // 99] // "none") as $s | "\(.code) \(.message)" | startswith($s) | not)) | .[0] // empty | "odd: \(.)"),
        (group_by($way["\(.line)"])[] | "\($way["\(.[0].line)"]) \(length)")' out >told
    cut -f 2 ways | sort -n | uniq -c | awk '{ print $2, $1 }' | cmp - told || fail "outcomes: $(head -n 3 told)"
    cut -f 1 ways | awk 'NR == FNR { bad[$1]; next } FNR in bad' - lines | cmp - rejects || fail "rejects"
    keys_in db | cmp - <(keys_of <good) || fail "the hub has not the good ones"
    [ "$(count "touched WHERE op != 'insert'")" -eq 0 ] || fail "not only made"
    [ "$(count touched)" -eq "$(wc -l <good)" ] || fail "made twice"
    no_rest
}
