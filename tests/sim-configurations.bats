# sim-configurations.bats: configurations in hub-sim: kept and applied (CONTRACT 15).
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent is no variable

load helper
load dataplane

@test "configurations: made, changed with a quoted etag, content fixed, deleted" {
    local c='{"id":"fw","labels":{"k":"v"},"content":{"deviceContent":{"properties.desired.fw":{"v":1.0}}},"targetCondition":"tags.env='"'prod'"'","priority":10,"metrics":{"queries":{"m":"SELECT deviceId FROM devices"}},"etag":"*"}'
    hub 200 PUT /configurations/fw -d "$c"
    has '"properties.desired.fw":{"v":1.0}'
    is '[.etag, .priority, .metrics.results, .schemaVersion]' '["MQ==",10,{},"1.0"]'
    hub 409 PUT /configurations/fw -d "$c"
    error_is ConfigurationAlreadyExists
    hub 409 PUT /configurations/fw -H 'If-Match: MQ==' -d "$c"
    hub 200 PUT /configurations/fw -H 'If-Match: "MQ=="' -d "${c/1.0/2.0}"
    has '"properties.desired.fw":{"v":1.0}'
    is .etag Mg==
    [ "$(header etag)" = '"Mg=="' ]
    hub 412 PUT /configurations/fw -H 'If-Match: "MQ=="' -d "$c"
    hub 400 PUT /configurations/UPPER -d "$c"
    hub 400 PUT /configurations/two -d '{"content":{}}'
    hub 400 PUT /configurations/two -d "${c/tags.env=/tags.env==}"
    hub 200 GET /configurations
    is 'map(.id)' '["fw"]'
    hub 200 POST /configurations/testQueries -d '{"targetCondition":"tags.a =","customMetricQueries":{"good":"SELECT * FROM devices","bad":"SELECT"}}'
    is '[.targetConditionError != null, (.customMetricQueryErrors | keys)]' '[true,["bad"]]'
    hub 204 DELETE /configurations/fw
    hub 404 GET /configurations/fw
    error_is ConfigurationNotFound
}

@test "applyConfigurationContent writes the desired properties of modules and makes missing ones" {
    hub 200 PUT /devices/edge1 -d '{"capabilities":{"iotEdge":true}}'
    hub 204 POST /devices/edge1/applyConfigurationContent -d '{"modulesContent":{"$edgeAgent":{"properties.desired":{"schemaVersion":"1.1","modules":{"temp":{"version":1.0}}}},"$edgeHub":{"properties.desired":{"routes":{}}},"temp":{"properties.desired":{"a":1},"properties.desired.b.c":2}}}'
    hub 200 GET '/twins/edge1/modules/%24edgeAgent'
    has '"modules":{"temp":{"version":1.0}}'
    is '.properties.desired["$version"]' 2
    hub 200 GET /twins/edge1/modules/temp
    is '.properties.desired | [.a, .b]' '[1,{"c":2}]'
    hub 200 GET /devices/edge1/modules/temp
    is '[.managedBy, .authentication.type]' '["iotEdge","sas"]'
    hub 200 PUT /devices/plain -d '{}'
    hub 400 POST /devices/plain/applyConfigurationContent -d '{"modulesContent":{}}'
    hub 404 POST /devices/nobody/applyConfigurationContent -d '{"modulesContent":{}}'
}

# configuration ID PRIORITY CONDITION CONTENT [CURL OPTION...]: makes it, or
# with an If-Match changes it.
configuration() {
    local body
    local id=$1 content=$4
    body=$(jq -nc --arg id "$1" --argjson p "$2" --arg c "$3" \
        '{id: $id, priority: $p, targetCondition: $c,
          metrics: {queries: {fast: "SELECT deviceId FROM devices WHERE properties.desired.rate > 5"}}}')
    shift 4
    hub 200 PUT "/configurations/$id" -d "${body%\}},\"content\":$content}" "$@"
}

@test "a configuration is written into the twins it chooses, and only what differs" {
    make_hub one '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=one
    hub 200 POST /devices -d '[
        {"id":"a","importMode":"create","status":"enabled","tags":{"env":"prod"},"properties":{"desired":{"mine":1,"fw":{"old":true}}}},
        {"id":"b","importMode":"create","status":"enabled","tags":{"env":"test"}},
        {"id":"c","importMode":"create","status":"enabled","tags":{"env":"prod"},"properties":{"desired":{"fw":{"v":1.0}, "rate":9}}}]'
    configuration fw 10 "tags.env = 'prod'" '{"deviceContent":{"properties.desired.fw":{"v":1.0},"properties.desired.rate":9}}'
    soon '[{"v":1},1,9,2]' '.properties.desired | [.fw, .mine, .rate, .["$version"]]' GET /twins/a
    has '"fw":{"v":1.0}'
    is '.version' 3
    # Beside it all keeps its time.
    is '.properties.desired["$metadata"] | [.["$lastUpdatedVersion"], .mine["$lastUpdatedVersion"], .fw["$lastUpdatedVersion"], .fw.v["$lastUpdatedVersion"], .fw.old]' \
        '[2,1,2,2,null]'
    # What it has already is not written again.
    soon_q '["a","c"]' 'map(.deviceId)' "SELECT deviceId FROM devices WHERE configurations.[[fw]].status = 'Applied'"
    hub 200 GET /twins/c
    is '.properties.desired["$version"]' 1
    hub 200 GET /twins/b
    is '.properties.desired | [.fw, .["$version"]]' '[null,1]'
    is .configurations null
    soon '[{"targetedCount":2,"appliedCount":2},{"fast":2}]' '[.systemMetrics.results, .metrics.results]' GET /configurations/fw
    is .systemMetrics.queries "{\"targetedCount\":\"select deviceId from devices where tags.env = 'prod'\",\"appliedCount\":\"select deviceId from devices where configurations.[[fw]].status = 'Applied'\"}"
}

@test "priority decides setting by setting; of two alike the newest wins; the rest is only targeted" {
    make_hub two '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=two
    hub 200 PUT /devices/a -d '{}'
    configuration low 1 '*' '{"deviceContent":{"properties.desired.net":{"wifi":1,"lan":1},"properties.desired.low":1}}'
    configuration high 9 '*' '{"deviceContent":{"properties.desired.net.wifi":2,"properties.desired.high":1}}'
    configuration old 5 '*' '{"deviceContent":{"properties.desired.tie":"old"}}'
    configuration new 5 '*' '{"deviceContent":{"properties.desired.tie":"new"}}'
    configuration nobodys 99 '' '{"deviceContent":{"properties.desired.high":0}}'
    configuration wrong-kind 99 'FROM devices.modules' '{"deviceContent":{"properties.desired.high":0}}'
    soon '[{"wifi":2,"lan":1},1,1,"new"]' '.properties.desired | [.net, .low, .high, .tie]' GET /twins/a
    soon_q '[{"h":"Applied","l":"Applied","n":"Applied","o":"Targeted"}]' . \
        'SELECT configurations.[[high]].status AS h, configurations.low.status AS l, configurations.[[new]].status AS n, configurations.[[old]].status AS o, configurations.[[nobodys]].status AS x FROM devices'
    soon '{"targetedCount":1,"appliedCount":0}' .systemMetrics.results GET /configurations/old
    soon '{"targetedCount":0,"appliedCount":0}' .systemMetrics.results GET /configurations/nobodys
}

@test "twins are looked at again: new devices, new tags, changed and deleted configurations" {
    make_hub again '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=again
    configuration one 1 "tags.ring = 1" '{"deviceContent":{"properties.desired.c":"one"}}'
    hub 200 PUT /devices/a -d '{}'
    hub 200 PATCH /twins/a -d '{"tags":{"ring":1}}'
    soon one .properties.desired.c GET /twins/a
    hub 200 POST /devices -d '[{"id":"b","importMode":"create","status":"enabled","tags":{"ring":1}}]'
    soon one .properties.desired.c GET /twins/b
    configuration two 2 "tags.ring IN [1, 2]" '{"deviceContent":{"properties.desired.c":"two"}}'
    soon two .properties.desired.c GET /twins/b
    # Out of its ring: what was applied stays, but the state goes.
    hub 200 PATCH /twins/b -d '{"tags":{"ring":3}}'
    soon_q '["a"]' 'map(.deviceId)' "SELECT deviceId FROM devices WHERE is_defined(configurations.two)"
    hub 200 GET /twins/b
    is .properties.desired.c two
    # The condition changes; the content would not.
    configuration two 2 "tags.ring = 3" '{"deviceContent":{"properties.desired.c":"ignored"}}' -H 'If-Match: "MQ=="'
    soon one .properties.desired.c GET /twins/a
    soon_q '["b"]' 'map(.deviceId)' "SELECT deviceId FROM devices WHERE configurations.[[two]].status = 'Applied'"
    hub 200 GET /twins/b
    is .properties.desired.c two
    hub 204 DELETE /configurations/one
    hub 204 DELETE /configurations/two
    q 200 'SELECT * FROM devices WHERE is_defined(configurations.two) OR is_defined(configurations.one)'
    is length 0
    hub 200 GET /twins/a
    is .properties.desired.c one
    # Made again under the same name, it begins at nothing.
    configuration two 2 "tags.ring = 9" '{"deviceContent":{"properties.desired.c":"x"}}'
    soon '{"targetedCount":0,"appliedCount":0}' .systemMetrics.results GET /configurations/two
}

@test "module configurations choose modules" {
    make_hub mods '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=mods
    hub 200 PUT /devices/a -d '{}'
    hub 200 PUT /devices/a/modules/m -d '{}'
    hub 200 PUT /devices/a/modules/n -d '{}'
    configuration m 1 "FROM devices.modules WHERE moduleId = 'm'" '{"moduleContent":{"properties.desired.x":1}}'
    soon 1 .properties.desired.x GET /twins/a/modules/m
    soon_q '[["a","m"]]' 'map([.deviceId, .moduleId])' "SELECT deviceId, moduleId FROM devices.modules WHERE configurations.[[m]].status = 'Applied'"
    hub 200 GET /twins/a/modules/n
    is .properties.desired.x null
    hub 200 GET /twins/a
    is .properties.desired.x null
}

@test "Edge: the highest base alone, layers above it on top, their modules made" {
    local agent='"schemaVersion":"1.1","runtime":{"type":"docker"}'
    make_hub edge '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=edge
    hub 200 PUT /devices/plain -d '{}'
    hub 200 PUT /devices/e -d '{"capabilities":{"iotEdge":true}}'
    configuration base1 1 '*' "{\"modulesContent\":{\"\$edgeAgent\":{\"properties.desired\":{$agent,\"modules\":{\"old\":{}}}},\"\$edgeHub\":{\"properties.desired\":{\"routes\":{}}}}}"
    configuration base2 5 '*' "{\"modulesContent\":{\"\$edgeAgent\":{\"properties.desired\":{$agent,\"modules\":{\"temp\":{\"version\":\"1.0\"}}}},\"\$edgeHub\":{\"properties.desired\":{\"routes\":{\"r\":\"x\"}}},\"temp\":{\"properties.desired\":{\"a\":1,\"b\":1}}}}"
    configuration under 3 '*' '{"modulesContent":{"$edgeHub":{"properties.desired.routes.under":"u"}}}'
    configuration layer 7 '*' '{"modulesContent":{"$edgeAgent":{"properties.desired.modules.more":{"version":"2.0"}},"$edgeHub":{"properties.desired.routes.l":"y"},"temp":{"properties.desired.b":2},"more":{"properties.desired.m":1}}}'
    soon '["more","temp"]' '.properties.desired.modules | keys' GET '/twins/e/modules/%24edgeAgent'
    soon '{"r":"x","l":"y"}' .properties.desired.routes GET '/twins/e/modules/%24edgeHub'
    hub 200 GET /twins/e/modules/temp
    is '.properties.desired | [.a, .b]' '[1,2]'
    hub 200 GET /devices/e/modules/more
    is .managedBy iotEdge
    hub 200 GET /twins/e/modules/more
    is .properties.desired.m 1
    q 200 "SELECT configurations.[[base1]].status AS b1, configurations.[[base2]].status AS b2, configurations.[[under]].status AS u, configurations.[[layer]].status AS l FROM devices.modules WHERE moduleId = '\$edgeAgent'"
    is . '[{"b1":"Targeted","b2":"Applied","u":"Targeted","l":"Applied"}]'
    soon '{"targetedCount":1,"appliedCount":1,"reportedFailedCount":0,"reportedSuccessfulCount":0}' .systemMetrics.results GET /configurations/base2
    is .systemMetrics.queries.targetedCount 'select deviceId from devices where capabilities.iotEdge = true'
    # A device that becomes an Edge device is found too; a plain one is not.
    hub 200 PUT /devices/plain -H 'If-Match: *' -d '{"capabilities":{"iotEdge":true}}'
    soon 2 .properties.desired.b GET /twins/e/modules/temp
    soon_q '["e","plain"]' 'map(.deviceId)' "SELECT deviceId FROM devices.modules WHERE configurations.[[base2]].status = 'Applied'"
    # Without its base a layer does nothing more; what was applied stays.
    hub 204 DELETE /configurations/base2
    soon '["old"]' '.properties.desired.modules | keys - ["more"]' GET '/twins/e/modules/%24edgeAgent'
    hub 400 PUT /configurations/bad -d '{"content":{"modulesContent":{"x":{"properties.desired":{}}}}}'
    has 'needs the module $edgeAgent'
    hub 400 PUT /configurations/bad -d '{"content":{"deviceContent":{"properties.reported.x":1}}}'
    hub 400 PUT /configurations/bad -d '{"content":{"deviceContent":{"properties.desired..x":1}}}'
    hub 400 PUT /configurations/bad -d '{"priority":-1,"content":{"deviceContent":{"properties.desired.x":1}}}'
}

@test "turned doubts: of two alike the oldest wins, and twins tell" {
    own_sim --doubt=configuration-tie=oldest --doubt=twin-configurations=shown
    hub 200 PUT /devices/a -d '{}'
    configuration old 5 '*' '{"deviceContent":{"properties.desired.tie":"old"}}'
    configuration new 5 '*' '{"deviceContent":{"properties.desired.tie":"new"}}'
    soon '{"new":{"status":"Targeted"},"old":{"status":"Applied"}}' .configurations GET /twins/a
    is .properties.desired.tie old
    q 200 'SELECT * FROM devices'
    is '.[0].configurations.old.status' Applied
}

@test "a hub takes its time in real timing, and goes on after a restart" {
    own_sim --timing=real --operation-ms=0 --db="$BATS_TEST_TMPDIR/state.db"
    jq -nc '[range(100) | {id: "d\(.)", importMode: "create", status: "enabled"}]' >"$BATS_TEST_TMPDIR/c"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/c"
    configuration slow 1 '*' '{"deviceContent":{"properties.desired.x":1}}'
    hub 200 GET /twins/d0
    is .properties.desired.x null
    kill -9 "$SIM_PID"
    wait "$SIM_PID" || true
    again --db="$BATS_TEST_TMPDIR/state.db" --speed=200
    BEARER=$(entra https://iothubs.azure.net)
    # Its clock begins anew, and the hub was made in what is now the future.
    for ((i = 0; i < 200; i++)); do
        hub 200 GET '/devices?top=1' >/dev/null && break
        sleep 0.05
    done
    soon_q '[{"n":100}]' . "SELECT COUNT() AS n FROM devices WHERE configurations.[[slow]].status = 'Applied' AND properties.desired.x = 1"
}
