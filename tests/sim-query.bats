# sim-query.bats: the query language of hub-sim (CONTRACT 14).
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent is no variable

load helper
load dataplane

# ids CONDITION IDS: the devices it chooses, in order, one letter each.
ids() {
    local got
    q 200 "SELECT deviceId FROM devices WHERE $1"
    got=${output//'{"deviceId":"'/}
    got=${got//'"}'/}
    got=${got//,/}
    [ "$got" = "[$2]" ] || {
        printf '%s: %s, not [%s]\n' "$1" "$output" "$2"
        return 1
    }
}

# refused QUERY...
refused() {
    local bad
    for bad; do
        q 400 "$bad"
        error_is ArgumentInvalid
        has 'ErrorCode:ArgumentInvalid;BadRequest'
    done
}

@test "queries: what selects, compares, counts and groups" {
    make_hub asked '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=asked
    hub 200 POST /devices -d '[
        {"id":"a","importMode":"create","status":"enabled","tags":{"site":"x","n":1,"on":true},"properties":{"desired":{"v":1.0},"reported":{"t":20}}},
        {"id":"b","importMode":"create","status":"disabled","tags":{"site":"y","n":2,"on":false},"properties":{"reported":{"t":30}}},
        {"id":"c","importMode":"create","status":"enabled","tags":{"site":"it\u0027s","n":"2","deep":{"k\u00e9":1}}}]'
    q 200 'select * from devices'
    is 'map(.deviceId)' '["a","b","c"]'
    [ "$(header x-ms-item-type)" = Twin ]
    [ -z "$(header x-ms-continuation)" ]
    ids "deviceId = 'b'" b
    ids "status = 'enabled'" ac
    ids "tags.site != 'x'" bc
    ids "tags.n >= 1" ab
    ids "tags.n = '2'" c
    ids "tags.n > 1 OR tags.site = 'x'" ab
    ids "NOT (tags.site = 'x') AND status = 'enabled'" c
    ids "tags.site IN ['x', 'y']" ab
    ids "tags.site NIN ['x', 'y']" c
    ids "is_defined(properties.reported.t)" ab
    ids "NOT is_defined(properties.reported.t)" c
    ids "tags.on" a
    ids "tags.on = false" b
    ids "tags.site = 'it\\'s'" c
    ids 'tags.site = "y"' b
    ids "tags.nobody = 1 OR NOT tags.nobody = 1" ''
    ids "properties.desired.\$version = 1 AND capabilities.iotEdge = false" abc
    ids "properties.desired.v = 1" a
    ids "tags.deep.k$(printf '\303\251') = 1" c
    ids "tags.[[site]] = 'x'" a
    q 200 "SELECT deviceId, tags.site AS s, properties.desired.v FROM devices WHERE tags.n = 1"
    [ "$output" = '[{"deviceId":"a","s":"x","v":1.0}]' ]
    [ "$(header x-ms-item-type)" = Raw ]
    q 200 "SELECT COUNT() AS n FROM devices WHERE status = 'enabled'"
    is . '[{"n":2}]'
    q 200 "SELECT COUNT() AS n, AVG(properties.reported.t) AS t, MIN(tags.n) AS l, MAX(tags.n) AS m, SUM(tags.n) AS s FROM devices"
    is . '[{"n":3,"t":25,"l":1,"m":2,"s":3}]'
    q 200 "SELECT status, COUNT() AS n FROM devices GROUP BY status"
    is 'sort_by(.n)' '[{"status":"disabled","n":1},{"status":"enabled","n":2}]'
    q 200 "SELECT TOP 2 * FROM devices"
    is 'map(.deviceId)' '["a","b"]'
    hub 200 PUT /devices/a/modules/m -d '{}'
    q 200 "SELECT * FROM devices.modules"
    is 'map([.deviceId, .moduleId])' '[["a","m"]]'
    q 200 'SELECT COUNT() AS n FROM devices'
    is . '[{"n":3}]'
}

@test "queries: errors of syntax are the client's" {
    for bad in '' 'SELECT' 'SELECT *' 'SELECT * FROM' 'SELECT * FROM twins' \
        'SELECT * FROM devices WHERE' 'SELECT * FROM devices WHERE tags.a =' \
        "SELECT * FROM devices WHERE tags.a = 'x" 'SELECT * FROM devices WHERE (tags.a = 1' \
        'SELECT * FROM devices WHERE starts_with(tags.a, 1)' 'SELECT * FROM devices x' \
        'SELECT * FROM devices WHERE tags.a IN 1' 'SELECT * FROM devices ORDER BY deviceId' \
        'SELECT TOP x * FROM devices' 'DELETE FROM devices' 'SELECT * FROM devices WHERE tags.a == 1' \
        "SELECT * FROM devices WHERE $(printf '(%.0s' {1..100})tags.a = 1"; do
        q 400 "$bad"
        error_is ArgumentInvalid
        has 'ErrorCode:ArgumentInvalid;BadRequest'
    done
    # What is quoted of it is cut at a byte; the answer stays UTF-8.
    q 400 "SELECT * FROM devices = $(printf '\303\251%.0s' {1..40})"
    iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
    hub 400 POST /devices/query -d '{"query":7}'
    hub 400 POST /devices/query -d '{'
}

@test "queries: strings and their escapes, numbers, brackets, values beside each other" {
    make_hub words '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=words
    hub 200 POST /devices -d '[
        {"id":"a","importMode":"create","status":"enabled","tags":{"s":"it\u0027s \"x\" \\ \u00e9\n","n":255,"m":255,"f":0.5,"my-tag":1}},
        {"id":"b","importMode":"create","status":"enabled","tags":{"s":"255","n":-1e3,"m":0,"list":[1,2],"o":{"k":1}}},
        {"id":"c","importMode":"create","status":"disabled","tags":{"s":""}}]'
    ids "tags.s = 'it\\'s \"x\" \\\\ é\\n'" a
    ids "tags.s = 'it\\'s \\\"x\\\" \\\\ \\u00e9\\n'" a
    ids "tags.s = \"it's \\\"x\\\" \\\\ \\u00e9\\n\"" a
    ids "tags.s = ''" c
    ids 'tags.n = 0xff' a
    ids 'tags.n = 2.55e2' a
    ids 'tags.n < -999.5' b
    ids "tags.f >= 0.5" a
    ids 'tags.n = tags.m' a
    ids 'tags.n != tags.m' b
    # A text is no number, and what is not there is neither.
    ids "tags.s = 255" ''
    ids "tags.s > 'a'" a
    ids "tags.n >= '0'" ''
    ids 'NOT tags.n = 255' b
    ids 'tags.nobody != 1' ''
    ids 'tags.list = 1 OR tags.o = 1' ''
    ids 'tags.o.k = 1 AND is_defined(tags.list)' b
    ids 'tags.[[my-tag]] = 1' a
    ids 'IS_DEFINED(tags.[[my-tag]]) or Not Is_Defined(tags.n)' ac
    ids "deviceId IN ['a', 'c'] AND NOT (status = 'disabled')" a
    ids "tags.s NOT IN ['255', '']" a
    ids "tags.n nin [255]" b
    ids 'true' abc
    ids "DEVICEID = 'a'" a
    ids "TAGS.n = 255" a
    # Names of one's own have a case.
    ids 'tags.N = 255' ''
    q 200 "SELECT TOP 1 tags.n AS x, tags.s FROM devices"
    is . '[{"x":255,"s":"it'"'"'s \"x\" \\ é\n"}]'
}

@test "queries: what of SQL would harm elsewhere harms nothing" {
    make_hub harm '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=harm
    hub 200 POST /devices -d '[{"id":"a","importMode":"create","status":"enabled","tags":{"s":"x"}}]'
    refused "SELECT * FROM devices; DROP TABLE registry" \
        "SELECT * FROM devices WHERE tags.s = 'x'; DELETE FROM registry --" \
        "SELECT * FROM devices WHERE tags.s = 'x' --" \
        "SELECT * FROM devices /* all */" \
        "SELECT * FROM devices WHERE tags.s = 'x'' OR ''1'' = ''1'" \
        "SELECT * FROM devices UNION SELECT * FROM devices" \
        "SELECT * FROM registry" "SELECT sqlite_version() FROM devices" \
        "SELECT * FROM devices WHERE tags.s LIKE '%'" \
        "SELECT * FROM devices WHERE tags.s = x'00'" \
        "SELECT * FROM devices WHERE tags.n + 1 = 2" \
        "SELECT * FROM devices WHERE tags.s = 'x' ORDER BY deviceId" \
        "SELECT * FROM devices WHERE tags.s = '\\q'" \
        "SELECT * FROM devices WHERE tags.s = '\\u12'" \
        "SELECT * FROM devices WHERE tags.s = 'x" \
        'SELECT * FROM devices WHERE tags.[[s = 1' \
        "SELECT * FROM devices WHERE tags..s = 'x'" \
        "SELECT * FROM devices LIMIT 1" \
        "SELECT deviceId, COUNT() FROM devices" \
        "SELECT * FROM devices GROUP BY status" \
        "SELECT SUM() FROM devices" \
        "SELECT DISTINCT deviceId FROM devices" \
        "SELECT * FROM devices WHERE tags.s = 'x' GROUP BY" \
        "SELECT * FROM devices WHERE tags.s = :x" \
        "SELECT * FROM devices WHERE tags.s = ?" \
        "SELECT * FROM devices WHERE is_null(tags.s)" \
        "SELECT * FROM devices WHERE startswith(deviceId, 'a')"
    ids "tags.s = '%'" ''
    ids "tags.s = 'x\\' OR \\'1\\' = \\'1'" ''
    ids "deviceId = 'a\\u0027; DROP TABLE registry; --'" ''
    hub 400 POST /devices/query -d '{"query":"SELECT * FROM devices\u0000 WHERE"}'
    hub 200 GET /devices/a
    hub 200 PUT "/devices/a'--" -d '{}'
    ids "deviceId = 'a\\'--'" "a'--"
}

@test "queries: a megabyte of text, and nesting without end, are only errors" {
    local f=$BATS_TEST_TMPDIR/sent n
    big() {
        python3 -c 'import json, sys; print(json.dumps({"query": eval(sys.argv[1])}))' "$1" >"$f"
        hub "$2" POST /devices/query -d "@$f"
    }
    big '"SELECT * FROM devices WHERE " + "(" * 500000 + "tags.a = 1"' 400
    has 'nested too deep'
    big '"SELECT * FROM devices WHERE " + "NOT " * 250000 + "true"' 400
    big '"SELECT * FROM devices WHERE tags.a = 1" + " OR tags.a = 1" * 70000' 400
    has 'too complex'
    big '"SELECT * FROM devices WHERE tags.a IN [" + "1," * 500000 + "1]"' 400
    big '"SELECT * FROM devices WHERE tags.a = \x27" + "x" * 1000000 + "\x27"' 200
    is . '[]'
    big '"SELECT * FROM devices WHERE tags" + ".a" * 500000 + " = 1"' 400
    big '"SELECT " + "tags.a," * 150000 + "tags.a FROM devices"' 400
    big '"SELECT * FROM devices WHERE tags.[[" + "x" * 1000000 + "]] = 1"' 200
    # Long chains that are allowed are answered.
    for n in OR AND; do
        big "'SELECT * FROM devices WHERE tags.a = 1' + ' $n tags.a = 1' * 4000" 200
    done
}
