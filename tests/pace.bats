# pace.bats: budgets of a hub, what is said of them, and a hub that throttles.
# How the bucket learns is in unit/pace.c; what share of a rate is reached, in
# bench-pace.  No test asserts a time; a slow machine makes fewer refusals.
# shellcheck shell=bash disable=SC2016 # text for a shell inside hub-sim

load helper

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    jq -nrc --argjson n 60 -f "$ROOT/examples/fleet.jq" >fleet60.txt
    umask 077
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
}

# fleet N: N devices, keys and all.
fleet() {
    local i
    for ((i = 0; i < $1; i++)); do
        printf '{"id":"d%04d","importMode":"createOrUpdate","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"%s","secondaryKey":"%s"}}}\n' \
            "$i" "$(printf 'A%.0s' {1..43})=" "$(printf 'B%.0s' {1..43})="
    done
}

# sim STATUS [OPTION...] -- TEXT
sim() {
    simulate --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 : "$@"
}

@test "what is no SKU, no percentage, no rate is refused before anything is asked" {
    fleet 1 >f.txt
    for option in --sku=S4 --sku= --sku=S1: --sku=S1:0 --sku=S1:x --sku=S1:-1 --share=0 --share=101 \
        --share=half --share=-5 --share= --rate=0 --rate=1.5 --rate=many --rate=; do
        for tool in registry-load registry-dump; do
            IOTHUB_CONN_STRING='HostName=h.azure-devices.net;SharedAccessKeyName=p;SharedAccessKey=AAAA' \
                DEST_IOTHUB_CONN_STRING='HostName=i.azure-devices.net;SharedAccessKeyName=p;SharedAccessKey=AAAA' \
                HUBPIPE_CONNECT_TO=127.0.0.1:9 expect_status 2 "$tool" -q "$option" <f.txt
            [[ $output == *"${option%%=*}: '"*"' is n"* ]]
        done
    done
    HUBPIPE_PACE=fast IOTHUB_CONN_STRING='HostName=h.azure-devices.net;SharedAccessKeyName=p;SharedAccessKey=AAAA' \
        expect_status 2 registry-dump -q
    has "'fast': HUBPIPE_PACE is neither on nor off"
}

@test "the expected end, all calls counted: by tier, units, share and rate" {
    sim 0 --registry "$BATS_FILE_TMPDIR/fleet60.txt" -- '
        registry-dump -q -o all; unset AZURE_CLIENT_ID
        load() { registry-load -n "$@" <all >plan; }
        load; load --sku=S1 --share=100; load --sku=s2:200; load --sku=S3:10; load --share=25; load --rate=6; load --rate=1'
    # The steps add up to what is said.
    operations=$(sed -nE "s/.*'contoso-east': ([0-9]+) identity operations, ([0-9]+) twin reads, ([0-9]+) twin writes: .*/\1 \2 \3/p" <<<"$output" | sort -u)
    [ "$(wc -l <<<"$operations")" -eq 1 ]
    [ "${operations%% *}" -ge 60 ]
    has ": less than a minute at S1 x1 (assumed), share 50 %" ": less than a minute at S1 x1, share 100 %" \
        "at S2 x200, share 50 %" "at S3 x10, share 50 %" "min at S1 x1 (assumed), share 25 %" \
        "min at S1 x1 (assumed), 6 a minute by --rate" "at S1 x1 (assumed), 1 a minute by --rate"
    # n operations at one a minute are n minutes.
    has "about $((${operations%% *})) min at S1 x1 (assumed), 1 a minute"
}

@test "the tier is asked of Resource Manager where that may be, and the calls come to what was said" {
    sim 0 --registry "$BATS_FILE_TMPDIR/fleet60.txt" --sku S3:2 -- 'registry-dump -o all && registry-load <all'
    has "at S3 x2, share 50 %"
    said=$(sed -nE "s/.*'contoso-east': ([0-9]+) identity operations, ([0-9]+) twin reads, ([0-9]+) twin writes: .*/\1 \2 \3/p" <<<"$output")
    seen=$(sed -nE "s/^hub-sim: contoso-east .*: ([0-9]+) identity operations, ([0-9]+) twin reads, ([0-9]+) twin updates.*/\1 \2 \3/p" <<<"$output")
    echo "said $said, seen $seen"
    # Doubt and what is equal already make a difference, but no great one.
    [ -n "$seen" ]
    awk -v a="${said%% *}" -v b="${seen%% *}" 'BEGIN { exit !(b >= a * 0.8 && b <= a * 1.2 + 8) }'
}

@test "all of an empty hub, half of one with connected devices or of which nobody knows" {
    fleet 3 >f.txt
    statistics='path=/statistics/service*'
    sim 0 --throttle=real -- 'registry-load --sku=S1 <f.txt'
    has "at S1 x1, share 100 %" "3 applied"
    sim 0 --throttle=real --fault "$statistics,count=0,do=status:503" -- 'registry-load --sku=S1 <f.txt'
    has "at S1 x1, share 50 %" "3 applied"
    sim 0 --throttle=real --log=log -- 'registry-load --sku=S1 --share=70 <f.txt'
    has "at S1 x1, share 70 %" "3 applied"
    [ "$(grep -c statistics/service log)" -eq 0 ]
}

@test "a hub that throttles meets no more calls than it permits; nothing is lost" {
    # 240 operations where 100 a minute go by the hub's clock, 60 times as fast.
    fleet 240 >f.txt
    for burst in small large; do
        sim 0 --sku S1 --throttle=real --speed=60 --doubt throttle-burst=$burst --db $burst --log=log -- '
            registry-load --sku=S1:60 --share=100 <f.txt && HUBPIPE_PACE=off registry-dump -q --limit=20 --sku=S1:60 env:DEST_IOTHUB_CONN_STRING >now'
        has "240 applied"
        [ "$(wc -l <now)" -eq 20 ]
        [ -z "$(comm -23 <(jq -r .id now | sort) <(jq -r .id f.txt | sort))" ]
        # On a busy machine one may be late and the next then early.
        [ "$(jq -s 'map(select(.status == 429)) | length' log)" -le 3 ]
        rm log
    done
}

@test "calls are the smaller, the slower the pace; without pace a hundred go at once" {
    fleet 24 >f.txt
    sim 0 --log=log -- 'registry-load <f.txt'
    [ "$(jq -s 'map(select(.method == "POST" and (.path | startswith("/devices")))) | length' log)" -eq 1 ]
    has "HUBPIPE_PACE=off: not waited for"
    rm log
    sim 0 --log=log -- 'HUBPIPE_PACE=on registry-load --rate=600 <f.txt'
    [ "$(jq -s 'map(select(.method == "POST" and (.path | startswith("/devices")))) | length' log)" -eq 8 ]
    has "24 applied" "600 a minute by --rate"
    has_not "not waited for"
}

@test "refused for a while, then let through: 429 with Retry-After and without, and nothing is lost" {
    fleet 30 >f.txt
    for wait in '' ,retry-after=1; do
        sim 0 --fault "host=contoso-east.*,count=2,do=status:429$wait" -- '
            registry-load --retry-delay=0.1 --sku=S3 <f.txt; registry-dump -q env:DEST_IOTHUB_CONN_STRING >now'
        has "30 applied"
        [ "$(wc -l <now)" -eq 30 ]
    done
}

@test "nothing but 429: the end comes with --retry-max-time, pace included, and one line says why" {
    fleet 30 >f.txt
    for pace in on off; do
        export HUBPIPE_PACE=$pace
        sim 5 --fault "host=contoso-east.*,count=0,do=status:429" -- "export HUBPIPE_PACE=$pace
            timeout 60 registry-load --retry-max-time=2 --retry-delay=0.2 --sku=S1 --rejects=r.txt <f.txt >out"
        has "throttled for longer than the 2 s that --retry-max-time allows (go on later, or with a smaller --share)" "0 applied"
        [ "$(grep -c 'throttled for' <<<"$output")" -eq 1 ]
        same f.txt r.txt
        sim 5 --fault "host=contoso.*,count=0,do=status:429" -- "export HUBPIPE_PACE=$pace
            timeout 60 registry-dump --retry-max-time=2 --retry-delay=0.2 --sku=S1 >out"
        [ "$(grep -c 'throttled for longer' <<<"$output")" -eq 1 ]
        [ ! -s out ]
    done
}

@test "progress says how much time is left by the pace" {
    fleet 40 >f.txt
    sim 0 -- 'registry-load --progress=json --rate=900 <f.txt 2>err; HUBPIPE_PACE=on; export HUBPIPE_PACE; grep "^{" err >json; test -s json'
    jq -se 'all(has("left")) and last.last and last.left == 0' json
    jq -se 'length < 2 or (.[0].left > 0 and .[0].left < 10)' json
}
