# registry-diff: the plan that registry-load executes, the counts, what a live
# hub did not list, configurations.
# shellcheck shell=bash

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    jq -nrc --argjson n 60 -f "$ROOT/examples/fleet.jq" >a.txt
}

# b.txt: a.txt with a difference of each kind.
make_b() {
    jq -c --slurp '
        def key: "bmV3a2V5bmV3a2V5bmV3a2V5bmV3a2V5";
        def thumb: "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF";
        map(
            if .id == "device-0008" then empty                      # to create
            elif .moduleId == "camera" and .id == "device-0009" then empty
            elif .moduleId then
                if .moduleId == "disabled-too" then .tags.role = "x"
                elif .moduleId == "filter" then del(.tags.role) | .properties.desired.list = [1]
                elif .id == "line-0000" and .moduleId == "$edgeHub" then .properties.desired.z = 1
                else . end
            elif .id == "device-0010" then .authentication.x509Thumbprint.primaryThumbprint = thumb
            elif .id == "device-0012" then .authentication.symmetricKey.primaryKey = key
            elif .id == "device-0014" then .tags.site = "elsewhere" | .properties.desired.interval = 99
            elif .id == "device-0015" then .tags.extra = 1
            elif .id == "device-0016" then .properties.desired = {interval: {a: 1}}
            elif .id == "device-0017" then .status = "disabled" | .statusReason = "by hand"
            elif .id == "device-0018" then .status = "enabled"
            elif .id == "device-0023" then del(.statusReason)
            elif .id == "device-0003" then del(.deviceScope, .parentScopes)
            elif .id == "line-0050" then del(.parentScopes)
            elif .id == "device-0020" then .tags = {only: {b: {has: 1}}}
            else . end)
        + [{id: "new-1", status: "enabled", authentication: {symmetricKey: {primaryKey: key, secondaryKey: key}, type: "sas"}},
           {id: "new-1", moduleId: "m", status: "enabled", authentication: {symmetricKey: {primaryKey: key, secondaryKey: key}, type: "sas"}},
           {id: "device-0022", moduleId: "new-m", status: "enabled", authentication: {symmetricKey: {primaryKey: key, secondaryKey: key}, type: "sas"}}]
        | .[]' a.txt >b.txt
}

@test "a plan, loaded, makes B like A: every kind of difference, deletions too" {
    make_b
    # One whose tags A does not have at all.
    jq -c 'if .id == "device-0020" and .moduleId == null then del(.tags) else . end' a.txt >a2.txt
    mv a2.txt a.txt
    cat >script <<'END'
export DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING
unset IOTHUB_CONN_STRING
registry-diff --plan=plan a.txt >got 2>err && exit 11
cat err >&2
[ "$(grep -c . got)" -gt 20 ] || exit 12
[ "$(stat -c %a plan)" = 600 ] || exit 13
grep -c . plan
jq -r '.importMode // "none"' plan | sort | uniq -c
registry-load -q <plan >outcomes && exit 14
[ ! -s outcomes ] || exit 15
# --max-delete: a fleet this small is beyond a percentage.
max=$(registry-load --list-options | grep -x -- --max-delete) || :
registry-load -q ${max:+$max=100} --expect="$(grep -c . plan)" --confirm=contoso \
    env:DEST_IOTHUB_CONN_STRING <plan >outcomes || { cat outcomes; exit 16; }
[ ! -s outcomes ] || exit 17
registry-diff a.txt
END
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" \
        --registry b.txt -- bash -u script
    has "equal: " " 2 createOrUpdate" " 2 delete" "to delete"
    # The twin alone where that is enough, and a plan needs no more than that.
    jq -r 'select(.importMode == "updateTwin") | .id' plan >twins
    grep -qx device-0014 twins
    run grep -x device-0015 twins
    [ "$status" -eq 1 ]
    # A module that goes with its device is not deleted by itself.
    run grep -c new-1 plan
    [ "$output" = 1 ]
    # A disabled device comes with its module.
    [ "$(jq -r 'select(.id == "device-0013" and (.moduleId | not)) | .importMode' plan)" = update ]
}

@test "a plan may go through the pipe: differences then only to -o" {
    make_b
    registry-diff -q --plan=plan -o diffs a.txt b.txt && false
    run registry-diff -q --plan=- a.txt b.txt
    [ "$status" -eq 1 ]
    [ "$output" = "$(cat plan)" ]
    registry-diff -q --plan=- -o diffs2 a.txt b.txt >plan2 && false
    same plan plan2
    same diffs diffs2
    [ -s diffs ]
    expect_status 0 registry-diff --plan=none a.txt a.txt
    [ -f none ]
    [ ! -s none ]
    expect_status 2 registry-diff --plan=x --configurations a.txt b.txt
}

@test "a dump that is known to lack something deletes nothing" {
    mkdir -p t/bin
    cp "$(command -v registry-diff)" t/bin/
    printf '#!/bin/bash\ncase $* in *--ids*) ;; *) cat a.txt ;; esac\nexit 7\n' >t/bin/registry-dump
    chmod +x t/bin/registry-dump
    make_b
    expect_status 1 t/bin/registry-diff --plan=plan part b.txt
    has "deletes nothing" " 0 to delete"
    run grep delete plan
    [ "$status" -eq 1 ]
}

@test "counts by kind, and one line of them with --summary" {
    make_b
    expect_status 1 registry-diff a.txt b.txt
    has "2 only in A" "3 only in B" "1 in /authentication/symmetricKey" " in /tags" " in /status"
    run bash -c 'registry-diff --summary a.txt b.txt 2>/dev/null'
    [ "$status" -eq 1 ]
    [ "$(jq -c '[.onlyA, .onlyB, .differences["/authentication/symmetricKey"], .complete]' <<<"$output")" = '[2,3,1,true]' ]
    run bash -c 'registry-diff --summary a.txt a.txt 2>/dev/null'
    [ "$status" -eq 0 ]
    [ "$(jq -c '[.a == .b, .differences]' <<<"$output")" = '[true,{}]' ]
}

@test "what is compared is never replaced by the plan or the report" {
    cp a.txt b.txt
    ln -s b.txt link
    for option in --plan=a.txt --plan=./a.txt --output=b.txt "-o link"; do
        # shellcheck disable=SC2086 # an option and its value
        expect_status 2 registry-diff $option a.txt b.txt
        has "is compared, and would be replaced"
    done
    expect_status 2 registry-diff --plan=p -o p a.txt b.txt
    has "--plan and -o name the same: 'p'"
    cmp a.txt b.txt
    [ "$(wc -l <a.txt)" -gt 60 ]
    [ ! -e p ]
    expect_status 0 registry-diff --plan=- - b.txt <a.txt
}

@test "what a live hub did not list is asked for again, on either side" {
    # The hub makes it new; its query does not show it yet.
    mkdir -p t/bin
    cp "$(command -v registry-diff)" t/bin/
    cat >t/bin/registry-dump <<'END'
#!/bin/bash
echo "$*" >>calls
case $* in
*--ids=*)
    for arg; do [[ $arg != --ids=* ]] || cat "${arg#--ids=}" >asked; done
    jq -c --rawfile ids asked 'select(.id as $i | $ids | split("\n") | index($i))' all.txt ;;
*) cat listed.txt ;;
esac
END
    chmod +x t/bin/registry-dump
    cp a.txt all.txt
    grep -v -e '"device-0009"' -e '"line-0050"' a.txt >listed.txt
    expect_status 0 t/bin/registry-diff --retry-delay=0.1 a.txt hub
    has "'hub' did not list 7 entries: asking for each" "equal: "
    grep -q -- --retry-delay=0.1 calls
    [ "$(sort -u asked | paste -sd ' ')" = "device-0009 line-0050" ]
    expect_status 0 t/bin/registry-diff hub a.txt
    has "equal: "
    # What differs then is a difference, and what is not there is missing.
    sed '/"device-0009"/s/"interval":[0-9]*/"interval":999/' a.txt | grep -v camera >all.txt
    expect_status 1 t/bin/registry-diff a.txt hub
    has '{"id":"device-0009","path":"/properties/desired/interval"' \
        '{"id":"device-0009","moduleId":"camera","path":"","only":"a"}' "1 only in A"
    expect_status 1 t/bin/registry-diff --plan=plan hub a.txt
    has '{"id":"device-0009","moduleId":"camera","path":"","only":"b"}' "1 only in B"
    [ "$(jq -c '[.id, .moduleId, .importMode]' plan | paste -sd ' ')" = \
        '["device-0009",null,"updateTwin"] ["device-0009","camera","delete"]' ]
    [ "$(jq -r 'select(.importMode == "updateTwin") | .properties.desired.interval' plan)" = 999 ]
}

@test "against a hub of more than a list, whose query is late" {
    jq -nrc --argjson n 1100 -f "$ROOT/examples/fleet.jq" >many.txt
    cat >script <<'END'
hub=$IOTHUB_CONN_STRING
unset IOTHUB_CONN_STRING
export DEST_IOTHUB_CONN_STRING=$hub
registry-load -q <tail.txt >outcomes || exit 10
registry-diff --via=rest -j 4 many.txt
END
    head -n 1290 many.txt >head.txt
    tail -n +1291 many.txt >tail.txt
    # It never shows them, but asked for each it has them: as many as it counts.
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" --speed=0.001 \
        --doubt query-lag=on --registry head.txt -- bash -u script
    has "did not list" "equal: "
}

@test "a hub that may have more than it listed is not known to be equal" {
    jq -nrc --argjson n 1100 -f "$ROOT/examples/fleet.jq" >many.txt
    cat >script <<'END'
hub=$IOTHUB_CONN_STRING
unset IOTHUB_CONN_STRING
export DEST_IOTHUB_CONN_STRING=$hub
{ tail -n +1291 many.txt; echo '{"id":"one-more","status":"enabled","authentication":{"type":"certificateAuthority"}}'; } |
    registry-load -q >outcomes || exit 10
registry-diff --summary --via=rest many.txt >summary
END
    head -n 1290 many.txt >head.txt
    expect_status 7 hub-sim --from "$ROOT/examples/contoso.json" --speed=0.001 \
        --doubt query-lag=on --registry head.txt -- bash -u script
    has "did not list" "were found"
    [ "$(jq -c '[.onlyA, .onlyB, .differences, .complete]' summary)" = '[0,0,{},false]' ]
}

@test "what a query shows only later is waited for, on both sides" {
    jq -nrc --argjson n 1100 -f "$ROOT/examples/fleet.jq" >many.txt
    sed -n 1,1200p many.txt >head.txt
    cat >script <<'END'
a=$IOTHUB_CONN_STRING
unset IOTHUB_CONN_STRING
registry-load -q <many.txt >outcomes || exit 10
tail -n +1201 many.txt | DEST_IOTHUB_CONN_STRING=$a registry-load -q >outcomes || exit 11
IOTHUB_CONN_STRING=$a registry-diff --via=rest
END
    # Both have some that no query shows yet, A by now only the last.
    expect_status 0 hub-sim --from "$FIXTURES/two-hubs.json" --dest contoso-east --speed=0.3 \
        --doubt query-lag=on --registry head.txt -- bash -u script
    has "asking again in 1 s" "equal: "
    has_not "could not read all"
}

@test "what a job did not export is not asked for when it is much" {
    mkdir -p t/bin
    cp "$(command -v registry-diff)" t/bin/
    printf '#!/bin/sh\necho "$*" >>calls\ncase $* in *--ids=*) ;; *) cat some.txt ;; esac\n' >t/bin/registry-dump
    chmod +x t/bin/registry-dump
    jq -nrc --argjson n 300 -f "$ROOT/examples/fleet.jq" >many.txt
    head -n 200 many.txt >some.txt
    expect_status 1 t/bin/registry-diff --via=job --plan=plan many.txt hub
    has "'hub' did not export $(sed 1,200d many.txt | wc -l) entries: they count as missing"
    [ "$(wc -l <calls)" = 1 ]
    sed 1,200d many.txt | jq -r '.id + "/" + .moduleId' | sort >want
    jq -r 'select(.importMode == "createOrUpdate" or .importMode == "create") | .id + "/" + .moduleId' plan |
        sort | comm -23 want - >unplanned
    [ ! -s unplanned ]
    # Calls are what the rest took, too.
    : >calls
    expect_status 1 t/bin/registry-diff --via=rest many.txt hub
    has "asking for each"
    grep -q -- --ids= calls
}

@test "two hubs read by jobs: what only one exports is asked for by calls, and the plan makes them equal" {
    jq --slurpfile two "$FIXTURES/two-hubs.json" '.resources += [$two[0].resources[1]]' \
        "$ROOT/examples/contoso.json" >two.json
    cat >script <<'END'
registry-load -q <a.txt >outcomes || exit 10
registry-diff --via=job env:IOTHUB_CONN_STRING env:DEST_IOTHUB_CONN_STRING || exit 11
grep '"id":"device-0008"' a.txt | registry-edit -q --mode=delete |
    registry-load -q --no-undo --confirm=contoso-east --expect=1 contoso-east || exit 12
grep '"id":"device-0009","status' a.txt | sed 's/"id":"/&only-b-/' | registry-load -q || exit 13
registry-diff --via=job --plan=plan env:IOTHUB_CONN_STRING env:DEST_IOTHUB_CONN_STRING && exit 14
registry-load -q --no-undo --confirm=contoso-east --expect=2 contoso-east <plan || exit 15
registry-diff --via=job env:IOTHUB_CONN_STRING env:DEST_IOTHUB_CONN_STRING
END
    expect_status 0 hub-sim --from two.json --dest contoso-east --registry a.txt -- bash -u script
    has "did not list 1 entries: asking for each" '{"id":"device-0008","path":"","only":"a"}' \
        '{"id":"only-b-device-0009","path":"","only":"b"}'
    [ "$(grep -c '"only"' <<<"$output")" = 2 ]
}

@test "configurations are compared by what they say" {
    cat >a.conf <<'END'
{"Id":"base","SchemaVersion":"1.0","Labels":{"a":"b"},"Content":{"ModulesContent":{"$edgeAgent":{"properties.desired":{"n":1}}}},"TargetCondition":"tags.x=1","Priority":5,"Metrics":{"Queries":{"q":"SELECT 1"}},"ETag":"1"}
{"Id":"other","Content":{"DeviceContent":{"properties.desired":{"a":null}}},"TargetCondition":"","Priority":0}
END
    # As the REST API spells it, in another order, made anew.
    cat >b.conf <<'END'
{"id":"other","content":{"deviceContent":{"properties.desired":{"a":null}},"moduleContent":null},"priority":0,"etag":"9","createdTimeUtc":"x"}
{"id":"base","schemaVersion":"1.0","labels":{"a":"b"},"content":{"modulesContent":{"$edgeAgent":{"properties.desired":{"n":1}}}},"targetCondition":"tags.x=1","priority":5,"metrics":{"queries":{"q":"SELECT 1"},"results":{}},"systemMetrics":{"results":{"a":1}}}
END
    expect_status 0 registry-diff --configurations a.conf b.conf
    has "equal: 2 entries"
    sed -i 's/"n":1/"n":2/; s/"priority":5/"priority":6/' b.conf
    sed -i '/other/d' b.conf
    expect_status 1 registry-diff --configurations a.conf b.conf
    has '{"configuration":"base","path":"/Priority","a":5,"b":6}' \
        '/Content/ModulesContent/$edgeAgent/properties.desired/n' \
        '{"configuration":"other","path":"","only":"a"}' \
        "1 only in A, 1 in /Content/ModulesContent, 1 in /Priority"
    # A hub may have none; records are no configurations, nor the other way.
    : >none.conf
    expect_status 0 registry-diff --configurations none.conf none.conf
    expect_status 3 registry-diff --configurations a.txt a.txt
    has "no configuration: no Content"
    expect_status 3 registry-diff a.conf a.conf
    has "no id"
}

@test "configurations of a live hub" {
    cat >a.conf <<'END'
{"Id":"one","SchemaVersion":"1.0","Labels":{"a":"b"},"Content":{"DeviceContent":{"properties.desired.x":{"n":1.5}}},"TargetCondition":"tags.x='1'","Priority":5,"Metrics":{"Queries":{"q":"SELECT deviceId FROM devices"}}}
{"Id":"two","SchemaVersion":"1.0","Labels":{},"Content":{"DeviceContent":{"properties.desired.y":true}},"TargetCondition":"*","Priority":0}
END
    head -n 5 a.txt >few.txt
    cat >script <<'END'
export DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING
unset IOTHUB_CONN_STRING
registry-diff --configurations a.conf >none && exit 10
[ "$(jq -r .only none | sort -u)" = a ] || exit 11
registry-load -q --via=rest --configurations=a.conf <few.txt || exit 12
registry-diff --configurations --via=job a.conf || exit 13
sed 's/"n":1.5/"n":1.50/; s/"Priority":0/"Priority":2/' a.conf | registry-diff --configurations - env:DEST_IOTHUB_CONN_STRING
END
    expect_status 1 hub-sim --from "$ROOT/examples/contoso.json" -- bash -u script
    has "equal: 2 entries" '{"configuration":"two","path":"/Priority","a":2,"b":0}' \
        '/Content/DeviceContent/properties.desired.x/n' "2 differences between 2 and 2"
}
