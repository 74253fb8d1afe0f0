# jq-records: share/jq/records.jq, in registry-edit and in plain jq.
# shellcheck shell=bash disable=SC2016 # $ in what jq and hub-sim's shell evaluate

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
}

# by MEMBER FILTER: registry-edit with it.
by() {
    registry-edit --set="$1=import \"records\" as r; r::$2"
}
# plain FILTER INPUT: by jq alone.
plain() {
    jq -c -L "$ROOT/share/jq" "import \"records\" as r; r::$1" <<<"$2"
}

KEYS='"authentication":{"type":"certificateAuthority"}'

@test "rename: devices, their modules, and the scopes of children; every other byte stays" {
    cat >f.txt <<END
{"id":"dev-1","status":"enabled",$KEYS,"tags":{"n":9007199254740993, "x" : 1.0},"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://dev-1-77"}
{"id":"dev-1","moduleId":"dev-m","status":"enabled",$KEYS}
{"id":"dev-a-2","status":"enabled",$KEYS,"deviceScope":"ms-azure-iot-edge://dev-1-77","parentScopes":["ms-azure-iot-edge://dev-1-77","ms-azure-iot-edge://top-dev-3"]}
{"id":"other","status":"enabled",$KEYS , "tags":{ "e":1e2 }}
END
    by id 'rename("^dev-"; "east-")' <f.txt | by deviceScope 'rename_scope("^dev-"; "east-")' |
        by parentScopes 'rename_scopes("^dev-"; "east-")' >g.txt
    same g.txt <(sed 's/"id":"dev-/"id":"east-/; s/edge:\/\/dev-/edge:\/\/east-/g' f.txt)
    by id 'rename("^(?<kind>[a-z]+)-(?<n>.*)$"; "\(.n).\(.kind)")' <f.txt | jq -r '.id + (.moduleId // "")' >ids
    [ "$(paste -sd' ' ids)" = "1.dev 1.devdev-m a-2.dev other" ]
    # Plain jq does a whole record, and its numbers go where jq takes them.
    [ "$(jq -c -L "$ROOT/share/jq" 'import "records" as r; r::renamed("^dev-"; "east-") | [.id, .deviceScope, .parentScopes, has("deviceScope")]' f.txt)" = \
        '["east-1","ms-azure-iot-edge://east-1-77",null,true]
["east-1",null,null,false]
["east-a-2","ms-azure-iot-edge://east-1-77",["ms-azure-iot-edge://east-1-77","ms-azure-iot-edge://top-dev-3"],true]
["other",null,null,false]' ]
}

@test "rename: what is no id is refused, line by line; two that become one are for registry-load to say" {
    printf '{"id":"%s","status":"enabled",%s}\n' a "$KEYS" b "$KEYS" >f.txt
    expect_pipe 7 'registry-edit --set="id=import \"records\" as r; r::rename(\"a\"; \"a b\")" f.txt >g.txt'
    has "line 1: "
    [ "$(jq -r .id g.txt)" = b ]
    expect_pipe 7 'registry-edit --set="id=if . == \"a\" then null else . end" f.txt'
    expect_pipe 2 'registry-edit --drop=id f.txt'
    expect_pipe 2 'registry-edit --set="moduleId=\"x\"" f.txt'
    expect_pipe 0 'registry-edit --set="id=\"same\"" f.txt >h.txt'
    expect_status 7 hub-sim --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 -- registry-load <h.txt
    has '"code":"DuplicateId"'
}

@test "rename in a pipe: children find their parents under the new names" {
    jq -nrc --argjson n 60 -f "$ROOT/examples/fleet.jq" >f.txt
    expect_status 0 hub-sim --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 -- bash -o pipefail -c '
        registry-edit --set="id=import \"records\" as r; r::rename(\"^factory-\"; \"plant-\")" \
            --set="deviceScope=import \"records\" as r; r::rename_scope(\"^factory-\"; \"plant-\")" \
            --set="parentScopes=import \"records\" as r; r::rename_scopes(\"^factory-\"; \"plant-\")" f.txt |
            tee g.txt | registry-load >out && registry-diff g.txt env:DEST_IOTHUB_CONN_STRING'
    has "78 applied" "equal: 78 entries"
    [ "$(grep -c factory- g.txt)" -eq 0 ]
}

@test "tags: set, set where missing, dropped, moved, kept; null is none, other members keep their bytes" {
    line='{"id":"d","status":"enabled",'$KEYS',"tags":{"a":1,"b":{"c":2}},"properties":{"desired":{"n":1.0}}}'
    none='{"id":"d","status":"enabled",'$KEYS',"tags":null}'
    t() { by tags "$1" <<<"$2" | jq -c .tags; }
    [ "$(t 'tag("b.d"; "x")' "$line")" = '{"a":1,"b":{"c":2,"d":"x"}}' ]
    [ "$(t 'tag("e"; $id)' "$line")" = '{"a":1,"b":{"c":2},"e":"d"}' ]
    [ "$(t 'tag("e"; 1)' "$none")" = '{"e":1}' ]
    [ "$(t 'tag_default("a"; 9)' "$line")" = '{"a":1,"b":{"c":2}}' ]
    [ "$(t 'tag_default("z"; 9)' "$line")" = '{"a":1,"b":{"c":2},"z":9}' ]
    [ "$(t 'untag("b.c")' "$line")" = '{"a":1,"b":{}}' ]
    [ "$(t 'untag("x.y.z")' "$line")" = '{"a":1,"b":{"c":2}}' ]
    [ "$(t 'untag("a.b")' "$line")" = '{"a":1,"b":{"c":2}}' ]
    [ "$(t 'retag("b.c"; "site")' "$line")" = '{"a":1,"b":{},"site":2}' ]
    [ "$(t 'retag("nope"; "site")' "$line")" = '{"a":1,"b":{"c":2}}' ]
    [ "$(t 'only_tags(["a","x"])' "$line")" = '{"a":1}' ]
    by tags 'tag("a"; 2)' <<<"$line" | grep -q '"desired":{"n":1.0}'
    # Nothing changes: not a byte does.
    same <(by tags 'untag("nope")' <<<"$none") <(echo "$none")
    same <(by tags 'untag("nope")' <<<"${none/,\"tags\":null/}") <(echo "${none/,\"tags\":null/}")
    [ "$(plain 'tag("x.y"; 1)' null)" = '{"x":{"y":1}}' ]
    [ "$(plain 'tagged("a")' '{"a":null}')" = true ]
    [ "$(plain 'tagged("a.b")' '{"a":[]}')" = false ]
}
