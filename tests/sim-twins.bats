# sim-twins.bats: twins in hub-sim (CONTRACT 13).
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent is no variable

load helper
load dataplane

@test "a new twin, and what a patch does to versions, etags and metadata" {
    hub 200 PUT /devices/t1 -d '{}'
    hub 200 GET /twins/t1
    is '[.etag, .version, .properties.desired["$version"], .properties.reported["$version"]]' \
        '["AAAAAAAAAAE=",2,1,1]'
    [ -z "$(header etag)" ]
    hub 200 PATCH /twins/t1 -d '{"properties":{"desired":{"net":{"wifi":1,"lan":2},"rate":5}}}'
    is '[.etag, .version, .properties.desired["$version"]]' '["AAAAAAAAAAI=",3,2]'
    hub 200 PATCH /twins/t1 -H 'If-Match: "AAAAAAAAAAI="' -d '{"tags":{"a":{"b":1,"c":2}}}'
    is '[.etag, .version, .properties.desired["$version"]]' '["AAAAAAAAAAM=",4,2]'
    hub 200 PATCH /twins/t1 -H 'If-Match: "*"' -d '{"tags":{"a":{"b":null}},"properties":{"desired":{"net":{"wifi":9}}}}'
    is .tags '{"a":{"c":2}}'
    is '.properties.desired | [.net, .rate, .["$version"]]' '[{"wifi":9,"lan":2},5,3]'
    # The path that changed is marked up to the root; what stayed is not.
    is '.properties.desired["$metadata"] | [.["$lastUpdatedVersion"], .net["$lastUpdatedVersion"], .net.wifi["$lastUpdatedVersion"], .net.lan["$lastUpdatedVersion"], .rate["$lastUpdatedVersion"]]' \
        '[3,3,3,2,2]'
    hub 412 PATCH /twins/t1 -H 'If-Match: "AAAAAAAAAAI="' -d '{"tags":{"a":1}}'
    error_is PreconditionFailed
    # What the service adds is ignored when it is sent back.
    hub 200 GET /twins/t1
    hub 200 PATCH /twins/t1 -d "$output"
    is '[.version, .properties.desired["$version"], .tags]' '[6,4,{"a":{"c":2}}]'
    hub 200 PUT /twins/t1 -d '{"properties":{"desired":{"only":true}}}'
    is '[.tags, .properties.desired.only, .properties.desired.net]' '[{},true,null]'
    # null clears a section, and nothing else.
    hub 200 PATCH /twins/t1 -d '{"tags":{"x":1}}'
    hub 200 PATCH /twins/t1 -d '{"tags":null,"properties":{"desired":{"more":1}}}'
    is '[.tags, .properties.desired.only, .properties.desired.more]' '[{},true,1]'
    hub 404 PATCH /twins/nobody -d '{}'
    hub 404 GET /twins/t1/modules/nobody
    error_is DeviceNotFound
}

@test "a twin keeps every byte that was not changed" {
    local tags='{"z":1.0,"a":1e2,"n":-0,"f":0.30000000000000004,"u":"\u00e9\/é","big":4503599627370495,"sp": [ 1, 2 ],"dup":1}'
    hub 200 PUT /devices/b1 -d '{}'
    hub 200 PATCH /twins/b1 -d "{\"tags\":$tags}"
    hub 200 GET /twins/b1
    has "\"tags\":$tags,"
    hub 200 PATCH /twins/b1 -d '{"tags":{"n":null,"new":{"k\u00e9":1.50}}}'
    has '"tags":{"z":1.0,"a":1e2,"f":0.30000000000000004,"u":"\u00e9\/é","big":4503599627370495,"sp":[ 1, 2 ],"dup":1,"new":{"k\u00e9":1.50}},'
    # A body of many lines is one line when it comes back.
    hub 200 PATCH /twins/b1 -d $'{"tags": {\n  "lines": {\n "a": "x  y" }\n}}'
    [ "$(wc -l <<<"$output")" -eq 1 ]
    has '"x  y"'
}

@test "limits of twins: sizes, names, strings, integers, depth, null in arrays" {
    local deep
    hub 200 PUT /devices/l1 -d '{}'
    bad() {
        hub 400 PATCH /twins/l1 -d "$1"
        error_is ArgumentInvalid
    }
    text() { head -c "$1" /dev/zero | tr '\0' x; }
    bad "{\"tags\":{\"a\":\"$(text 4097)\"}}"
    hub 200 PATCH /twins/l1 -d "{\"tags\":{\"a\":\"$(text 4096)\"}}"
    # 8192 bytes of names and values are the most: 1 + 4096 are there.
    hub 200 PATCH /twins/l1 -d "{\"tags\":{\"b\":\"$(text 4094)\"}}"
    bad '{"tags":{"c":true}}'
    bad "{\"properties\":{\"desired\":{$(for i in 1 2 3 4 5 6 7 8; do printf '"%s":"%s",' $i "$(text 4096)"; done)\"z\":1}}}"
    bad '{"tags":{"a.b":1}}'
    bad '{"tags":{"x":{"$y":1}}}'
    bad '{"tags":{"a b":1}}'
    bad '{"tags":{"a#":1}}'
    bad '{"tags":{"a\u0001":1}}'
    bad '{"tags":{"n":4503599627370496}}'
    bad '{"tags":{"n":-4503599627370497}}'
    hub 200 PATCH /twins/l1 -d '{"properties":{"desired":{"n":-4503599627370496,"x":1e300}}}'
    bad '{"tags":{"n":[1,null]}}'
    bad '{"tags":[]}'
    deep=1
    for i in 1 2 3 4 5 6 7 8 9 10; do deep="{\"d\":$deep}"; done
    hub 200 PATCH /twins/l1 -d "{\"properties\":{\"desired\":{\"r\":$deep}}}"
    bad "{\"properties\":{\"desired\":{\"r\":{\"q\":$deep}}}}"
    bad "{\"tags\":{\"$(text 1025)\":1}}"
}

@test "twins of modules, of system modules too, and what an ETag may look like" {
    hub 200 PUT /devices/e1 -d '{"capabilities":{"iotEdge":true}}'
    hub 200 GET '/twins/e1/modules/%24edgeHub'
    is '[.deviceId, .moduleId, .authenticationType, .etag, .version]' \
        '["e1","$edgeHub","none","AAAAAAAAAAE=",2]'
    hub 200 PATCH '/twins/e1/modules/%24edgeHub' -d '{"properties":{"desired":{"routes":{"r":"x"}}}}'
    is '[.properties.desired.routes.r, .properties.desired["$version"]]' '["x",2]'
    hub 401 PUT '/devices/e1/modules/%24edgeHub' -H 'If-Match: *' -d '{}'
    error_is SystemModuleModifyUnauthorizedAccess
    hub 401 DELETE '/devices/e1/modules/%24edgeHub' -H 'If-Match: *'
    hub 200 PUT /devices/e1/modules/m -d '{}'
    hub 200 PATCH /twins/e1/modules/m -d '{"tags":{"a":1}}'
    while read -r match; do
        hub 200 PATCH /twins/e1/modules/m -H "If-Match: $match" -d '{"tags":{"a":1}}'
    done <<'END'
AAAAAAAAAAI=
"AAAAAAAAAAM="
*
"*"
END
    is '[.etag, .version]' '["AAAAAAAAAAY=",7]'
    hub 412 PATCH /twins/e1/modules/m -H 'If-Match: AAAAAAAAAAE=' -d '{"tags":{"a":2}}'
    hub 412 PUT /twins/e1/modules/m -H 'If-Match: "AAAAAAAAAAE="' -d '{"tags":{"a":2}}'
    hub 200 GET /twins/e1/modules/m
    is .tags '{"a":1}'
}

@test "arrays are replaced whole, {} stays, reported is not written, null goes at any depth" {
    hub 200 PUT /devices/r1 -d '{}'
    hub 200 PATCH /twins/r1 -d '{"tags":{"l":[1,{"x":1}],"o":{"p":{"q":1}},"e":{}},"properties":{"reported":{"r":1},"desired":{"a":[1,2,3]}}}'
    is '[.tags.e, .properties.reported.r, .properties.reported["$version"]]' '[{},null,1]'
    hub 200 PATCH /twins/r1 -d '{"tags":{"l":[2],"o":{"p":{"q":null}}},"properties":{"desired":{"a":{"now":"an object"}}}}'
    is .tags '{"l":[2],"o":{"p":{}},"e":{}}'
    is '.properties.desired.a' '{"now":"an object"}'
    is '.properties.desired["$metadata"].a | [.["$lastUpdatedVersion"], .now["$lastUpdatedVersion"]]' '[3,3]'
    hub 200 PATCH /twins/r1 -d '{"properties":{"desired":{"a":null}}}'
    is '.properties.desired | [has("a"), (.["$metadata"] | has("a")), .["$version"]]' '[false,false,4]'
    # An empty patch is a write of nothing.
    hub 200 PATCH /twins/r1 -d '{}'
    hub 400 PATCH /twins/r1 -d '{"tags":{"a":{"b":[{"c":null}]}}}'
    hub 400 PATCH /twins/r1 -d '{"properties":{"desired":7}}'
    hub 400 PATCH /twins/r1 -d '[]'
}
