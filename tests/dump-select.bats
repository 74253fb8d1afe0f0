# dump-select: some of a hub: --where, --limit; and the filters of share/jq.
# shellcheck shell=bash disable=SC2016,SC2089,SC2090 # $ in what hub-sim's shell evaluates

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
}

# sim STATUS [OPTION...] -- SCRIPT: in bash; contoso has west.txt.
sim() {
    # The records are older than any query is late.
    simulate --from "$FIXTURES/two-hubs.json" --registry west.txt \
        --dest contoso-east --operation-ms 1 --doubt query-lag=off : "$@"
}

ca() { # N: so many devices, each fifth with a module
    jq -nc --argjson n "$1" 'range($n) | {id: "dev-\(.)", status: "enabled", authentication: {type: "certificateAuthority"},
            tags: {site: (if . % 3 == 0 then "o\u0027hare" else "x\"y" end), n: .}},
        if . % 5 == 0 then {id: "dev-\(.)", moduleId: "m", status: "enabled", authentication: {type: "sas",
            symmetricKey: {primaryKey: "QUJDREVGR0hJSktMTU5PUA==", secondaryKey: "QUJDREVGR0hJSktMTU5PUA=="}}} else empty end'
}

@test "--where: what the query names, each read by calls, modules with their device" {
    ca 30 >west.txt
    sim 0 --log=log.txt -- 'registry-dump -q >all; registry-dump --where="tags.n >= 10 AND tags.n < 16" >some;
        registry-dump -q --where="tags.n = 999" >none'
    same <(jq -c 'select(.id | ltrimstr("dev-") | tonumber | . >= 10 and . < 16)' all) <(jq -c . some)
    same some <(grep -Fxf some all)
    [ "$(wc -l <some)" -eq 8 ]
    [ ! -s none ]
    has "'contoso': 6 devices, 8 lines"
}

@test "--where: quotes and what other query languages make of them go to the hub as they are" {
    ca 9 >west.txt
    sim 0 -- 'registry-dump -q --where="tags.site = '"'o\\'hare'"'" >a || registry-dump -q --where="tags.site = '"'o''hare'"'" >a || : >a
        registry-dump -q --where="tags.site = '"'"'x\"y'"'"'" >b'
    [ "$(jq -r 'select(.moduleId == null) | .id' b | tr '\n' ' ')" = "dev-1 dev-2 dev-4 dev-5 dev-7 dev-8 " ]
    local n=0 text
    for text in "tags.n = " "tags.n = 1; DROP TABLE devices" "WHERE tags.n = 1" "SELECT * FROM devices" "'" '"' "tags.n == 1" \
        "1 = 1 --" "tags.n = 1) OR (1 = 1" "tags.n = 1 GROUP BY tags.n"; do
        export text
        sim 2 -- 'registry-dump -q --where="$text" >out; s=$?; test ! -s out && exit $s'
        [ "$(grep -c '^registry-dump: .*the hub does not take this condition: ' <<<"$output")" -eq 1 ] || { echo "$text: $output"; false; }
        n=$((n + 1))
    done
    [ "$n" -eq 10 ]
    text=''
    sim 2 -- 'registry-dump --where="$text"; test $? -eq 2 && registry-dump --where="  "'
    has "--where: the condition is empty"
}

@test "--where and --limit: not with what means the whole; -o FILE is not made when the hub refuses" {
    ca 3 >west.txt
    echo dev-1 >ids
    sim 0 -- '
        no() { "$@" >/dev/null; test $? -eq 2; }
        no registry-dump --where="tags.n = 1" --manifest=m && no registry-dump --limit=2 --manifest=m &&
        no registry-dump --where="tags.n = 1" --ids=ids && no registry-dump --limit=0 && no registry-dump --limit=-1 &&
        no registry-dump --limit=x && no registry-dump --limit= && no registry-dump --where &&
        no registry-dump --where="tags.n = 1" --via=job &&
        no registry-dump --where="tags.n =" -o out.txt && test ! -e out.txt'
    has "--manifest does not go with --ids, --where and --limit" "--ids and --where exclude each other" \
        "--limit: a dump has at least one device"
}

@test "--limit: the first devices in the hub's order, with their modules; also above a list, with --ids and --where" {
    ca 1105 >west.txt
    sim 0 -- 'registry-dump -q -o all; registry-dump --limit=7 -o seven; registry-dump -q --limit=1100 -o most
        registry-dump -q --limit=1000 -o thousand; registry-dump -q --limit=5000 -o more
        head -n 20 all | registry-dump -q --limit=3 --ids=- >of-ids; registry-dump -q --limit=4 --where="tags.n > 1000" >of-where'
    same all more
    same seven <(head -n "$(wc -l <seven)" all)
    [ "$(jq -r 'select(.moduleId == null) | .id' seven | wc -l)" -eq 7 ]
    [ "$(jq -r 'select(.moduleId == null) | .id' thousand | wc -l)" -eq 1000 ]
    same thousand <(head -n "$(wc -l <thousand)" all)
    [ "$(jq -r 'select(.moduleId == null) | .id' most | wc -l)" -eq 1100 ]
    same of-ids <(head -n "$(wc -l <of-ids)" all)
    [ "$(jq -r 'select(.moduleId == null) | .id' of-ids | wc -l)" -eq 3 ]
    [ "$(jq -r 'select(.moduleId == null) | .id' of-where | wc -l)" -eq 4 ]
    has "'contoso': 7 devices"
    has_not "counts 1105 devices"
}

@test "--limit goes on with --state, and counts what was read before" {
    ca 40 >west.txt
    sim 0 --fault 'host=contoso.*,path=/twins/dev-19*,count=1,do=status:401' -- '
        registry-dump -q -j 1 --retry-max-time=0 --limit=25 --state=s -o out; registry-dump -q --limit=25 --state=s -o out &&
        registry-dump -q --limit=25 >want'
    same want out
}

@test "a query that is late: one that is gone since is left out, and said" {
    ca 12 >west.txt
    sim 0 --doubt query-lag=on -- '
        curl -sS -X PUT -d 60 "$HUB_SIM_CONTROL/clock" >/dev/null
        echo "{\"id\":\"dev-3\",\"importMode\":\"delete\",\"status\":\"enabled\"}" >gone
        c=$IOTHUB_CONN_STRING; IOTHUB_CONN_STRING= C=$c registry-load -q --max-delete=1 --no-undo --expect=1 --confirm=contoso env:C <gone &&
        registry-dump --where="tags.n < 6" >out'
    [ "$(jq -r 'select(.moduleId == null) | .id' out | grep -cx dev-3)" -eq 0 ]
    [ "$(jq -r 'select(.moduleId == null) | .id' out | wc -l)" -eq 5 ]
    has "'dev-3': is not there"
}
