# registry-diff: nothing printed and status 0, or exactly what differs.
# shellcheck shell=bash

load helper

# One record with everything that is compared, in the names that jq can set.
make_a() {
    cat >a.txt <<'END'
{"id":"d1","eTag":"AA==","status":"enabled","statusReason":"none yet","authentication":{"symmetricKey":{"primaryKey":"cHJpbWFyeQ==","secondaryKey":"c2Vjb25k"},"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"},"twinETag":"AAAAAAAAAAE=","tags":{"site":"x","a/b~c":{"deep":[1,{"n":1.0}]},"é":"½"},"properties":{"desired":{"hub":"a","n":9007199254740993,"$metadata":{"$lastUpdated":"t"},"$version":2},"reported":{"fw":"1"}},"capabilities":{"iotEdge":false},"deviceScope":"ms-azure-iot-edge://edge-1-637","parentScopes":["ms-azure-iot-edge://edge-1-637"]}
{"id":"d1","moduleId":"m","status":"enabled","managedBy":"me","authentication":{"symmetricKey":{"primaryKey":"bQ==","secondaryKey":"bQ=="},"type":"sas"},"properties":{"desired":{"m":1}}}
{"id":"d2","status":"disabled","authentication":{"x509Thumbprint":{"primaryThumbprint":"A1B2","secondaryThumbprint":"C3D4"},"type":"selfSigned"}}
{"id":"edge-1","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"ZQ==","secondaryKey":"ZQ=="},"type":"sas"},"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://edge-1-637","parentScopes":["ms-azure-iot-edge://edge-0-11"]}
{"id":"edge-1","moduleId":"$edgeAgent","status":"enabled","authentication":null,"properties":{"desired":{"s":1}}}
END
}

# changed LINE SED WANT: a change of that line prints exactly that.
changed() {
    sed "$1$2" a.txt >b.txt
    run cmp a.txt b.txt
    [ "$status" -eq 1 ]
    run bash -c 'registry-diff a.txt b.txt 2>/dev/null'
    if [ "$status" -ne 1 ] || [ "$output" != "$3" ]; then
        echo "status $status for $2:"
        echo "$output"
        return 1
    fi
}

# ignored LINE SED
ignored() {
    sed "$1$2" a.txt >b.txt
    run cmp a.txt b.txt
    [ "$status" -eq 1 ]
    expect_pipe 0 'registry-diff a.txt b.txt'
    has "equal: 5 entries"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    make_a
}

@test "equal: nothing on stdout, status 0" {
    cp a.txt b.txt
    run bash -c 'registry-diff a.txt b.txt 2>/dev/null'
    [ "$status" -eq 0 ]
    [ -z "$output" ]
    expect_status 0 registry-diff "$FIXTURES/hazards.txt" "$FIXTURES/hazards.txt"
    expect_status 0 registry-diff -q a.txt b.txt
    [ -z "$output" ]
}

@test "equal in another order of lines and of members, and with other spellings" {
    expect_pipe 0 "tac a.txt | registry-diff a.txt -"
    expect_pipe 0 "tac a.txt | registry-diff - a.txt"
    python3 - <<'END'
import json
def other(v):
    if isinstance(v, dict):
        return "{ " + " , ".join(json.dumps(k, ensure_ascii=True) + " : " + other(v[k]) for k in reversed(v)) + " }"
    if isinstance(v, list):
        return "[ " + " , ".join(map(other, v)) + " ]"
    return json.dumps(v, ensure_ascii=True)
with open("b.txt", "w") as f:
    for line in open("a.txt"):
        f.write("  " + other(json.loads(line)) + "\r\n")
END
    expect_pipe 0 "registry-diff a.txt b.txt"
    has "equal: 5 entries"
    expect_pipe 0 "sed 's/\"h-\\(..\\)\"/\"\\\\u0068-\\1\"/' '$FIXTURES/hazards.txt' | registry-diff '$FIXTURES/hazards.txt' -"
}

@test "one byte of each member compared gives exactly its pointer" {
    changed 1 's/"status":"enabled"/"status":"disabled"/' '{"id":"d1","path":"/status","a":"enabled","b":"disabled"}'
    changed 1 's/none yet/nope yet/' '{"id":"d1","path":"/statusReason","a":"none yet","b":"nope yet"}'
    changed 1 's/"type":"sas"/"type":"saz"/' '{"id":"d1","path":"/authentication/type","a":"sas","b":"saz"}'
    changed 1 's/"site":"x"/"site":"y"/' '{"id":"d1","path":"/tags/site","a":"x","b":"y"}'
    changed 1 's/1\.0/1.5/' '{"id":"d1","path":"/tags/a~1b~0c/deep/1/n","a":1.0,"b":1.5}'
    changed 1 's/\[1,/[2,/' '{"id":"d1","path":"/tags/a~1b~0c/deep/0","a":1,"b":2}'
    changed 1 's/½/¼/' '{"id":"d1","path":"/tags/é","a":"½","b":"¼"}'
    changed 1 's/9007199254740993/9007199254740992/' '{"id":"d1","path":"/properties/desired/n","a":9007199254740993,"b":9007199254740992}'
    changed 1 's/"hub":"a"/"hub":"b"/' '{"id":"d1","path":"/properties/desired/hub","a":"a","b":"b"}'
    changed 1 's/:false/:true/' '{"id":"d1","path":"/capabilities/iotEdge","a":false,"b":true}'
    changed 2 's/"me"/"us"/' '{"id":"d1","moduleId":"m","path":"/managedBy","a":"me","b":"us"}'
    changed 2 's/"m":1/"m":2/' '{"id":"d1","moduleId":"m","path":"/properties/desired/m","a":1,"b":2}'
    changed 3 's/A1B2/A1B3/' '{"id":"d2","path":"/authentication/x509Thumbprint/primaryThumbprint","a":"A1B2","b":"A1B3"}'
    changed 3 's/C3D4/C3D5/' '{"id":"d2","path":"/authentication/x509Thumbprint/secondaryThumbprint","a":"C3D4","b":"C3D5"}'
    changed 5 's/"s":1/"s":2/' '{"id":"edge-1","moduleId":"$edgeAgent","path":"/properties/desired/s","a":1,"b":2}'
}

@test "keys are compared and shown as hashes only" {
    want=$(printf 'cHJpbWFyeQ==' | sha256sum | cut -c1-12)
    changed 1 's/cHJpbWFyeQ/cHJpbWFyeA/' "{\"id\":\"d1\",\"path\":\"/authentication/symmetricKey/primaryKey\",\"a\":\"sha256:$want\",\"b\":\"sha256:$(printf 'cHJpbWFyeA==' | sha256sum | cut -c1-12)\"}"
    sed '1s/c2Vjb25k/c2Vjb25l/' a.txt >b.txt
    expect_pipe 1 "registry-diff a.txt b.txt"
    has "/authentication/symmetricKey/secondaryKey" "1 differences between 5 and 5"
    has_not c2Vjb25
    # A dump without keys is not the same registry.
    sed '1s/"symmetricKey":{[^}]*}/"symmetricKey":null/' a.txt >b.txt
    expect_pipe 1 "registry-diff a.txt b.txt"
    has "symmetricKey"
    has_not cHJpbWFyeQ c2Vjb25k
}

@test "parents are compared by id; the number in a scope is the hub's own" {
    changed 1 's#"deviceScope":"ms-azure-iot-edge://edge-1-#"deviceScope":"ms-azure-iot-edge://edge-2-#' '{"id":"d1","path":"/deviceScope","a":"edge-1","b":"edge-2"}'
    changed 1 's#\["ms-azure-iot-edge://edge-1-#["ms-azure-iot-edge://edge-2-#' '{"id":"d1","path":"/parentScopes/0","a":"edge-1","b":"edge-2"}'
    changed 4 's#edge-0-11#edge-9-11#' '{"id":"edge-1","path":"/parentScopes/0","a":"edge-0","b":"edge-9"}'
    changed 4 's#\["ms.*"\]#[]#' '{"id":"edge-1","path":"/parentScopes/0","a":"edge-0"}'
    ignored 1 's/edge-1-637/edge-1-99/g'
    ignored 4 's/edge-1-637/edge-1-4/'
    ignored 4 's/edge-0-11/edge-0-12/'
    # One of the two says enough for a device that is no Edge device.
    ignored 1 's/,"parentScopes".*/}/'
    ignored 1 's/"deviceScope":[^,]*,//'
}

@test "ETags, metadata, versions and connection data do not count" {
    ignored 1 's/"AA=="/"BB=="/'
    ignored 1 's/AAAAAAAAAAE=/AAAAAAAAAAI=/'
    ignored 1 's/"\$lastUpdated":"t"/"$lastUpdated":"u"/'
    ignored 1 's/"\$version":2/"$version":7/'
    ignored 1 's/^{/{"importMode":"create","connectionState":"Connected",/'
}

@test "what services spell in several ways is the same" {
    sed -i '1s/none yet//' a.txt
    ignored 1 's/"statusReason":""/"statusReason":null/'
    ignored 1 's/"statusReason":"",//'
    ignored 1 's/"x509Thumbprint":{[^}]*},//'
    ignored 1 's/"capabilities":{"iotEdge":false},//'
    ignored 2 's/,"type":"sas"//'
    ignored 2 's/"status":"enabled",//'
    ignored 3 's/,"type":"selfSigned"//'
    ignored 3 's/}$/,"tags":{},"properties":{"desired":{"$version":1},"reported":{}},"parentScopes":[],"deviceScope":""}/'
    ignored 5 's/"authentication":null/"authentication":{"type":"none"}/'
}

@test "in a twin null, empty and absent are three things" {
    changed 1 's/"site":"x",//' '{"id":"d1","path":"/tags/site","a":"x"}'
    changed 1 's/"site":"x"/"site":"x","new":{}/' '{"id":"d1","path":"/tags/new","b":{}}'
    changed 1 's/"site":"x"/"site":""/' '{"id":"d1","path":"/tags/site","a":"x","b":""}'
    changed 2 's/"m":1/"m":1,"$version":3,"x":{"$version":4}/' '{"id":"d1","moduleId":"m","path":"/properties/desired/x","b":{"$version":4}}'
}

@test "reported properties are counted, and compared only on request" {
    sed '1s/"fw":"1"/"fw":"2"/' a.txt >b.txt
    expect_pipe 0 "registry-diff a.txt b.txt"
    has "equal: 5 entries; reported properties differ on 1"
    expect_pipe 1 "registry-diff --reported a.txt b.txt"
    has '{"id":"d1","path":"/properties/reported/fw","a":"1","b":"2"}'
    has_not "reported properties differ on"
}

@test "entries that one side lacks" {
    sed '1d' a.txt >b.txt
    expect_pipe 1 "registry-diff a.txt b.txt"
    has '{"id":"d1","path":"","only":"a"}' "1 differences between 5 and 4"
    expect_pipe 1 "registry-diff b.txt a.txt"
    has '{"id":"d1","path":"","only":"b"}'
    # A hub makes the system modules by itself: an empty one is none.
    sed '5s/"desired":{"s":1}/"desired":{"$version":1}/' a.txt >c.txt
    sed 5d a.txt >b.txt
    expect_pipe 0 "registry-diff c.txt b.txt"
    expect_pipe 1 "registry-diff a.txt b.txt"
    has '{"id":"edge-1","moduleId":"$edgeAgent","path":"","only":"a"}'
}

@test "missing entries come in the order of A" {
    seq 1000 | sed 's/.*/{"id":"n&"}/' >n.txt
    echo '{"id":"n500"}' >b.txt
    registry-diff n.txt b.txt >out 2>/dev/null || [ $? -eq 1 ]
    jq -r .id out | sed 's/n//' >got
    seq 1000 | sed 500d >want
    same want got
}

@test "an id that is there twice, and a line that is no record, end the run" {
    (cat a.txt; head -n 1 a.txt) >twice.txt
    expect_pipe 3 "registry-diff twice.txt a.txt"
    has "'twice.txt': line 6: 'd1' is there twice"
    expect_pipe 3 "registry-diff a.txt twice.txt"
    has "'twice.txt': line 6: 'd1' is there twice"
    (echo '{"id":"x"}'; echo '{"id":"x"}') | cat a.txt - >twice.txt
    expect_pipe 3 "registry-diff a.txt twice.txt"
    has "line 7: 'x' is there twice"
    (cat a.txt; echo oops) >bad.txt
    expect_pipe 3 "registry-diff bad.txt a.txt"
    has "'bad.txt': line 6: no JSON"
    expect_pipe 3 "registry-diff a.txt - <bad.txt"
    has "'stdin': line 6: no JSON"
    sed '1s/"desired":{/"desired":{},"desired":{/' a.txt >bad.txt
    expect_pipe 3 "registry-diff a.txt bad.txt"
    has "line 1: /properties/desired: a member is there twice"
}

@test "empty input proves nothing" {
    expect_pipe 3 "registry-diff a.txt /dev/null"
    has "'/dev/null': is empty"
    expect_pipe 3 "registry-diff - a.txt </dev/null"
    has "'stdin': is empty"
    expect_status 4 registry-diff a.txt ./nowhere.txt
    has "nowhere.txt': open failed"
}

@test "operands that make no sense" {
    expect_status 2 registry-diff
    has "IOTHUB_CONN_STRING is not set"
    expect_status 2 registry-diff - -
    expect_status 2 registry-diff contoso contoso
    has "both sides are the same"
    export IOTHUB_CONN_STRING='HostName=h.example;SharedAccessKeyName=o;SharedAccessKey=U0VDUkVU'
    expect_status 2 registry-diff
    has "DEST_IOTHUB_CONN_STRING is not set"
    export DEST_IOTHUB_CONN_STRING='SharedAccessKey=U0VDUkVU;hostname=H.example;SharedAccessKeyName=o'
    expect_status 2 registry-diff
    has "both sides are the same"
    expect_status 2 registry-diff a.txt "$IOTHUB_CONN_STRING"
    has "env:NAME or file:PATH"
    has_not U0VDUkVU
    expect_status 2 registry-diff a.txt a.txt a.txt
}

@test "a hub is read by registry-dump beside us; its failure is no verdict" {
    mkdir -p t/bin
    cp "$(command -v registry-diff)" t/bin/
    cat >t/bin/registry-dump <<'END'
#!/bin/bash
echo "$*" | sed "s,=/dev/fd/[0-9]*,," >>"$CALLS"
case ${!#} in
good) cat "$A" ;;
none) ;;
half) head -c 700 "$A"; exit 5 ;;
late) cat "$A"; exit 6 ;;
part) cat "$A"; exit 7 ;;
dead) kill -9 $$ ;;
esac
END
    chmod +x t/bin/registry-dump
    export A=$PWD/a.txt CALLS=$PWD/calls
    expect_status 0 t/bin/registry-diff --auth=key -s sub -j 3 good a.txt
    [ "$(cat calls)" = "--auth=key --subscription=sub --jobs=3 --manifest -- good" ]
    expect_status 0 t/bin/registry-diff a.txt good
    expect_status 1 t/bin/registry-diff a.txt none
    has '"only":"a"'
    expect_status 5 t/bin/registry-diff a.txt half
    has "'half': registry-dump failed with status 5"
    has_not only
    expect_status 6 t/bin/registry-diff late a.txt
    expect_status 6 t/bin/registry-diff a.txt late
    # What a hub does not show is not proven, but a difference is one.
    expect_status 7 t/bin/registry-diff part a.txt
    has "'part': registry-dump could not read all of it" "equal: 5 entries"
    sed 1d a.txt >b.txt
    expect_status 1 t/bin/registry-diff b.txt part
    expect_status 4 t/bin/registry-diff a.txt dead
    has "registry-dump died"
    rm t/bin/registry-dump
    expect_status 4 t/bin/registry-diff a.txt good
    has "cannot be run"
}

@test "differences into a full disk are a local failure" {
    sed '1d' a.txt >b.txt
    expect_pipe 4 "registry-diff a.txt b.txt >/dev/full"
    has "write failed"
}

@test "pipelines: an edit shows up as exactly itself" {
    expect_pipe 1 "registry-edit --set 'tags.moved=true' --where '.id==\"d2\"' a.txt | registry-diff a.txt - 2>/dev/null | grep -v only"
    [ "$output" = '{"id":"d2","path":"/tags/moved","b":true}' ]
    expect_pipe 0 "registry-edit --mode=create --drop=eTag a.txt | registry-diff a.txt -"
}

@test "a live hub against its dump, and against its clone" {
    cat >fleet.txt <<'END'
{"id":"edge","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"QUJDREVGR0hJSktMTU5PUA==","secondaryKey":"UVJTVFVWV1hZWmFiY2RlZg=="},"type":"sas"},"capabilities":{"iotEdge":true}}
{"id":"leaf#1","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"bGVhZmxlYWZsZWFmbGVhZg==","secondaryKey":"bGVhZmxlYWZsZWFmbGVhZg=="},"type":"sas"},"deviceScope":"ms-azure-iot-edge://edge-1","tags":{"site":"x"},"properties":{"desired":{"n":1.0}}}
{"id":"leaf#1","moduleId":"m","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"bW9kdWxlbW9kdWxlbW9kdQ==","secondaryKey":"bW9kdWxlbW9kdWxlbW9kdQ=="},"type":"sas"}}
{"id":"off","status":"disabled","statusReason":"lost","authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"0123456789ABCDEF0123456789ABCDEF01234567","secondaryThumbprint":"0123456789ABCDEF0123456789ABCDEF01234567"}}}
END
    cat >script <<'END'
registry-dump -q -o dump.txt
registry-diff dump.txt contoso
registry-diff fleet.txt dump.txt
hub-export -g west-rg contoso | tmpl-rewrite --name contoso-east --location eastus |
    key-inject | tmpl-deploy -q -g east-rg >/dev/null
registry-load -q <dump.txt >outcomes
registry-diff >differences
[ ! -s differences ]
registry-edit --where='.id == "leaf#1" and $moduleId == null' dump.txt |
    registry-edit --mode=updateTwin --set='tags.site="y"' |
    registry-load -q >outcomes
registry-diff && exit 99
registry-diff dump.txt || exit 42
END
    expect_status 42 hub-sim --from "$ROOT/examples/contoso.json" \
        -g west-rg --registry fleet.txt --dest contoso-east -- \
        bash -euo pipefail script
    has '{"id":"leaf#1","path":"/tags/site","a":"x","b":"y"}'
    [ "$(grep -c '"path"' <<<"$output")" -eq 2 ]
}
